"""What an exchange answers at the end of a step of one position: as Step.write_answer of
firmware/roles/step.py does it."""

from __future__ import annotations

from host.build.machine_code import exchange_signed as signed
from host.build.machine_code.common import CommonCode
from host.build.machine_code.exchange_rows import find_phase, normalize
from host.build.machine_code.exchange_words import (
    BY_BYTECODE,
    ENDED,
    FRAME,
    IDLE,
    LIMIT,
    PHASE,
    ROUND,
    ROWS,
    A,
    B,
    C,
    Entry,
)
from host.build.machine_code.frames import COPIED
from protocol import message_types as types
from protocol.collective import CONTRIBUTION_FIELDS
from protocol.frame import HEADER_SIZE, LENGTH, TYPE, VERSION
from protocol.messages import (
    ACK_SIZE,
    BEST_LOGIT,
    BEST_PLACE,
    BEST_SIZE,
    BEST_TOKEN,
    BOOT_ID,
    LOGITS_DATA,
    LOGITS_FIRST_ROW,
    LOGITS_SHIFT,
    STEP_WANTS,
    WANTS_BEST,
    WANTS_LOGITS,
    WANTS_NOTHING,
)

_BELOW = -32768  # less than any logit


def check(code: CommonCode) -> None:
    """Goes to "finish" unless the step at A is of one position, and ends with an answer of one
    frame: an ACK, the two best tokens, or logits; or has none."""
    code.get("t1", "answer")
    code.branch_number("t1", "==", 0, "answerable")
    code.branch_number("t1", "==", BY_BYTECODE, "finish")
    code.load("t0", A, ROWS)
    code.branch_number("t0", "!=", 1, "finish")
    signed.check_counter(code, "finish")
    code.get("t1", "request")
    code.load8("t0", "t1", STEP_WANTS)
    code.branch_number("t0", "==", WANTS_NOTHING, "answerable")
    code.get("t1", "logit_rows")
    code.branch_number("t1", "==", 0, "answerable")
    code.branch_number("t0", "==", WANTS_BEST, "answerable")
    code.branch_number("t0", "!=", WANTS_LOGITS, "finish")
    code.get("t1", "logits_end")
    code.branch_number("t1", "==", 0, "finish")
    code.get("t2", "state")
    code.load("t2", "t2", LIMIT)
    code.shift("t2", "t2", -3)
    code.add("t2", "t2", CONTRIBUTION_FIELDS + HEADER_SIZE)
    code.branch("t2", "<", "t1", "finish")
    code.label("answerable")


def write(code: CommonCode) -> None:
    """Ends the step at A, and writes its answer but for the trailer; its address is in FRAME, its
    bytes so far in A, and C = 0. One without an answer has ended then, and goes to "finish"."""
    find_phase(code)  # behind the last layer's is the vocabulary's
    code.get(FRAME, "answer")
    code.number("t0", ENDED)
    code.store("t0", A, PHASE)
    code.branch_number(FRAME, "==", 0, "finish")
    code.number("t0", IDLE)
    code.store("t0", A, PHASE)
    code.get(ROUND, "request")
    for place, in_answer in COPIED:
        code.load8("t0", ROUND, place)
        code.store8("t0", FRAME, in_answer)
    code.get("t0", "boot_id")
    code.store16("t0", FRAME, BOOT_ID)
    code.get("t0", "version")
    code.store8("t0", FRAME, VERSION)
    code.number(A, HEADER_SIZE + ACK_SIZE)
    code.number("t0", types.ACK)
    code.load8("t1", ROUND, STEP_WANTS)
    code.branch_number("t1", "==", WANTS_NOTHING, "answered")
    code.get("t1", "logit_rows")
    code.branch_number("t1", "==", 0, "answered")
    code.number(B, 0)
    normalize(code, "x")
    code.load("t0", C, Entry.PROGRAM)
    code.load("t1", C, Entry.VALUES)
    code.call("run_program", "t0", "t1", 0, "out")
    code.load8("t0", ROUND, STEP_WANTS)
    code.branch_number("t0", "==", WANTS_BEST, "best of them")
    code.call("store_int16s", "logits", 0, LOGITS_DATA, FRAME, "logit_rows")
    code.get("t0", "first_row")
    code.store16("t0", FRAME, LOGITS_FIRST_ROW)
    code.get("t0", "exponent")
    code.store8("t0", FRAME, LOGITS_SHIFT)
    code.get(A, "logits_end")
    code.number("t0", types.LOGITS)
    code.jump("answered")
    code.label("best of them")
    _write_best(code)
    code.number(A, BEST_TOKEN + BEST_SIZE)
    code.number("t0", types.BEST)
    code.label("answered")
    code.store8("t0", FRAME, TYPE)
    code.add("t0", A, -HEADER_SIZE)
    code.store16("t0", FRAME, LENGTH)
    code.number(C, 0)


def _write_best(code: CommonCode) -> None:
    """The best tokens and their logits, in the places of which there are others then."""
    code.move(B, FRAME)
    code.number(C, BEST_SIZE // BEST_PLACE)
    code.label("best")
    code.call("best", "logits", "logit_rows")
    code.shift("t1", "t0", 2)
    code.get("t2", "logits")
    code.operate("+", "t1", "t1", "t2")
    code.get("t2", "first_row")
    code.operate("+", "t0", "t0", "t2")
    code.store16("t0", B, BEST_TOKEN)
    code.load("t0", "t1")
    code.store16("t0", B, BEST_LOGIT)
    code.number("t0", _BELOW)
    code.store("t0", "t1")
    code.add(B, B, BEST_PLACE)
    code.add(C, C, -1)
    code.branch_number(C, "!=", 0, "best")
