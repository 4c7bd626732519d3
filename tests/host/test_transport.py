"""Lines to chips over pseudo-terminals: partial writes, damage, ports that are lost, counting."""

import os
import resource
import socket
import time
import tty

import pytest
import serial

from host.errors import ClusterError
from host.links.transport import MOST_PENDING, Line, Transport, open_port
from host.wire.framing import FrameSplitter, encode_frame
from protocol.frame import BROADCAST, HOST, MAX_FRAME


def frame(content=b"", destination=HOST, source=1):
    """What is looked at of a frame on its way, and then `content`."""
    return bytes([2, 0x13, source, destination]) + content


FRAMES = [frame(bytes([number]) * number) for number in range(9)]


class Terminal:
    """A pseudo-terminal: `line` is the host's end of it, `chip` the descriptor of the other."""

    def __init__(self):
        self.chip, slave = os.openpty()
        tty.setraw(slave)
        os.set_blocking(self.chip, False)
        self.line = Line(open_port(os.ttyname(slave), 115200))
        os.close(slave)
        self._splitter = FrameSplitter(MAX_FRAME)

    def received(self, timeout=10.0):
        """The frames that have come to the chip, as soon as there are any."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            try:
                frames = self._splitter.frames(os.read(self.chip, 4096))
            except BlockingIOError:
                frames = []
            if frames:
                return frames
            time.sleep(0.001)
        return []

    def hang_up(self):
        os.close(self.chip)
        self.chip = None

    def close(self):
        if self.chip is not None:
            self.hang_up()


@pytest.fixture
def terminals():
    pair = [Terminal(), Terminal()]
    yield pair
    for terminal in pair:
        terminal.close()


@pytest.fixture
def transport(terminals):
    transport = Transport({0: terminals[0].line, 1: terminals[1].line})
    yield transport
    transport.close()


def test_a_frame_goes_to_its_chip_and_a_broadcast_to_each_port_once(terminals, transport):
    transport.send(b"to one", 1)
    assert terminals[1].received() == [b"to one"] and terminals[0].received(0.02) == []
    transport.send(b"\0to all\0", BROADCAST)
    assert [terminal.received() for terminal in terminals] == [[b"\0to all\0"]] * 2
    assert (transport.frames_sent, transport.bytes_sent) == (3, 6 + 2 * 8)


def test_behind_a_gateway_a_broadcast_is_one_frame(terminals):
    transport = Transport(dict.fromkeys(range(5), terminals[0].line), 250)
    transport.send(b"all", BROADCAST)
    transport.send(b"three", 3)
    frames = terminals[0].received()
    while len(frames) < 2:
        frames += terminals[0].received()
    assert frames == [b"all", b"three"] and transport.mtu == 250
    transport.close()


def test_frames_are_received_from_all_ports_however_they_are_cut(terminals, transport):
    cut = encode_frame(frame(b"cut"))
    os.write(terminals[0].chip, b"".join(map(encode_frame, FRAMES[:5])) + cut[:3])
    os.write(terminals[1].chip, encode_frame(FRAMES[5]))
    frames = transport.receive(1)
    while len(frames) < 6:
        frames += transport.receive(1)
    assert sorted(frames) == sorted(FRAMES[:6])
    os.write(terminals[0].chip, cut[3:])
    assert transport.receive(1) == [frame(b"cut")]
    assert (transport.frames_received, transport.bytes_received) == (7, 6 * 4 + 15 + 7)


def test_a_damaged_frame_does_not_take_the_next_with_it(terminals, transport):
    os.write(
        terminals[0].chip, b"\x09\x07junk\0" + b"\xff" * 50 + b"\0" + encode_frame(frame(b"good"))
    )
    assert transport.receive(1) == [frame(b"good")]


@pytest.fixture
def waits(transport, monkeypatch):
    """The timeouts with which the transport waits for its ports; it does not."""
    timeouts, select = [], transport._selector.select

    def at_once(timeout):
        timeouts.append(timeout)
        return select(0)

    monkeypatch.setattr(transport._selector, "select", at_once)
    return timeouts


def test_receiving_waits_as_long_as_asked(transport, waits):
    for timeout in (0.05, 0.0, -1.0):
        assert transport.receive(timeout) == []
    assert waits == [0.05, 0.0, 0]


def test_receiving_waits_a_moment_where_a_port_is_full(transport, waits):
    while not transport.is_sending(0):
        transport.send(b"x" * 2000, 0)
    transport.receive(5)
    assert waits == [0.001]


def test_writing_never_waits_and_what_a_port_does_not_take_follows_later(terminals, transport):
    frames = []
    while terminals[0].line.pending < MOST_PENDING // 2:  # a pty holds 4 to 64 KB
        frames.append(bytes([1 + len(frames) % 255]) * 2000)
        transport.send(frames[-1], 0)  # nobody reads meanwhile: if it waited, it would for ever
    assert transport.is_sending(0) and not transport.is_sending(1)
    arrived = []
    while len(arrived) < len(frames):
        arrived += terminals[0].received()
        transport.receive(0)
    assert arrived == frames
    assert not transport.is_sending(0)
    transport.send(b"after", 0)
    assert terminals[0].received() == [b"after"]


def test_a_full_port_does_not_keep_answers_of_others_waiting(terminals, transport):
    for _ in range(100):
        transport.send(b"x" * 2000, 0)
    os.write(terminals[1].chip, encode_frame(frame(b"answer")))
    frames = []
    end = time.monotonic() + 10
    while not frames and time.monotonic() < end:
        frames = transport.receive(0.5)
    assert frames == [frame(b"answer")]


def test_what_a_chip_sends_to_others_is_passed_on(terminals, transport):
    to_all, to_one = frame(b"all", BROADCAST, source=0), frame(b"one", 0)
    os.write(terminals[0].chip, encode_frame(to_all))
    os.write(terminals[1].chip, encode_frame(to_one) + encode_frame(frame(b"nobody", 77)))
    end = time.monotonic() + 10
    while transport.frames_relayed < 2 and time.monotonic() < end:
        assert transport.receive(0.1) == []
    assert terminals[1].received() == [to_all] and terminals[0].received() == [to_one]
    assert (transport.frames_relayed, transport.bytes_relayed) == (2, 14)
    assert (transport.frames_sent, transport.frames_received) == (0, 0)


def test_behind_a_gateway_nothing_comes_back(terminals):
    transport = Transport(dict.fromkeys(range(5), terminals[0].line), 250)
    os.write(terminals[0].chip, encode_frame(frame(b"all", BROADCAST)))
    os.write(terminals[0].chip, encode_frame(frame(b"host")))
    frames, end = [], time.monotonic() + 10
    while not frames and time.monotonic() < end:  # a terminal may pass on one before the other
        frames = transport.receive(1)
    assert frames == [frame(b"host")] and terminals[0].received(0.05) == []
    transport.close()


@pytest.mark.parametrize("lost", [0, 1])
def test_a_port_that_is_gone_is_named_by_its_chip_when_it_is_read(terminals, transport, lost):
    terminals[lost].hang_up()
    with pytest.raises(ClusterError, match=f"^lost the port of chip {lost}: "):
        transport.receive(1)


def test_a_port_that_is_gone_is_named_by_its_chip_when_it_is_written(terminals, transport):
    terminals[1].hang_up()
    with pytest.raises(ClusterError, match="^lost the port of chip 1: "):
        transport.send(b"frame", BROADCAST)


def test_a_port_that_goes_with_frames_pending_is_named_too(terminals, transport):
    for _ in range(100):
        transport.send(b"x" * 2000, 1)
    assert transport.is_sending(1)
    terminals[1].hang_up()
    with pytest.raises(ClusterError, match="^lost the port of chip 1: "):
        transport.receive(1)


@pytest.mark.parametrize(
    "url", ["/dev/no such port", "/dev/null", "nonsense://", "socket://[::1]:1"]
)
def test_a_port_that_does_not_open_is_one_line(url):
    with pytest.raises(ClusterError) as caught:
        open_port(url, 115200)
    assert str(caught.value).startswith(f"cannot open port {url}: ")
    assert "\n" not in str(caught.value)


def test_a_port_without_a_descriptor_is_refused():
    with pytest.raises(ClusterError, match="cannot open port loop://"):
        open_port("loop://", 115200)


def test_a_socket_will_do():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = open_port(f"socket://127.0.0.1:{server.getsockname()[1]}", 115200)
        assert isinstance(port, serial.SerialBase)
        port.close()


def test_more_ports_than_can_be_waited_for_are_told_in_one_line():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    chip, slave = os.openpty()
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 2048), hard))
    held = []
    try:
        while not held or held[-1] < 1023:
            held.append(os.dup(chip))
        with pytest.raises(ClusterError, match=r"^cannot wait for so many ports \(1024 files"):
            open_port(os.ttyname(slave), 115200)
    finally:
        for descriptor in (*held, chip, slave):
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_line_that_hangs_keeps_some_frames_and_loses_the_others_whole(terminals):
    terminal = terminals[0]
    line, sent = terminal.line, [frame(bytes([i % 251, i // 251]) * 500) for i in range(2000)]
    for each in sent:
        line.send(each)
        assert line.pending <= MOST_PENDING
    assert line.pending > MOST_PENDING - 2000 and line.dropped > 900
    came = []
    while line.pending:
        came += terminal.received()
        line.flush()
    line.send(frame(b"after it"))
    while came[-1] != frame(b"after it"):
        came += terminal.received()
    # Whole and in order. The kernel may make room after a frame was dropped, so that a later one
    # is kept.
    later = iter(sent)
    assert all(each in later for each in came[:-1])
    assert len(came) - 1 + line.dropped == len(sent)
