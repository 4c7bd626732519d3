"""The frames that a stage of a pipeline makes: the acknowledgement of a STEP, and what it hands
over to the next stage, as firmware/roles/pipeline.py writes them."""

from __future__ import annotations

from host.build.machine_code import exchange_signed as signed
from host.build.machine_code.common import CommonCode
from host.build.machine_code.exchange_words import (
    ANSWER,
    FRAME,
    IDLE,
    LIMIT,
    PHASE,
    ROWS,
    A,
    B,
    C,
    Stage,
)
from host.build.machine_code.frames import BOOT_ID
from protocol.collective import CONTRIBUTION_FIELDS
from protocol.frame import DST, HEADER_SIZE, HOST, LENGTH, SEQUENCE, SRC, TYPE, VERSION
from protocol.message_types import ACK, STEP
from protocol.messages import (
    ACK_SIZE,
    LAYER,
    REQUEST_SIZE,
    STEP_BITS,
    STEP_DATA,
    STEP_NUMBER,
    STEP_WANTS,
    WANTS_MASK,
)


def _copy_request(code: CommonCode, source: str) -> None:
    """Copies the fields of a request from one frame to the one at FRAME, and writes what all
    frames have that this chip sends but their type, destination and length; changes t0 to t3."""
    copied = code.unique("copied")
    code.add("t0", FRAME, HEADER_SIZE)
    code.add("t1", source, HEADER_SIZE)
    code.number("t2", REQUEST_SIZE)
    code.label(copied)
    code.load8("t3", "t1")
    code.store8("t3", "t0")
    code.add("t0", "t0", 1)
    code.add("t1", "t1", 1)
    code.add("t2", "t2", -1)
    code.branch_number("t2", "!=", 0, copied)
    code.get("t0", "version")
    code.store8("t0", FRAME, VERSION)
    code.get("t0", "chip")
    code.store8("t0", FRAME, SRC)
    code.get("t1", "stage")
    code.load("t0", "t1", Stage.TAKEN)
    code.store16("t0", FRAME, SEQUENCE)


def write_acknowledgement(code: CommonCode) -> None:
    """Writes the acknowledgement of the STEP at FRAME but for its trailer; its address is in FRAME
    then, its bytes so far in A, and in C what is to be added to those that are given."""
    code.move(B, FRAME)
    code.get(FRAME, "frame")
    _copy_request(code, B)
    code.get("t0", "boot_id")
    code.store16("t0", FRAME, BOOT_ID)
    code.number("t0", ACK)
    code.store8("t0", FRAME, TYPE)
    code.number("t0", ACK_SIZE)
    code.store16("t0", FRAME, LENGTH)
    code.number(A, HEADER_SIZE + ACK_SIZE)
    code.load8("t0", B, SRC)
    code.store8("t0", FRAME, DST)
    code.number(C, 0)
    code.branch_number("t0", "!=", HOST, "acknowledges")
    code.get(C, "for_host")
    code.label("acknowledges")


def write(code: CommonCode) -> None:
    """Writes the output of a step that has ended, B its place's address, but for its trailer; as
    write_acknowledgement leaves it. Goes to "none" where there is nothing to hand over, and to
    "finish" where that is for bytecode: while the last output is not acknowledged, where a STEP
    waits, and for what does not fit a frame."""
    load_waiting(code)
    code.branch_number("t0", "!=", 0, "finish")
    code.get("t0", "output_layer")
    code.branch_number("t0", "!=", 0, "hands over")
    code.get("t0", "to_host")
    code.branch_number("t0", "==", 0, "nothing")
    code.get("t1", "request")
    code.load8("t0", "t1", STEP_WANTS)
    code.number("t1", WANTS_MASK)
    code.operate("&", "t0", "t0", "t1")
    code.branch_number("t0", "!=", 0, "finish")
    code.label("nothing")
    code.number("t0", IDLE)
    code.store("t0", B, PHASE)
    code.jump("none")
    code.label("hands over")
    _measure(code)
    code.number("t0", IDLE)
    code.store("t0", B, PHASE)
    code.get("t2", "spare")
    note_handover(code, "t2", "t1")
    code.get(FRAME, "kept")
    code.put(FRAME, "answer")  # what `take_line` is to encode
    code.get(B, "request")
    _copy_request(code, B)
    code.load("t0", "t1", Stage.TAKEN)
    code.store16("t0", FRAME, STEP_NUMBER)
    for word, place in (("output_layer", LAYER), ("to", DST)):
        code.get("t0", word)
        code.store8("t0", FRAME, place)
    code.store8(C, FRAME, STEP_BITS)
    code.number("t0", STEP)
    code.store8("t0", FRAME, TYPE)
    code.get("t0", "spare")
    code.store16("t0", FRAME, LENGTH)
    code.call("pack", FRAME, STEP_DATA, "residual", A, C)
    code.get(A, "spare")
    code.add(A, A, HEADER_SIZE)
    code.get(C, "for_all")
    code.number("t0", ANSWER)
    code.operate("+", C, C, "t0")


def load_waiting(code: CommonCode) -> None:
    """t0 = 0 unless the last message is not acknowledged, or a STEP waits; changes t1."""
    code.get("t1", "stage")
    code.load("t0", "t1", Stage.MISSING)
    code.load("t1", "t1", Stage.PENDING)
    code.operate("|", "t0", "t0", "t1")


def _measure(code: CommonCode) -> None:
    """Goes to "finish" unless the residual stream fits a frame that this chip has a counter for;
    A = its elements, C = the bits of each, the word "spare" = bytes of payload."""
    code.load("t0", B, ROWS)
    code.get(A, "dim")
    code.operate("*", A, A, "t0")
    code.call("bits_needed", "residual", A)
    code.move(C, "t0")
    code.operate("*", "t0", A, C)
    code.add("t0", "t0", 7)
    code.shift("t0", "t0", -3)
    code.add("t0", "t0", STEP_DATA - HEADER_SIZE)
    code.get("t1", "state")
    code.load("t1", "t1", LIMIT)
    code.shift("t1", "t1", -3)
    code.add("t1", "t1", CONTRIBUTION_FIELDS)
    code.branch("t1", "<", "t0", "finish")
    code.put("t0", "spare")
    signed.check_counter(code, "finish")


def note_handover(code: CommonCode, size: str, spare: str) -> None:
    """Notes in the stage's words that a message of so many bytes of payload is handed over; keeps
    t0."""
    code.get(spare, "stage")
    code.store(size, spare, Stage.SIZE)
    code.load(size, spare, Stage.TAKEN)
    code.store(size, spare, Stage.NUMBER)
    code.get(size, "everybody")
    code.store(size, spare, Stage.MISSING)
    code.number(size, 1)
    code.store(size, spare, Stage.HANDED)
