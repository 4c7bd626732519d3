"""Ports that have no descriptor: of a board at another machine, by RFC 2217."""

import gc
import os
import random
import select
import socket
import threading
import time
import tty

import pytest
import serial

from host.errors import ClusterError
from host.links.access import PortClosed, open_exclusively
from host.links.port_search import PortSearch, Probe
from host.links.transport import Line, Transport, open_port
from host.wire.framing import FrameSplitter, encode_frame
from protocol.frame import HOST, seal
from protocol.message_types import COMPUTE
from tests.host.rfc2217_server import Rfc2217Server


@pytest.fixture(autouse=True)
def collected():
    """pyserial's client waits 0.3 s when it is closed, and again when it is collected: not in the
    thread of a server that the next test talks to."""
    yield
    gc.collect()


@pytest.fixture
def device():
    """Both ends of a terminal: the board's, and the path of the host's."""
    board, host = os.openpty()
    tty.setraw(host)
    yield board, os.ttyname(host)
    os.close(board)
    os.close(host)


@pytest.fixture
def server(device):
    with Rfc2217Server(device[1]) as offered:
        yield offered


def frame_of(size, sequence):
    """A frame with every byte that telnet or COBS treats in a way of its own."""
    content = bytes(random.choices([0, 1, 13, 255, 254, 7], k=size))
    frame = bytearray(size + 12)
    frame[8 : 8 + size] = content
    return bytes(frame[: seal(frame, 2, COMPUTE, 0, HOST, sequence, size)])


def received(transport, count):
    found, deadline = [], time.monotonic() + 30
    while len(found) < count:
        assert time.monotonic() < deadline, f"{len(found)} of {count} frames came"
        found += [bytes(frame) for frame in transport.receive(1)]
    return found


def test_frames_go_both_ways_whatever_is_in_them(device, server):
    random.seed(8)
    board, _ = device
    line = Line(open_port(server.url, 115200))
    transport = Transport({0: line}, 2068)
    frames = [frame_of(size, sequence) for sequence, size in enumerate((9, 200, 1500) * 10)]
    threading.Thread(
        target=lambda: [os.write(board, encode_frame(frame)) for frame in frames], daemon=True
    ).start()
    assert received(transport, len(frames)) == frames
    splitter, there = FrameSplitter(2068), []
    for frame in frames:
        line.send(frame)
        while len(there) < 1 or there[-1] != frame:
            line.flush()
            if select.select([board], [], [], 10)[0]:
                there += splitter.frames(os.read(board, 4096))
    assert there == frames


def test_a_connection_that_breaks_off_is_a_lost_port(server):
    transport = Transport({3: Line(open_port(server.url, 115200))}, 2068)
    server.hang_up()
    with pytest.raises(ClusterError, match=r"^lost the port of chip 3: .*rfc2217://"):
        while True:
            transport.receive(10)


def test_how_much_has_come_can_be_asked_as_of_any_port(device, server):
    board, _ = device
    port = open_exclusively(server.url, 115200)
    assert port.in_waiting == 0 and port.read(0) == b"" == port.read(5)
    os.write(board, b"\xff\x00abc")
    while port.in_waiting < 5:
        select.select([port], [], [], 10)
    assert port.read(0) == b"" and port.read(port.in_waiting) == b"\xff\x00abc"
    server.hang_up()
    with pytest.raises(serial.SerialException, match="is lost"):
        while True:
            select.select([port], [], [], 10)
            assert not port.in_waiting
    port.close()


def test_what_was_written_is_sent_before_a_port_is_closed(device, server):
    board, _ = device
    port = open_port(server.url, 115200)
    port.write(b"\r\x03\x02\x04")
    port.close()
    assert select.select([board], [], [], 10)[0] and os.read(board, 9) == b"\r\x03\x02\x04"


def test_a_search_closes_a_port_that_is_lost(server):
    with PortSearch(Probe()) as search:
        search.add(server.url)
        server.hang_up()
        assert search.find_any(10) is None  # at once, for there is no port left
        assert list(search.closed) == [server.url]


@pytest.mark.parametrize("address", ["there", "there:", ":4000", "there:70000", ""])
@pytest.mark.parametrize("scheme", ["rfc2217", "socket"])
def test_an_address_that_lacks_something_is_one_line(scheme, address):
    url = f"{scheme}://{address}"
    with pytest.raises(PortClosed, match=f"^cannot open port {url}: ") as caught:
        open_exclusively(url, 115200)
    assert "not supported" not in str(caught.value)  # as Python says of None


def test_a_closed_port_leaves_no_thread(server):
    before = set(threading.enumerate())
    port = open_exclusively(server.url, 115200)
    ours = [thread for thread in set(threading.enumerate()) - before
            if thread.name.endswith(("(_copy_in)", "(_copy_out)"))]  # fmt: skip
    assert len(ours) == 2
    port.close()
    for thread in ours:
        thread.join(10)
        assert not thread.is_alive()


def test_no_server_is_one_line():
    with socket.create_server(("127.0.0.1", 0)) as gone:
        number = gone.getsockname()[1]
    with pytest.raises(ClusterError, match="^cannot open port rfc2217://") as caught:
        open_port(f"rfc2217://127.0.0.1:{number}", 115200)
    assert "\n" not in str(caught.value)


def test_writing_to_a_lost_port_is_told(server):
    port = open_port(server.url, 115200)
    server.hang_up()
    with pytest.raises(serial.SerialException, match="is lost"):
        while True:
            port.read(1)
            port.write(b"\0")
