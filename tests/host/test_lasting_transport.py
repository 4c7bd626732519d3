"""Ports that go and come back, over pseudo-terminals."""

import os
import time

import pytest

from host.errors import ClusterError
from host.links.access import PortClosed
from host.links.reconnecting_transport import LastingTransport
from host.wire.framing import encode_frame
from protocol.frame import BROADCAST
from tests.host.test_transport import Terminal, frame

PATIENCE = 0.6


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
def transport(terminals, returned):
    def reopened(chip):
        if chip not in returned:
            raise PortClosed("there is no port", "plug the board in")
        return returned[chip].line.port

    lines = dict(enumerate(terminal.line for terminal in terminals))
    transport = LastingTransport(lines, 250, reopened, PATIENCE)
    yield transport
    transport.close()


def received(transport, count=1):
    """So many frames."""
    frames, end = [], time.monotonic() + 5
    while len(frames) < count and time.monotonic() < end:
        frames += transport.receive(0.05)
    return frames


@pytest.mark.parametrize("noticed", ["reading", "sending"])
def test_a_port_that_comes_back_elsewhere_is_used_again(
    terminals, returned, transport, noticed
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
    assert received(transport) == [frame(b"other")]
    returned[1] = Terminal()
    os.write(returned[1].chip, encode_frame(frame(b"back")))
    assert received(transport) == [frame(b"back")]
    transport.send(b"again", 1)
    assert returned[1].received() == [b"again"]
    returned[1].close()


def test_a_port_that_stays_away_ends_it(terminals, transport):
    terminals[1].hang_up()
    lost = time.monotonic()
    with pytest.raises(ClusterError, match=r"^lost the port of chip 1: "):
        while time.monotonic() < lost + 5:
            transport.receive(0.05)
    assert PATIENCE <= time.monotonic() - lost < 3


def test_behind_a_gateway_all_chips_come_back_with_it(terminals, returned):
    returned[0] = terminals[1]
    line = terminals[0].line
    transport = LastingTransport(
        dict.fromkeys(range(3), line), 250, lambda chip: returned[chip].line.port, PATIENCE
    )
    terminals[0].hang_up()
    transport.receive(0.01)
    transport.receive(0.01)
    transport.send(b"two", 2)
    assert terminals[1].received() == [b"two"]
    transport.close()
