"""What an exchange does with a group's sums, as protocol/collective.py does it."""

from __future__ import annotations

from host.build.machine_code import exchange_signed as signed
from host.build.machine_code.common import CommonCode
from host.build.machine_code.exchange_words import (
    AGAIN,
    ARRIVED,
    BITS_AT,
    COUNT,
    COUNT_AT,
    DATA_AT,
    EPOCH_AT,
    ERA,
    FIRST_AT,
    FRAME,
    FRESH,
    LEFT,
    LIMIT,
    MADE_FOR,
    NEWS,
    NOW,
    OWN,
    PIECE_AT,
    PIECES_AT,
    ROUND,
    ROUND_WORDS,
    STATE,
    TOTAL,
    TURN,
    WAITED,
    A,
    B,
    C,
)
from protocol.frame import BROADCAST, DST, HEADER_SIZE, LENGTH, SEQUENCE, SRC, TYPE, VERSION
from protocol.message_types import CONTRIBUTION

_CHANCES, _CAME = 3, 1  # of news: all that may be, and that a contribution came
_BEGUN, _PACED = 1, 2  # of what is fresh


def wrap(code: CommonCode, number: str) -> None:
    """Takes a number's lowest sixteen bits; changes t4."""
    code.number("t4", 0xFFFF)
    code.operate("&", number, number, "t4")


def find_round(code: CommonCode, number: str) -> None:
    """ROUND = the words of the collective with a number, which is changed; changes t4."""
    code.number("t4", 1)
    code.operate("&", number, number, "t4")
    code.number("t4", ROUND_WORDS)
    code.operate("*", number, number, "t4")
    code.address("t4", "total")
    code.operate("+", ROUND, "t4", number)


def add_left(code: CommonCode, value: int) -> None:
    """Changes how many members are missing; changes t2, t3."""
    code.load("t3", ROUND, STATE)
    code.load("t2", "t3", LEFT)
    code.add("t2", "t2", value)
    code.store("t2", "t3", LEFT)


def count(code: CommonCode, word: str, more: str = "") -> None:
    """Adds to a word of the block a register, or 1; changes t0."""
    code.get("t0", word)
    code.operate("+", "t0", "t0", more) if more else code.add("t0", "t0", 1)
    code.put("t0", word)


def begin(code: CommonCode) -> None:
    """The next collective begins with B rows of this chip's; B = their elements, FRAME = where the
    collectives' state lies, A = its number."""
    code.get("t0", "dim")
    code.operate("*", B, B, "t0")
    code.get(FRAME, "state")
    code.load(A, FRAME, NOW)
    code.add(A, A, 1)
    wrap(code, A)
    code.store(A, FRAME, NOW)
    code.move("t0", A)
    find_round(code, "t0")
    code.branch_number(B, "==", 0, "nothing to add")
    code.load("t0", ROUND, TOTAL)
    code.load("t1", ROUND, OWN)
    code.call("contribute", "t0", 0, "out", "t1", B)
    code.label("nothing to add")
    add_left(code, -1)
    code.store(A, "t3", MADE_FOR)
    code.store(B, "t3", COUNT)
    code.number("t0", 0)
    code.store("t0", "t3", AGAIN)
    code.get("t1", "me")
    code.move("t2", "t1")
    code.shift("t1", "t1", 2)
    code.operate("+", "t1", "t1", "t3")
    code.number("t0", -1)
    code.store("t0", "t1", ARRIVED)
    # As Silence.begin.
    code.operate("+", "t2", "t2", A)
    code.get("t1", "members")
    code.remainder("t0", "t2", "t1")
    code.shift("t0", "t0", -1)
    code.store("t0", FRAME, TURN)
    code.load("t0", FRAME, FRESH)
    code.number("t1", _BEGUN)
    code.load("t2", FRAME, NEWS)
    code.branch_number("t2", "!=", _CAME, "not paced")
    code.number("t1", _BEGUN | _PACED)
    code.label("not paced")
    code.operate("|", "t0", "t0", "t1")
    code.store("t0", FRAME, FRESH)
    code.number("t0", _CHANCES)
    code.store("t0", FRAME, NEWS)
    code.number("t0", 0)
    code.store("t0", FRAME, WAITED)


def clear_next(code: CommonCode) -> None:
    """Makes room for contributions to the next that come early; changes C."""
    code.move(C, ROUND)
    code.add("t0", A, 1)
    find_round(code, "t0")
    code.load("t0", ROUND, TOTAL)
    code.call("_clear", "t0", "capacity")
    code.load("t0", ROUND, STATE)
    code.add("t0", "t0", ARRIVED)
    code.call("_clear", "t0", "members")
    code.load("t0", ROUND, STATE)
    code.get("t1", "members")
    code.store("t1", "t0", LEFT)
    code.move(ROUND, C)


def write(code: CommonCode) -> None:
    """Writes the frame with this chip's contribution, number A and of B elements, but for its
    trailer; its address is in FRAME, its bytes so far in A, and C is not 0. Goes to "pieces" where
    one does not do."""
    code.load("t0", ROUND, OWN)
    code.call("bits_needed", "t0", B)
    code.move(C, "t0")
    code.get("t1", "bits")
    code.branch("t1", "<", C, "pieces")
    code.operate("*", "t0", C, B)
    code.load("t1", FRAME, LIMIT)
    code.branch("t1", "<", "t0", "pieces")
    signed.check_counter(code, "pieces")
    code.load("t1", FRAME, ERA)
    code.get(FRAME, "frame")
    code.store16("t1", FRAME, EPOCH_AT)
    code.get("t0", "version")
    code.store8("t0", FRAME, VERSION)
    code.get("t0", "chip")
    code.store8("t0", FRAME, SRC)
    code.store8(C, FRAME, BITS_AT)
    for place, value in ((TYPE, CONTRIBUTION), (DST, BROADCAST), (PIECE_AT, 0), (PIECES_AT, 1),
                         (FIRST_AT, 0), (FIRST_AT + 1, 0)):  # fmt: skip
        code.number("t0", value)
        code.store8("t0", FRAME, place)
    code.store16(A, FRAME, SEQUENCE)
    code.load("t0", ROUND, OWN)
    code.call("pack", FRAME, DATA_AT, "t0", B, C)
    code.store16(B, FRAME, COUNT_AT)
    code.add(A, "t0", DATA_AT)
    code.add("t0", A, -HEADER_SIZE)
    code.store16("t0", FRAME, LENGTH)
