"""Ports that are lost and come back, over pseudo-terminals and in virtual time."""

import os

import pytest

from host.errors import ClusterError
from host.links.access import PortClosed
from host.links.reconnecting_transport import ReconnectingTransport
from host.wire.framing import encode_frame
from protocol.frame import BROADCAST
from tests.host.test_transport import Terminal, frame

TIMEOUT = 100


@pytest.fixture
def terminals():
    pair = [Terminal(), Terminal()]
    yield pair
    for terminal in pair:
        terminal.close()


@pytest.fixture
def returned():
    """The terminals at which chips are found again, by chip."""
    return {}


@pytest.fixture
def transport(terminals, returned, clock):
    def reopen(chip):
        if chip not in returned:
            raise PortClosed("there is no port", "plug the board in")
        return returned[chip].line.port

    lines = dict(enumerate(terminal.line for terminal in terminals))
    transport = ReconnectingTransport(lines, 250, reopen, TIMEOUT, clock)
    yield transport
    transport.close()


def received(transport, clock, count=1):
    """So many frames, with time for a port to be tried again."""
    frames = []
    for _ in range(200):
        clock.now += 0.25
        frames += transport.receive(0.05)
        if len(frames) >= count:
            break
    return frames


@pytest.mark.parametrize("noticed", ["reading", "sending"])
def test_a_port_that_comes_back_elsewhere_is_used_again(
    terminals, returned, transport, clock, noticed
):
    half = encode_frame(frame(b"half"))[:3]
    os.write(terminals[1].chip, half)
    transport.receive(0.01)
    terminals[1].hang_up()
    if noticed == "reading":
        assert transport.receive(0.01) == []
    transport.send(b"lost", 1)
    transport.send(b"all", BROADCAST)
    assert terminals[0].received() == [b"all"]  # the others go on
    os.write(terminals[0].chip, encode_frame(frame(b"other")))
    assert received(transport, clock) == [frame(b"other")]
    returned[1] = Terminal()
    os.write(returned[1].chip, encode_frame(frame(b"back")))
    assert received(transport, clock) == [frame(b"back")]
    transport.send(b"again", 1)
    assert returned[1].received() == [b"again"]
    returned[1].close()


def test_a_port_that_stays_away_ends_it(terminals, transport, clock):
    terminals[1].hang_up()
    assert transport.receive(0) == []
    clock.now += TIMEOUT
    assert transport.receive(0) == []
    clock.now += 0.25
    with pytest.raises(ClusterError, match=r"^lost the port of chip 1: "):
        transport.receive(0)


def test_a_lost_port_is_tried_now_and_then(terminals, clock):
    tried = []

    def reopen(chip):
        tried.append((chip, clock.now))
        raise PortClosed("there is no port", "plug the board in")

    lines = dict(enumerate(terminal.line for terminal in terminals))
    transport = ReconnectingTransport(lines, 250, reopen, TIMEOUT, clock)
    terminals[0].hang_up()
    for _ in range(10):
        transport.receive(0)
        clock.now += 0.1
    assert tried == [(0, pytest.approx(1000 + wait)) for wait in (0.1, 0.4, 0.7)]
    transport.close()


def test_behind_a_gateway_all_chips_come_back_with_it(terminals, returned, clock):
    returned[0] = terminals[1]
    line = terminals[0].line
    transport = ReconnectingTransport(
        dict.fromkeys(range(3), line), 250, lambda chip: returned[chip].line.port, TIMEOUT, clock
    )
    terminals[0].hang_up()
    transport.receive(0.01)
    transport.receive(0.01)
    transport.send(b"two", 2)
    assert terminals[1].received() == [b"two"]
    transport.close()
