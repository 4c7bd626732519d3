# mypy: ignore-errors
"""Stand-in for MicroPython's `network` on a simulated chip: the station interface.

As on a board (ports/esp32/network_wlan.c): the channel can be set only while the interface is
active, an unknown parameter is a ValueError, an impossible value a RuntimeError with ESP-IDF's
number, and power save is on until `config(pm=WLAN.PM_NONE)`. An active interface acknowledges
frames whether or not ESPNow is active. There are no access points to connect to.
"""

from micropython import const

STA_IF = const(0)
AP_IF = const(1)
_IDLE = const(1000)

_CHANNELS = const(14)


class WLAN:
    """The one station interface of the chip."""

    IF_STA = STA_IF
    IF_AP = AP_IF
    PM_NONE = 0
    PM_PERFORMANCE = 1
    PM_POWERSAVE = 2

    _single = None

    def __new__(cls, interface_id=STA_IF):
        if interface_id == AP_IF:
            raise OSError("the simulated radio has no access point interface")
        if interface_id != STA_IF:
            raise ValueError("invalid WLAN interface identifier")
        if WLAN._single is None:
            WLAN._single = super().__new__(cls)
        return WLAN._single

    def __init__(self, interface_id=STA_IF):
        if hasattr(self, "_air"):
            return  # the one object of the process, asked for again
        import _air

        self._air = _air.process_air()
        self._settings = {
            "pm": self.PM_PERFORMANCE,
            "protocol": 7,
            "txpower": 20,
        }

    def active(self, flag=None):
        """Returns whether the interface is on; with an argument, turns it on or off before."""
        if flag is not None and bool(flag) != self._air.up:
            if flag:
                self._air.join(self._air.channel)
            else:
                self._air.leave()
        return self._air.up

    def isconnected(self):
        """Returns False: there is no access point."""
        return False

    def disconnect(self):
        """Does nothing; raises OSError if the interface is not active."""
        self._require_started()

    def status(self):
        """Returns the status of a station that is not connected."""
        return _IDLE

    def config(self, *args, **settings):
        """Returns the value of the one parameter named, or sets those given as keywords."""
        if settings:
            if args:
                raise TypeError("either pos or kw args are allowed")
            for name in settings:
                self._set(name, settings[name])
            return None
        if len(args) != 1:
            raise TypeError("can query only one param")
        if args[0] == "mac":
            return self._air.mac
        if args[0] == "channel":
            return self._air.channel
        if args[0] in self._settings:
            return self._settings[args[0]]
        raise ValueError("unknown config param")

    def _set(self, name, value):
        if name == "channel":
            self._require_started()
            if not 1 <= value <= _CHANNELS:
                raise RuntimeError("Wifi Unknown Error 0x0102")
            self._air.join(value)
        elif name == "mac":
            if len(value) != 6:
                raise ValueError("invalid buffer length")
            if self._air.up:
                raise OSError("Wifi Not Stopped")
            self._air.mac = bytes(value)
        elif name == "pm":
            if not self.PM_NONE <= value <= self.PM_POWERSAVE:
                raise RuntimeError("Wifi Unknown Error 0x0102")
            self._settings[name] = value
        elif name in self._settings:
            self._settings[name] = value
        else:
            raise ValueError("unknown config param")

    def _require_started(self):
        if not self._air.up:
            raise OSError("Wifi Not Started")
