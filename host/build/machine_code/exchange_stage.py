"""Takes in what comes to a stage of a pipeline, around `exchange`: the STEP of the stage before,
and acknowledgements; acknowledges the STEP, and hands over what comes of it.

What firmware/compute/exchange_stage.py says of it, for RV32IM and Xtensa;
firmware/roles/pipeline.py and firmware/roles/handover.py say the same in Python.
"""

from __future__ import annotations

from host.build.machine_code import exchange_output as output
from host.build.machine_code import exchange_request as request
from host.build.machine_code import exchange_signed as signed
from host.build.machine_code.common import CommonCode
from host.build.machine_code.exchange import check_length
from host.build.machine_code.exchange_sums import count, wrap
from host.build.machine_code.exchange_words import (
    ANSWER,
    ATTENTION,
    BEGUN,
    ENDED,
    ERA,
    FINISH,
    FRAME,
    NOW,
    OTHER,
    PHASE,
    ROUND,
    A,
    B,
    C,
    Stage,
)
from protocol.frame import BROADCAST, DST, HEADER_SIZE, HOST, LENGTH, SEQUENCE, SRC, TYPE, VERSION
from protocol.message_types import ACK, STEP
from protocol.messages import SEQUENCE_ID, STEP_NUMBER, STEP_WANTS, WANTS_MASK

_SHORTEST = HEADER_SIZE + 4  # a frame of the oldest version, without payload
_HALF = 0x8000  # numbers wrap: one less than half the circle behind is older
_NONE = -1
_CACHE_WORDS = 12  # bytes of a slot's words


def stage(code: CommonCode) -> None:
    """Words and results as of `exchange`, which this calls for all but STEPs and ACKs. An ACK of
    this chip's lies where contributions do. To bytes of a frame is added what the block says of
    one for the host, and of an output for all."""
    with code.function({"k0": 0, FRAME: 1, A: 2}):
        code.branch_number(A, "==", 0, "go on")
        code.branch_number(A, "<", 0, "enter")
        _check(code)
        signed.verify_frame(code)
        signed.mark_counter(code)
        for word, more in (("received", ""), ("bytes_received", A)):
            count(code, word, more)
        code.branch_number(C, "==", ACK, "acknowledged")
        _take(code)
        output.write_acknowledgement(code)
        code.jump("end frame")
        code.label("acknowledged")
        _take_acknowledgement(code)
        for name, result in (("none", 0), ("other", OTHER), ("finish", FINISH)):
            code.label(name)
            code.number("t0", result)
            code.jump("leave")
        code.label("go on")
        code.get(B, "place")
        code.load("t0", B, PHASE)
        code.branch_number("t0", "==", ENDED, "step ended")
        code.branch_number("t0", "!=", BEGUN, "combine")
        code.number("t0", ATTENTION)
        code.store("t0", B, PHASE)
        code.label("enter")
        code.number(A, -1)
        code.label("combine")
        _choose_answer(code)
        code.call("combine", "k0", FRAME, A)
        _look_at_result(code)
        code.label("step ended")
        output.write(code)
        code.label("end frame")
        signed.end_frame(code)
        count(code, "sent")
        count(code, "bytes_sent", A)
        code.operate("+", "t0", A, C)
        code.label("leave")


def _check(code: CommonCode) -> None:
    """Goes to "none" for a frame for another chip, to "combine" for one that is neither STEP nor
    ACK, to "other" unless it is one of these that this can take in. C = its type, ROUND = where
    the stage's words lie; of an ACK, B = who has not acknowledged the last message."""
    code.branch_number(A, "<u", _SHORTEST, "other")
    code.load8("t0", FRAME, DST)
    code.branch_number("t0", "==", BROADCAST, "for this")
    code.get("t1", "chip")
    code.branch("t0", "!=", "t1", "none")
    code.label("for this")
    code.load8("t0", FRAME, VERSION)
    code.get("t1", "version")
    code.branch("t0", "!=", "t1", "other")
    code.load8(C, FRAME, TYPE)
    code.branch_number(C, "==", STEP, "own")
    code.branch_number(C, "!=", ACK, "combine")
    code.label("own")
    check_length(code)
    _check_source(code)
    # Nothing that bytecode is to do when this is taken in.
    code.get(ROUND, "stage")
    code.load("t0", ROUND, Stage.MADE_MS)
    code.branch_number("t0", "!=", _NONE, "other")
    code.load("t0", ROUND, Stage.PENDING)
    code.branch_number("t0", "!=", 0, "other")
    code.branch_number(C, "==", STEP, "step")
    code.load(B, ROUND, Stage.MISSING)
    code.branch_number(B, "==", 0, "other")
    code.load16("t0", FRAME, SEQUENCE, "t1")
    code.load("t1", ROUND, Stage.NUMBER)
    code.branch("t0", "!=", "t1", "other")
    code.jump("checked")
    code.label("step")
    request.check_request(code)
    _check_number(code)
    _find_cache(code)
    request.check_position(code)
    request.check_size(code)
    signed.check_counter(code, "other")
    code.label("checked")


def _check_source(code: CommonCode) -> None:
    """That a frame of version 3 is of the host or a chip of the cluster; HOST is above these."""
    code.load8("t0", FRAME, SRC)
    code.branch_number("t0", "==", BROADCAST, "other")
    code.branch_number("t0", "==", HOST, "known")
    code.get("t1", "version")
    code.branch_number("t1", "==", 2, "known")
    code.get("t1", "host")
    code.branch("t0", ">=u", "t1", "other")
    code.label("known")


def _check_number(code: CommonCode) -> None:
    """That a STEP is newer than the one begun last, whose words lie at ROUND, and that its first
    collective is the next; the frame's sequence is the STEP's number."""
    code.load16("t0", FRAME, STEP_NUMBER, "t1")
    code.load16("t1", FRAME, SEQUENCE, "t2")
    code.branch("t0", "!=", "t1", "other")
    code.load("t1", ROUND, Stage.TAKEN)
    code.branch_number("t1", "==", _NONE, "newer")
    code.operate("-", "t1", "t1", "t0")
    wrap(code, "t1")
    code.branch_number("t1", "<u", _HALF, "other")
    code.label("newer")
    code.get("t1", "layers")
    code.operate("*", "t0", "t0", "t1")
    code.shift("t0", "t0", 1)
    code.get("t1", "state")
    code.load("t2", "t1", ERA)
    code.branch_number("t2", "!=", 0, "other")
    code.load("t1", "t1", NOW)
    code.add("t1", "t1", 1)
    code.operate("-", "t0", "t0", "t1")
    wrap(code, "t0")
    code.branch_number("t0", "!=", 0, "other")


def _find_cache(code: CommonCode) -> None:
    """Has the block say what the slot of the STEP's sequence has; goes to "other" where that is
    another sequence's."""
    code.load16("t0", FRAME, SEQUENCE_ID, "t1")
    code.get("t1", "slots")
    code.remainder("t2", "t0", "t1")
    code.number("t1", _CACHE_WORDS)
    code.operate("*", "t2", "t2", "t1")
    code.get("t1", "sequences")
    code.operate("+", "t2", "t2", "t1")
    code.load("t1", "t2")
    code.branch("t0", "!=", "t1", "other")
    for place, word in ((4, "positions"), (8, "attention_values")):
        code.load("t0", "t2", place)
        code.put("t0", word)


def _take(code: CommonCode) -> None:
    """Takes in the STEP that was checked; its step enters the first phase in the next call."""
    request.take(code)
    code.get("t1", "request")
    code.number("t0", HOST)  # errors go to the host
    code.store8("t0", "t1", SRC)
    code.get("t1", "place")
    code.number("t0", BEGUN)
    code.store("t0", "t1", PHASE)
    code.load16("t0", FRAME, STEP_NUMBER, "t1")
    code.store("t0", ROUND, Stage.TAKEN)
    code.number("t0", 1)
    code.store("t0", ROUND, Stage.BEGUN)


def _take_acknowledgement(code: CommonCode) -> None:
    """As Handover.on_acknowledgement, of the message that B says who has not acknowledged; the
    handover's words lie at ROUND."""
    code.load8("t0", FRAME, SRC)
    code.get("t1", "receivers")
    code.get("t2", "receiver_count")
    code.number("t3", 1)
    code.label("receiver")
    code.load8("t4", "t1")
    code.branch("t4", "==", "t0", "found")
    code.add("t1", "t1", 1)
    code.shift("t3", "t3", 1)
    code.add("t2", "t2", -1)
    code.branch_number("t2", "!=", 0, "receiver")
    code.jump("none")
    code.label("found")
    code.operate("&", "t0", B, "t3")
    code.operate("^", B, B, "t0")
    code.store(B, ROUND, Stage.MISSING)


def _choose_answer(code: CommonCode) -> None:
    """Has `exchange` answer where this chip's answer is for the host and wanted, the host has
    acknowledged the last one, and no STEP waits."""
    code.get("t2", "to_host")
    code.branch_number("t2", "==", 0, "chosen")
    code.number("t2", 0)
    code.get("t1", "request")
    code.load8("t0", "t1", STEP_WANTS)
    code.number("t1", WANTS_MASK)
    code.operate("&", "t0", "t0", "t1")
    code.branch_number("t0", "==", 0, "chosen")
    output.load_waiting(code)
    code.branch_number("t0", "!=", 0, "chosen")
    code.get("t2", "kept")
    code.label("chosen")
    code.put("t2", "answer")


def _look_at_result(code: CommonCode) -> None:
    """Leaves with what `exchange` gave, unless the step has ended without an answer; notes what
    is handed over where it has ended with one."""
    code.branch_number("t0", "==", FINISH, "perhaps ended")
    code.number("t1", ANSWER)
    code.branch("t0", "<", "t1", "leave")
    code.get("t1", "kept")
    code.load16("t2", "t1", LENGTH, "t3")
    output.note_handover(code, "t2", "t3")
    code.jump("leave")
    code.label("perhaps ended")
    code.get(B, "place")
    code.load("t1", B, PHASE)
    code.branch_number("t1", "!=", ENDED, "leave")
