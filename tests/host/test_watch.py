"""Boards that die while their ports stay open, in virtual time."""

import random
import socket

import pytest

from host.diagnosis import listening
from host.diagnosis.listening import Listener, Source
from host.diagnosis.watch import SILENT_AFTER, Watch
from host.wire.framing import FrameSplitter, encode_frame
from protocol import message_types
from protocol.frame import MAX_FRAME
from tests.host.fake_chips import FakeChip

KEY = bytes(range(32))


class FakePort:
    """A port at which chips are. alive: whether they answer; loss: of frames, each way."""

    name = "/dev/fake"

    def __init__(self, *chips, loss=0.0):
        self.chips, self.alive, self.loss = chips, True, loss
        self.kinds = []  # of what the host sent
        self._waiting = b""
        self._splitter = FrameSplitter(MAX_FRAME)
        self._random = random.Random(3)
        self._end = socket.socket()

    def say(self, data):
        self._waiting += data

    def write(self, data):
        for frame in self._splitter.frames(data):
            self.kinds.append(frame[1])
            for chip in self.chips if self.alive else []:
                if frame[3] not in (chip.chip, 255) or self._is_lost():
                    continue
                self.say(b"".join(encode_frame(reply) for _, reply in chip.replies(frame)
                                  if not self._is_lost()))  # fmt: skip
        return len(data)

    @property
    def in_waiting(self):
        return len(self._waiting)

    def read(self, size):
        data, self._waiting = self._waiting[:size], self._waiting[size:]
        return data

    def fileno(self):
        return self._end.fileno()

    def close(self):
        self._end.close()

    def _is_lost(self):
        return self._random.random() < self.loss


class Watched:
    """A listener at a port, with a clock of its own."""

    def __init__(self, monkeypatch, port, key=b"", answers=True):
        monkeypatch.setattr(listening, "open_exclusively", lambda url, baud: port)
        self.port, self.now, self.lines = port, 0.0, []
        source = Source("chip 1", port.name, None, answers)
        self.listener = Listener(source, key, self._show, list)

    def _show(self, line):
        self.lines.append((self.now, line))

    def run(self, seconds):
        """Returns the lines of so many seconds more, each with its time."""
        end, before = self.now + seconds, len(self.lines)
        while self.now < end:
            self.listener.tick(self.now)
            while self.port.in_waiting:
                self.listener.receive(self.now)
            self.now += 0.05
        return self.lines[before:]


@pytest.fixture
def watch(monkeypatch):
    ports = []

    def start(*chips, loss=0.0, **options):
        port = FakePort(*chips, loss=loss)
        ports.append(port)
        return Watched(monkeypatch, port, **options)

    yield start
    for port in ports:
        port.close()


@pytest.mark.parametrize("key", [b"", KEY], ids=["unsigned", "signed"])
def test_a_board_that_dies_is_said_to_be_silent_within_five_seconds(watch, key):
    watched = watch(FakeChip(1, key=key), key=key)
    lines = [line for _, line in watched.run(60)]
    assert lines[0] == "chip 1: listening at /dev/fake"
    assert all("ready" in line for line in lines[1:])  # and nothing else in a minute
    assert message_types.STATISTICS in watched.port.kinds
    died, watched.port.alive = watched.now, False
    ((when, line),) = watched.run(60)
    assert when - died <= 5
    assert line == (
        "chip 1: no answer for 4.5 s, though its port is open: look at its power and cable"
    )
    watched.port.chips[0].restart()  # it has power again, and nothing of the session
    watched.port.alive = True
    lines = [line for _, line in watched.run(20)]
    assert lines and all("ready" in line for line in lines)
    watched.port.alive = False
    assert len(watched.run(5)) == 1


def test_a_board_that_never_answers(watch):
    watched = watch()
    (_, (when, line)) = watched.run(30)
    assert when <= 5 and line.startswith("chip 1: no answer for 4.5 s")


def test_chips_behind_a_gateway_are_watched_each(watch):
    gateway, other = FakeChip(0), FakeChip(4)
    watched = watch(gateway, other, loss=0.3)
    assert not [line for _, line in watched.run(600) if "no answer" in line]
    watched.port.chips = (gateway,)
    (line,) = [line for _, line in watched.run(5) if "no answer" in line]
    assert line.startswith("chip 4: no answer")


def test_whoever_is_at_a_prompt_is_not_disturbed(watch):
    watched = watch(FakeChip(1))
    watched.run(10)
    watched.port.alive = False
    watched.port.say(b"Traceback\r\n>>> ")
    before = len(watched.port.kinds)
    lines = [line for _, line in watched.run(60)]
    assert lines == ["chip 1: Traceback", "chip 1: >>>"]
    assert len(watched.port.kinds) <= before + 2  # until the prompt is complete


def test_a_board_that_starts_again_is_not_asked_while_it_offers_its_prompt(watch):
    watched = watch(FakeChip(1))
    watched.run(10)
    watched.port.alive = False
    watched.port.say(b"rst:0x1 (POWERON)\r\n")
    before = len(watched.port.kinds)
    watched.run(2.5)
    assert len(watched.port.kinds) == before
    watched.port.alive = True
    assert [line[:14] for _, line in watched.run(10)] == ["chip 1: ready:"]


def test_a_board_whose_node_answers_elsewhere_is_sent_nothing(watch):
    watched = watch(FakeChip(1), answers=False)
    assert len(watched.run(60)) == 1 and not watched.port.kinds


def test_a_watch_forgets(watch):
    watched = Watch()
    watched.note(3, 0.0)
    watched.forget()
    assert not watched.fallen_silent(SILENT_AFTER) and not watched.due(SILENT_AFTER)
