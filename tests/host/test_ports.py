"""Finding chips at ports: by USB's MAC, where they were, or by asking everywhere."""

from contextlib import ExitStack
from dataclasses import dataclass, replace

import pytest

from host.cluster import ports
from host.cluster.cluster_fields import FlashedChip
from host.cluster.ports import find_lines, open_lines
from host.errors import ClusterError
from host.links import port_search
from host.links.access import PortClosed
from host.links.discovery import Candidate, find_candidates, locate
from protocol import message_types
from protocol.messages import FAULT, encode_error
from tests.clusters import cluster_file
from tests.host.fake_chips import FakeChip
from tests.host.pty_chips import PtyChip

KEY = bytes(range(32))
ESPRESSIF, BRIDGE, MODEM = 0x303A, 0x10C4, 0x1199
ARDUINO, ADAFRUIT = 0x2341, 0x239A
CLUSTER = cluster_file()


@dataclass
class ListedPort:
    """As pyserial lists it."""

    device: str
    vid: int | None = BRIDGE
    serial_number: str | None = "0001"
    product: str | None = None


@pytest.fixture(autouse=True)
def short_timeouts(monkeypatch):
    monkeypatch.setattr(ports, "EXPECTED_TIMEOUT", 0.3)
    monkeypatch.setattr(ports, "TIMEOUT", 0.7)
    monkeypatch.setattr(port_search, "RETRANSMIT_SECONDS", 0.1)


@pytest.fixture
def plugged():
    """Plugs in boards: chips by id, None for what says nothing."""
    with ExitStack() as stack:
        yield lambda *chips: [stack.enter_context(PtyChip(chip)) for chip in chips]


def mac(number):
    return f"34:85:18:00:00:{number:02x}"


def flashed(*urls, cluster=CLUSTER):
    """The cluster with chips that were last seen at these ports."""
    chips = tuple(FlashedChip(i, "esp32s3", mac(i), url) for i, url in enumerate(urls))
    return replace(cluster, flashed=chips)


def found(cluster, wanted, *listed):
    """The ports by chip; all are closed again."""
    lines = find_lines(cluster, wanted, lambda: listed)
    names = {chip: line.port.name for chip, line in lines.items()}
    for line in lines.values():
        line.port.close()
    return names


def urls(boards):
    return [board.url for board in boards]


def test_only_what_may_be_a_board_is_a_candidate():
    listed = [
        ListedPort("/dev/ttyACM0", ESPRESSIF, "34:85:18:AB:CD:EF"),
        ListedPort("/dev/ttyACM1", ESPRESSIF, "348518abcdee"),
        ListedPort("/dev/ttyACM2", ESPRESSIF, None),
        ListedPort("/dev/ttyUSB0", BRIDGE, "348518abcdef"),
        ListedPort("/dev/ttyUSB1", MODEM, "1"),
        ListedPort("/dev/ttyS0", None, None),
        ListedPort("/dev/ttyACM3", ARDUINO, "348518ABCDED", "Nano ESP32"),
        ListedPort("/dev/ttyACM4", ARDUINO, "75830303934351E011A1", "Arduino Uno"),
        ListedPort("/dev/ttyACM5", ADAFRUIT, "348518abcdec", "Feather S3"),
        ListedPort("/dev/ttyACM6", ADAFRUIT, None, "Feather ESP32-S3 TFT"),
        ListedPort("/dev/ttyACM7", ADAFRUIT, "DF625857C7234A2F", "Feather RP2040"),
    ]
    assert find_candidates(lambda: listed) == [
        Candidate("/dev/ttyACM0", "34:85:18:ab:cd:ef"),
        Candidate("/dev/ttyACM1", "34:85:18:ab:cd:ee"),
        Candidate("/dev/ttyACM2"),
        Candidate("/dev/ttyUSB0"),
        Candidate("/dev/ttyACM3", "34:85:18:ab:cd:ed"),
        Candidate("/dev/ttyACM5", "34:85:18:ab:cd:ec"),
        Candidate("/dev/ttyACM6"),
    ]


def test_a_mac_tells_more_than_the_port_where_a_board_was():
    present = [Candidate("A", mac(1)), Candidate("B", mac(2)), Candidate("C")]
    assert locate(mac(1), "B", present) == "A"
    assert locate(mac(3), "A", present) is None
    assert locate(mac(3), "C", present) == "C"
    assert locate(mac(3), "socket://elsewhere:1", present) == "socket://elsewhere:1"


def test_chips_are_where_they_were(plugged):
    boards = plugged(0, 1, 2)
    assert found(flashed(*urls(boards)), [0, 1, 2]) == dict(enumerate(urls(boards)))
    other = plugged(None)[0]
    assert found(flashed(*urls(boards)), [1], ListedPort(other.url)) == {1: boards[1].url}
    assert not other.heard


def test_chips_that_changed_places_and_one_at_a_new_port(plugged):
    boards = plugged(0, 1, 2)
    cluster = flashed(boards[1].url, boards[0].url, "/dev/none")
    listed = [ListedPort(url) for url in urls(boards)]
    assert found(cluster, [0, 1, 2], *listed) == dict(enumerate(urls(boards)))


def test_a_spare_board_with_the_shard_of_one_that_stays_away(plugged):
    """It stands by at a port of its own, and is left alone while the chip is there."""
    first, second, spare = plugged(0, 1, 1)
    cluster = flashed(first.url, second.url)
    listed = [ListedPort(spare.url, ESPRESSIF, "34:85:18:00:00:99")]
    assert found(cluster, [0, 1], *listed) == {0: first.url, 1: second.url}
    assert not spare.heard
    second.unplug()
    assert found(cluster, [0, 1], *listed) == {0: first.url, 1: spare.url}


def test_a_board_is_found_by_its_mac_and_others_are_left_alone(plugged):
    new, other, modem = plugged(0, None, None)
    cluster = flashed(other.url)
    listed = [
        ListedPort(new.url, ESPRESSIF, mac(0)),
        ListedPort(other.url, ESPRESSIF, mac(9)),
        ListedPort(modem.url, MODEM),
    ]
    assert found(cluster, [0], *listed) == {0: new.url}
    assert not other.heard and not modem.heard


def test_chips_with_a_key_answer_those_who_have_it(plugged):
    boards = plugged(*(FakeChip(chip, key=KEY) for chip in range(2)))
    cluster = flashed(*urls(boards), cluster=replace(CLUSTER, key=KEY))
    assert found(cluster, [0, 1]) == dict(enumerate(urls(boards)))
    with pytest.raises(ClusterError) as caught:
        found(replace(cluster, key=bytes(32)), [0, 1])
    assert str(caught.value) == (
        f"chip 0 does not answer at {', '.join(sorted(urls(boards)))}:"
        " python -m host.doctor looks at why"
    )
    with pytest.raises(ClusterError, match=r"one with a key answers only where its federation"):
        found(replace(cluster, key=b""), [0, 1])


def test_a_chip_that_failed_to_start_is_found_too(plugged):
    chip = FakeChip(0)
    chip.answers = lambda message, frame, length: iter(
        [(0, message_types.ERROR, encode_error(FAULT, 0, 0, "no shard"))]
    )
    (board,) = plugged(chip)
    assert found(flashed(board.url), [0]) == {0: board.url}


def test_the_ports_listed_by_a_user_in_any_order(plugged):
    boards = plugged(2, 0, 1)
    lines = open_lines(urls(boards), CLUSTER, [0, 1, 2])
    assert [lines[chip].port.name for chip in (2, 0, 1)] == urls(boards)
    for line in lines.values():
        line.port.close()


def test_two_boards_that_are_the_same_chip(plugged):
    boards = plugged(1, 1)
    with pytest.raises(ClusterError) as caught:
        open_lines(urls(boards), CLUSTER, [0, 1])
    text = str(caught.value)
    assert text.startswith("two boards answer as chip 1: at ")
    assert all(url in text for url in urls(boards))


def test_a_port_that_does_not_open_and_a_silent_one(plugged):
    silent, stranger = plugged(None, 7)
    with pytest.raises(PortClosed, match="there is no port /dev/none"):
        open_lines(["/dev/none", silent.url], CLUSTER, [0, 1])
    with pytest.raises(ClusterError, match=f"^chip 0 does not answer at {silent.url} "):
        open_lines([silent.url], CLUSTER, [0])
    with pytest.raises(ClusterError, match=f", but chip 7 at {stranger.url} "):
        open_lines(urls([stranger, silent]), CLUSTER, [0, 1])
    with pytest.raises(PortClosed, match="there is no port /dev/none"):
        found(flashed("/dev/none"), [0])
    assert silent.heard


def test_a_port_that_goes_while_it_is_asked(plugged):
    (board,) = plugged(None)
    with port_search.PortSearch(port_search.Probe()) as search:
        search.add(board.url)
        board.unplug()
        assert search.find({0}, 1) == {0}
        assert search.closed[board.url].wrong == f"lost the port {board.url}"


def test_ports_are_free_after_a_search(plugged):
    boards = plugged(0, None)
    for _ in range(2):
        with pytest.raises(ClusterError, match="chip 1 does not answer"):
            open_lines(urls(boards), CLUSTER, [0, 1])
