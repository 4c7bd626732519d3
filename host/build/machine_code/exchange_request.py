"""What an exchange does with a STEP of the host for one position: as firmware/roles/all_reduce.py
and the beginning of firmware/roles/step.py do it."""

from __future__ import annotations

from host.build.machine_code.common import CommonCode
from host.build.machine_code.exchange_sums import wrap
from host.build.machine_code.exchange_words import (
    ATTENTION,
    ERA,
    FRAME,
    IDLE,
    LAYER,
    NOW,
    PHASE,
    ROWS,
    B,
    C,
    Place,
)
from host.build.machine_code.frames import COPIED
from protocol import messages
from protocol.frame import BROADCAST, DST, HEADER_SIZE, HOST, SRC, VERSION
from protocol.messages import (
    COUNT,
    POSITION,
    REQUEST_SIZE,
    SEQUENCE_ID,
    SEVERAL_RUNS,
    STEP_BITS,
    STEP_DATA,
    STEP_NUMBER,
    STEP_WANTS,
)


def check(code: CommonCode) -> None:
    """Goes to "other" unless the frame, of B bytes of payload, is a STEP of the host, not answered
    yet, for one position of the current sequence, while no step is under way and its collective
    is the next. C = 0."""
    code.load8("t0", FRAME, SRC)
    code.branch_number("t0", "!=", HOST, "other")
    code.load8("t0", FRAME, DST)
    code.branch_number("t0", "==", BROADCAST, "for all")
    code.get("t1", "chip")
    code.branch("t0", "!=", "t1", "other")
    code.label("for all")
    check_request(code)
    _check_collective(code)
    check_position(code)
    check_size(code)
    _check_answered(code)
    code.number(C, 0)


def check_request(code: CommonCode) -> None:
    """That no step is under way, and the frame wants one position taken through this group's
    layers."""
    code.get("t1", "place")
    code.load("t0", "t1", PHASE)
    code.branch_number("t0", "!=", IDLE, "other")
    code.load8("t0", FRAME, COUNT)
    code.branch_number("t0", "!=", 1, "other")
    code.load8("t0", FRAME, STEP_WANTS)
    code.branch_number("t0", ">=u", SEVERAL_RUNS, "other")
    code.load8("t0", FRAME, messages.LAYER)
    code.get("t1", "first_layer")
    code.branch("t0", "!=", "t1", "other")


def check_size(code: CommonCode) -> None:
    """That B bytes of payload are those of a residual stream of as many bits as it says."""
    code.load8("t0", FRAME, STEP_BITS)
    code.add("t1", "t0", -1)
    code.branch_number("t1", ">=u", 32, "other")
    code.get("t1", "dim")
    code.operate("*", "t0", "t0", "t1")
    code.add("t0", "t0", 7)
    code.shift("t0", "t0", -3)
    code.add("t0", "t0", STEP_DATA - HEADER_SIZE)
    code.branch("t0", "!=", B, "other")


def _check_collective(code: CommonCode) -> None:
    """The sequence, and the number of the step's first collective, whose epoch that is."""
    code.load16("t0", FRAME, SEQUENCE_ID, "t1")
    code.get("t1", "sequence")
    code.branch("t0", "!=", "t1", "other")
    code.get("t2", "state")
    code.load("t1", "t2", ERA)
    code.branch("t0", "!=", "t1", "other")
    code.load16("t0", FRAME, STEP_NUMBER, "t1")
    code.load("t1", "t2", NOW)
    code.add("t1", "t1", 1)
    wrap(code, "t1")
    code.branch("t0", "!=", "t1", "other")


def check_position(code: CommonCode) -> None:
    """That the context reaches the position, and that the last layer's cache holds all before."""
    code.load16("t0", FRAME, POSITION, "t1")
    code.get("t1", "context")
    code.branch("t0", ">=u", "t1", "other")
    code.get("t1", "positions")
    code.get("t2", "layers")
    code.shift("t2", "t2", 2)
    code.operate("+", "t1", "t1", "t2")
    code.add("t1", "t1", -4)
    code.load("t1", "t1")
    code.branch("t1", "<", "t0", "other")


def _check_answered(code: CommonCode) -> None:
    """Whether the answer that is kept belongs to another request."""
    code.get("t2", "answer")
    code.load8("t0", "t2", VERSION)
    code.branch_number("t0", "==", 0, "not answered")
    for place, in_answer in COPIED:
        code.load8("t0", FRAME, place)
        code.load8("t1", "t2", in_answer)
        code.branch("t0", "!=", "t1", "not answered")
    code.jump("other")
    code.label("not answered")


def take(code: CommonCode) -> None:
    """Begins the step of the frame that was checked."""
    code.get("t0", "request")
    code.move("t1", FRAME)
    code.number("t2", HEADER_SIZE + REQUEST_SIZE)
    code.label("byte of request")
    code.load8("t3", "t1")
    code.store8("t3", "t0")
    code.add("t0", "t0", 1)
    code.add("t1", "t1", 1)
    code.add("t2", "t2", -1)
    code.branch_number("t2", "!=", 0, "byte of request")
    code.get("t1", "rows")
    code.load16("t0", FRAME, SEQUENCE_ID, "t2")
    code.store("t0", "t1")
    code.load16("t0", FRAME, POSITION, "t2")
    code.store("t0", "t1", 4)
    code.get("t1", "places")
    code.store("t0", "t1", Place.POSITION)
    for word, at in (("positions", Place.POSITIONS), ("attention_values", Place.VALUES)):
        code.get("t0", word)
        code.store("t0", "t1", at)
    code.get("t1", "place")
    for value, place in ((0, LAYER), (ATTENTION, PHASE), (1, ROWS)):
        code.number("t0", value)
        code.store("t0", "t1", place)
    code.load8("t0", FRAME, STEP_BITS)
    code.call("unpack", FRAME, STEP_DATA, "residual", "dim", "t0")
