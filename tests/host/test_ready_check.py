"""Boards that do not start after they were flashed: what is said of them, and when."""

import pytest

from host.cluster import ready_check
from host.cluster.place import Place
from host.cluster.ready_check import READY_TIMEOUT, await_ready
from host.errors import FlashError
from host.hardware import boards
from host.parallel.parallelism import Link
from tests.host.pty_chips import PtyChip

TRACEBACK = b'Traceback (most recent call last):\r\n  File "main.py", line 1\r\nMemoryError: \r\n'


@pytest.fixture
def board(monkeypatch):
    monkeypatch.setattr(ready_check, "_START_SECONDS", 0.1)
    with PtyChip() as chip:
        yield chip


class FailingChip:
    """Fails at the first frame, by which a board's first moments are over."""

    def __init__(self, board, printed):
        self._board, self._printed = board, printed

    def replies(self, frame):
        self._board.say(self._printed)
        return ()


def failure(board, timeout, located):
    """What is said of a board; located: gets a port for each time that it was looked for."""
    place = Place(boards.load("esp32s3"), board.url, 1, 2, Link("uart"))

    def locate():
        located.append(board.url)
        return board.url

    with pytest.raises(FlashError) as caught:
        await_ready(None, place, locate, timeout)
    return str(caught.value)


@pytest.mark.parametrize(
    ("printed", "line"),
    [
        (TRACEBACK, "the board was written, and its program fails: MemoryError: "),
        (b">>> ", "the board was written, and its program fails: look at it by mpremote"),
    ],
)
def test_a_program_that_fails_while_its_answer_is_awaited_is_quoted(board, printed, line):
    board.chip = FailingChip(board, printed)
    located = []
    assert failure(board, READY_TIMEOUT, located) == line
    assert len(located) == 1


def test_a_board_that_says_nothing_is_waited_for_once(board):
    located = []
    assert failure(board, 0.2, located) == (
        "the board was written, and does not start: chip 1 did not answer for 0.2 s"
        " (after flashing)"
    )
    assert len(located) == 1
