"""What an exchange does about frames of version 3: MACs and counters (protocol/auth.py)."""

from __future__ import annotations

from host.build.machine_code.common import CommonCode
from host.build.machine_code.exchange_words import FRAME, A
from protocol.auth import LAST_COUNTER, MAC_SIZE
from protocol.frame import HOST, SRC, TRAILER_SIZE

_COUNTER_SIZE = TRAILER_SIZE[3] - MAC_SIZE
_WINDOW = 64
_COMPARE, _APPEND = 0, 1  # tasks of authenticate


def _unless_signed(code: CommonCode, label: str) -> None:
    code.get("t0", "version")
    code.branch_number("t0", "==", 2, label)


def _counters(code: CommonCode) -> None:
    """t0 = the counter of the frame of A bytes; t1 = its source's highest, which lies at t2;
    changes t3."""
    code.operate("+", "t3", FRAME, A)
    code.add("t3", "t3", -TRAILER_SIZE[3])
    code.load8("t0", "t3", 3)
    for place in (2, 1, 0):
        code.load8("t1", "t3", place)
        code.shift("t0", "t0", 8)
        code.operate("|", "t0", "t0", "t1")
    _source(code, "t2")
    code.shift("t2", "t2", 2)
    code.get("t1", "highest")
    code.operate("+", "t2", "t2", "t1")
    code.load("t1", "t2")


def _source(code: CommonCode, to: str) -> None:
    """to = the place of the frame's source in what is kept of each; changes t4."""
    found = code.unique("source")
    code.load8(to, FRAME, SRC)
    code.branch_number(to, "!=", HOST, found)
    code.get(to, "host")
    code.label(found)


def verify_frame(code: CommonCode) -> None:
    """Goes to "other" unless a frame of version 3, of A bytes, is authentic and newer than all
    before it of its source. Changes nothing yet."""
    _unless_signed(code, "verified")
    _counters(code)
    code.branch_number("t0", ">=u", LAST_COUNTER + 1, "other")
    code.branch("t1", ">=", "t0", "other")
    code.operate("-", "t0", "t0", "t1")
    code.branch_number("t0", ">=u", _WINDOW, "other")
    code.add("t0", A, -MAC_SIZE)
    code.call("authenticate", "states", "constants", 0, FRAME, "t0", _COMPARE)
    code.branch_number("t0", "==", 0, "other")
    code.label("verified")


def mark_counter(code: CommonCode) -> None:
    """Has the counter of a verified frame of version 3 be its source's highest, as _is_new of
    protocol/auth.py does: 64 bits say which were seen."""
    _unless_signed(code, "marked")
    _counters(code)
    code.store("t0", "t2")
    _source(code, "t2")
    code.shift("t2", "t2", 3)
    code.get("t3", "seen")
    code.operate("+", "t3", "t3", "t2")
    code.label("not seen")
    code.add("t1", "t1", 1)
    code.number("t4", 7)
    code.operate("&", "t2", "t1", "t4")
    code.number("t4", 1)
    code.operate("<<", "t4", "t4", "t2")
    code.put("t4", "spare")
    code.shift("t2", "t1", -3)
    code.number("t4", 7)
    code.operate("&", "t2", "t2", "t4")
    code.operate("+", "t2", "t2", "t3")
    code.put("t3", "spare_1")
    code.get("t3", "spare")
    code.load8("t4", "t2")
    code.operate("|", "t4", "t4", "t3")
    code.branch("t0", "==", "t1", "seen")
    code.operate("^", "t4", "t4", "t3")
    code.store8("t4", "t2")
    code.get("t3", "spare_1")
    code.jump("not seen")
    code.label("seen")
    code.store8("t4", "t2")
    code.label("marked")


def check_counter(code: CommonCode, otherwise: str) -> None:
    """Goes to a label where this chip has used up its counters; changes t0, t4."""
    countable = code.unique("countable")
    _unless_signed(code, countable)
    code.get("t0", "counter")
    code.load("t0", "t0")
    code.branch_number("t0", "==", LAST_COUNTER, otherwise)
    code.label(countable)


def end_frame(code: CommonCode) -> None:
    """Ends the frame that goes out, of A bytes, with its trailer, which A then counts too."""
    _unless_signed(code, "sum")
    code.get("t1", "counter")
    code.load("t0", "t1")
    code.add("t0", "t0", 1)
    code.store("t0", "t1")
    code.operate("+", "t1", FRAME, A)
    for place in range(_COUNTER_SIZE):
        code.store8("t0", "t1", place)
        code.shift("t0", "t0", -8)
    code.add(A, A, _COUNTER_SIZE)
    code.call("authenticate", "states", "constants", 0, FRAME, A, _APPEND)
    code.add(A, A, MAC_SIZE)
    code.jump("ended")
    code.label("sum")
    code.call("put_crc32", FRAME, A, "table")
    code.add(A, A, TRAILER_SIZE[2])
    code.label("ended")
