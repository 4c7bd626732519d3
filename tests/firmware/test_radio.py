"""The radio link and the gateway, on a fake espnow and two fake lines."""

from firmware.links.espnow import RadioLink
from firmware.links.gateway import RADIO_FRAMES_A_POLL, Gateway
from protocol import message_types
from protocol.frame import BROADCAST, HOST
from protocol.message import FederationMessage
from tests.dual import raises
from tests.firmware.nodes import MemoryLink

MTU = 250
EVERYBODY = b"\xff" * 6
HOST_MAC = b"\x02\0\0\0\0\xfe"


def mac(number):
    return bytes([2, 0, 0, 0, 0, number])


def frame(src, dst, payload=b"work"):
    return FederationMessage(message_types.COMPUTE, src, dst, 1, payload).encode()


class FakeESPNow:
    """espnow.ESPNow as far as the link uses it: at most 20 peers, one buffer for what comes in."""

    def __init__(self):
        self.air = []  # (sender, message) to be received
        self.sent = []  # (peer, message)
        self.peers = []
        self.most_peers = 0
        self._buffer = bytearray()

    def add_peer(self, peer):
        peer = bytes(peer)
        if peer in self.peers:
            raise OSError(-12395, "ESP_ERR_ESPNOW_EXIST")
        if len(self.peers) == 20:
            raise OSError(-12392, "ESP_ERR_ESPNOW_FULL")
        self.peers.append(peer)
        self.most_peers = max(self.most_peers, len(self.peers))

    def del_peer(self, peer):
        if bytes(peer) not in self.peers:
            raise OSError(-12393, "ESP_ERR_ESPNOW_NOT_FOUND")
        self.peers.remove(bytes(peer))

    def irecv(self, timeout):
        assert timeout == 0, "waits"
        if not self.air:
            return (None, None)
        sender, message = self.air.pop(0)
        self._buffer[:] = message
        return (sender, self._buffer)

    def send(self, peer, message, sync):
        assert not sync, "waits"
        if bytes(peer) not in self.peers:
            raise OSError(-12393, "ESP_ERR_ESPNOW_NOT_FOUND")
        self.sent.append((bytes(peer), bytes(message)))


def radio():
    esp = FakeESPNow()
    return esp, RadioLink(esp, MTU)


def received(link):
    """The next frame for this chip, or None."""
    length = link.receive()
    return bytes(link.frame[:length]) if length else None


def test_frames_come_in_as_they_were_sent():
    esp, link = radio()
    assert received(link) is None
    messages = [frame(HOST, 1), frame(HOST, BROADCAST, bytes(200)), b"x"]
    esp.air = [(HOST_MAC, message) for message in messages]
    assert [received(link) for _ in range(4)] == messages + [None]


def test_answers_go_to_the_station_that_asked():
    esp, link = radio()
    for sender in (mac(1), mac(1), mac(2), mac(1)):
        esp.air = [(sender, frame(HOST, 3))]
        assert received(link)
        link.send(bytearray(b"answer and more"), 6)
        assert esp.sent.pop() == (sender, b"answer")
        assert sorted(esp.peers) == sorted([EVERYBODY, sender])


def test_an_answer_after_silence_goes_to_the_last_station():
    esp, link = radio()
    esp.air = [(mac(1), frame(HOST, 3))]
    received(link)
    link.send(b"answer", 6)
    assert received(link) is None
    link.send(b"report", 6)
    assert esp.sent == [(mac(1), b"answer"), (mac(1), b"report")]


def test_a_kept_station_gets_the_answers_whoever_else_is_heard():
    esp, link = radio()
    esp.air = [(mac(1), frame(HOST, 3)), (mac(2), frame(2, BROADCAST))]
    received(link)
    link.keep_sender()
    received(link)
    link.send(b"answer", 6)
    link.broadcast(b"sum", 3)
    assert esp.sent == [(mac(1), b"answer"), (EVERYBODY, b"sum")]


def test_before_anyone_was_heard_nothing_is_sent():
    esp, link = radio()
    link.send(b"report", 6)
    assert esp.sent == []


def test_any_number_of_stations_takes_two_peers():
    esp, link = radio()
    for number in range(50):
        esp.air = [(mac(number), frame(number, 3))]
        received(link)
        link.send(b"answer", 6)
    assert esp.most_peers == 2
    assert len(esp.sent) == 50


def test_the_fake_has_the_traps_of_the_real_one():
    esp = FakeESPNow()
    for number in range(20):
        esp.add_peer(mac(number))
    raises(OSError, esp.add_peer, mac(20))
    raises(OSError, esp.add_peer, mac(1))
    raises(OSError, esp.del_peer, mac(30))
    raises(OSError, esp.send, mac(30), b"", False)


class Line(MemoryLink):
    """As UartLink, which writes what is queued when it has to."""

    def __init__(self, mtu):
        super().__init__(mtu)
        self.queued = []

    def queue(self, frame, length):
        self.queued.append(bytes(frame[:length]))

    def flush(self):
        self.sent += self.queued
        self.queued = []

    def send(self, frame, length):
        self.flush()
        super().send(frame, length)


class Cluster:
    """A gateway, chip 0, with the host's line on one side and the air on the other."""

    def __init__(self):
        self.line = Line(MTU)
        self.line.frame = bytearray(MTU)
        self.line.receive = self._from_host
        self.line.dropped = 3
        self.to_gateway = []
        self.esp, radio_link = radio()
        self.gateway = Gateway(0, self.line, radio_link)

    def _from_host(self):
        """As UartLink.receive, which fills one and the same buffer."""
        if not self.to_gateway:
            return 0
        message = self.to_gateway.pop(0)
        self.line.frame[: len(message)] = message
        return len(message)


def test_a_gateway_takes_its_own_frames():
    cluster = Cluster()
    cluster.to_gateway = [frame(HOST, 0), frame(HOST, 0, b"more")]
    assert received(cluster.gateway) == frame(HOST, 0)
    assert received(cluster.gateway) == frame(HOST, 0, b"more")
    assert received(cluster.gateway) is None
    assert cluster.esp.sent == []


def test_a_gateway_relays_frames_for_others_verbatim():
    cluster = Cluster()
    damaged = bytearray(frame(HOST, 4))
    damaged[-1] ^= 1  # that is for chip 4 to find out
    others = [frame(HOST, 3), bytes(damaged), frame(HOST, 250, bytes(100))]
    cluster.to_gateway = others[:2] + [frame(HOST, 0)] + others[2:]
    assert received(cluster.gateway) == frame(HOST, 0)
    assert received(cluster.gateway) is None
    assert cluster.esp.sent == [(EVERYBODY, other) for other in others]


def test_a_gateway_relays_a_broadcast_and_takes_it():
    cluster = Cluster()
    cluster.to_gateway = [frame(HOST, BROADCAST)]
    assert received(cluster.gateway) == frame(HOST, BROADCAST)
    assert cluster.esp.sent == [(EVERYBODY, frame(HOST, BROADCAST))]


def test_a_gateway_relays_all_answers_to_the_host_before_it_works():
    cluster = Cluster()
    answers = [frame(chip, HOST, bytes([chip]) * 50) for chip in (1, 2, 3)]
    cluster.esp.air = [(mac(chip), answer) for chip, answer in enumerate(answers)]
    cluster.to_gateway = [frame(HOST, 0)]
    assert received(cluster.gateway) == frame(HOST, 0)
    assert cluster.line.sent == answers
    assert cluster.esp.peers == [EVERYBODY]


def test_a_gateway_leaves_what_others_say_to_each_other():
    cluster = Cluster()
    cluster.esp.air = [(mac(1), message) for message in (frame(1, 2), b"", b"\2\x14\1")]
    assert received(cluster.gateway) is None
    assert cluster.line.sent == []


def test_a_gateway_hears_what_members_say_to_it_and_to_all():
    cluster = Cluster()
    cluster.esp.air = [(mac(1), frame(1, BROADCAST)), (mac(2), frame(2, 0))]
    assert received(cluster.gateway) == frame(1, BROADCAST)
    assert received(cluster.gateway) == frame(2, 0)
    assert received(cluster.gateway) is None and cluster.line.sent == []


def test_a_gateway_hears_the_host_however_much_is_on_the_air():
    cluster = Cluster()
    cluster.esp.air = [(mac(1), frame(1, BROADCAST, bytes([i]))) for i in range(6)]
    cluster.to_gateway = [frame(HOST, 0)] * 2
    heard = [received(cluster.gateway) for _ in range(4)]
    assert heard.count(frame(HOST, 0)) == 2


def test_a_gateway_relays_nothing_that_is_longer_than_its_buffers():
    cluster = Cluster()
    long = frame(1, HOST, bytes(MTU - 11))
    longest = frame(1, HOST, bytes(MTU - 12))
    cluster.esp.air = [(mac(1), message) for message in (long, longest, bytes(1470))]
    assert received(cluster.gateway) is None
    assert cluster.line.sent == [longest]


def test_a_gateway_answers_the_host_on_the_line():
    cluster = Cluster()
    cluster.gateway.send(bytearray(b"answer and more"), 6)
    assert (cluster.line.sent, cluster.esp.sent) == ([b"answer"], [])
    assert cluster.gateway.mtu == MTU


def test_a_gateway_tells_what_its_line_dropped():
    assert Cluster().gateway.dropped == 3


def test_a_gateway_relays_a_bounded_number_of_frames_a_poll():
    """Or a station that never stops would keep the host out."""
    cluster = Cluster()
    answers = [frame(1, HOST, bytes([i & 255])) for i in range(2 * RADIO_FRAMES_A_POLL + 1)]
    cluster.esp.air = [(mac(1), answer) for answer in answers]
    counts = []
    while cluster.esp.air:
        assert received(cluster.gateway) is None
        counts.append(len(cluster.line.sent) - sum(counts))
    assert counts == [RADIO_FRAMES_A_POLL, RADIO_FRAMES_A_POLL, 1]
    assert cluster.line.sent == answers


def test_an_answer_goes_where_the_last_frame_came_from_and_all_else_to_the_station_kept():
    esp = FakeESPNow()
    link = RadioLink(esp, MTU)
    esp.air = [(HOST_MAC, frame(HOST, 1)), (mac(9), frame(HOST, 1))]
    link.receive()
    link.keep_sender()
    link.receive()
    for send in (link.answer, link.send, link.send):
        send(frame(1, HOST), len(frame(1, HOST)))
    assert [peer for peer, _ in esp.sent] == [mac(9), HOST_MAC, HOST_MAC]
