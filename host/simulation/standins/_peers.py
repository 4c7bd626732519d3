# mypy: ignore-errors
"""The peers of the stand-in `espnow`: who may be sent to, and ESP-IDF's errors about it."""

try:
    from micropython import const
except ImportError:  # under CPython, in unit tests

    def const(value):
        return value


ADDR_LEN = const(6)
KEY_LEN = const(16)
MAX_TOTAL_PEER_NUM = const(20)
MAX_ENCRYPT_PEER_NUM = const(6)

_BASE = const(12388)  # ESP_ERR_ESPNOW_BASE; MicroPython gives the number negated
_NAMES = ("NOT_INIT", "ARG", "NO_MEM", "FULL", "NOT_FOUND", "INTERNAL", "EXIST", "IF", "CHAN")
_HIGHEST_CHANNEL = const(14)


def error(name):
    """Returns the OSError that MicroPython raises for ESP_ERR_ESPNOW_<name>."""
    return OSError(-(_BASE + 1 + _NAMES.index(name)), "ESP_ERR_ESPNOW_" + name)


class Peers:
    """Registered addresses, each with [local key, channel, interface, encrypted].

    Addresses of a wrong length are a ValueError, unknown ones ESP_ERR_ESPNOW_NOT_FOUND.
    """

    def __init__(self):
        self._known = {}

    def get(self, mac):
        """Returns what is known of a peer, as [local key, channel, interface, encrypted]."""
        peer = self._known.get(mac if isinstance(mac, bytes) else bytes(mac))
        if peer is None:
            _of_length(mac, ADDR_LEN)
            raise error("NOT_FOUND")
        return peer

    def unicast(self):
        """Returns the addresses, without broadcast and multicast ones."""
        return [mac for mac in self._known if not mac[0] & 1]

    def count(self):
        """Returns (peers, encrypted peers)."""
        return len(self._known), len([mac for mac in self._known if self._known[mac][3]])

    def add(self, mac, lmk, channel, ifidx, encrypt):
        """Registers an address; each argument that is None has its default."""
        mac = _of_length(mac, ADDR_LEN)
        peer = self._changed(mac, [bytes(KEY_LEN), 0, 0, False], lmk, channel, ifidx, encrypt)
        if mac in self._known:
            raise error("EXIST")
        if len(self._known) == MAX_TOTAL_PEER_NUM:
            raise error("FULL")
        self._known[mac] = peer

    def change(self, mac, lmk, channel, ifidx, encrypt):
        """Changes the settings of a peer that are not None."""
        peer = list(self.get(mac))
        mac = bytes(mac)
        self._known[mac] = self._changed(mac, peer, lmk, channel, ifidx, encrypt)

    def remove(self, mac):
        """Removes a peer."""
        self.get(mac)
        del self._known[bytes(mac)]

    def _changed(self, mac, peer, lmk, channel, ifidx, encrypt):
        if lmk is not None:
            peer[3] = bool(lmk)
            if lmk:
                peer[0] = _of_length(lmk, KEY_LEN)
        if channel is not None:
            peer[1] = channel
        if ifidx is not None:
            peer[2] = ifidx
        if encrypt is not None:
            peer[3] = bool(encrypt)
        if not 0 <= peer[1] <= _HIGHEST_CHANNEL or (peer[3] and mac[0] & 1):
            raise error("ARG")
        others = [other for other in self._known if other != mac and self._known[other][3]]
        if peer[3] and len(others) >= MAX_ENCRYPT_PEER_NUM:
            raise error("FULL")
        return peer


def _of_length(buffer, length):
    if len(buffer) != length:
        raise ValueError("invalid buffer length")
    return bytes(buffer)
