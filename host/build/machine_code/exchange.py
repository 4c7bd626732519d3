"""Takes in STEPs and contributions of a group's other chips, and goes on to this one's next, or to
the step's answer, in one call.

What firmware/compute/exchange.py says of it, for RV32IM and Xtensa; protocol/collective.py,
protocol/retransmit.py and firmware/roles/step.py say the same in Python.
"""

from __future__ import annotations

from host.build.machine_code import exchange_answer as answer
from host.build.machine_code import exchange_request as request
from host.build.machine_code import exchange_signed as signed
from host.build.machine_code import exchange_step as step
from host.build.machine_code import exchange_sums as sums
from host.build.machine_code.common import CommonCode
from host.build.machine_code.exchange_sums import add_left, count, find_round, wrap
from host.build.machine_code.exchange_words import (
    ANSWER,
    ARRIVED,
    BITS_AT,
    COMPUTE,
    COUNT_AT,
    DATA_AT,
    EPOCH_AT,
    ERA,
    FINISH,
    FIRST_AT,
    FRAME,
    NEWS,
    NOW,
    OTHER,
    PIECE_AT,
    PIECES,
    PIECES_AT,
    ROUND,
    STATE,
    TOTAL,
    WAITED,
    A,
    B,
    C,
)
from protocol.collective import CONTRIBUTION_FIELDS, MAX_PIECES
from protocol.frame import BROADCAST, DST, HEADER_SIZE, LENGTH, SEQUENCE, SRC, TYPE, VERSION
from protocol.message_types import CONTRIBUTION, STEP

_SHORTEST = HEADER_SIZE + CONTRIBUTION_FIELDS + 4  # a frame of the oldest version
_CAME = 1  # of news: a contribution


def exchange(code: CommonCode) -> None:
    """Words: block, frame, bytes of the frame: 0 to go on without one, -1 to enter the phase that
    the step is in, COMPUTED where its sums are computed. Gives the bytes of the frame that is to
    be sent, and ANSWER more for the step's answer; 0 if there is none, OTHER for a frame that is
    not for this, with all as it was, FINISH where the step's last sum is there and its answer is
    not for this, PIECES where this chip's sums have to be sent otherwise, COMPUTE where bytecode
    is to compute them."""
    with code.function({"k0": 0, FRAME: 1, A: 2}):
        code.number("t0", 0)
        code.branch(A, "==", "t0", "go on")
        code.branch(A, "<", "t0", "enter")
        _check(code)
        signed.verify_frame(code)
        signed.mark_counter(code)
        for word, more in (("received", ""), ("bytes_received", A)):
            count(code, word, more)
        code.branch_number(C, "!=", 0, "contribution")
        request.take(code)
        code.jump("enter")
        # Here, for that is within reach of all branches.
        _give(code, "other", OTHER)
        code.label("contribution")
        _take(code)
        code.label("go on")
        step.complete(code)
        step.add_sums(code)
        code.label("enter")
        step.compute(code)
        sums.begin(code)
        sums.clear_next(code)
        code.get("t0", "members")
        code.branch_number("t0", "==", 1, "go on")
        sums.write(code)
        code.label("end frame")
        _end_frame(code)
        code.label("answer")
        answer.write(code)
        code.jump("end frame")
        for name, result in (("finish", FINISH), ("pieces", PIECES), ("to compute", COMPUTE)):
            _give(code, name, result)
        code.label("none")
        code.number("t0", 0)
        code.label("leave")


def _give(code: CommonCode, name: str, result: int) -> None:
    """Gives a result, from a label on."""
    code.label(name)
    code.number("t0", result)
    code.jump("leave")


def _end_frame(code: CommonCode) -> None:
    """Ends the frame that goes out, of A bytes as yet, counts and gives it: a contribution, or
    where C = 0 an answer."""
    signed.end_frame(code)
    count(code, "sent")
    count(code, "bytes_sent", A)
    code.move("t0", A)
    code.branch_number(C, "!=", 0, "leave")
    code.number("t1", ANSWER)
    code.operate("+", "t0", "t0", "t1")
    code.jump("leave")


def _check(code: CommonCode) -> None:
    """Goes to "other" unless the frame, of A bytes, is a sound STEP, for which C = 0, or a sound
    CONTRIBUTION to the collective that is being waited for or to the next, with elements that have
    not come; B = its piece as a set, C = where the set of those that came of its sender lies,
    ROUND = the collective's words."""
    code.branch_number(A, "<u", _SHORTEST, "other")
    code.load8("t0", FRAME, VERSION)
    code.get("t1", "version")
    code.branch("t0", "!=", "t1", "other")
    check_length(code)
    code.load8("t0", FRAME, TYPE)
    code.branch_number("t0", "!=", STEP, "no step")
    request.check(code)
    code.jump("checked")
    code.label("no step")
    code.branch_number("t0", "!=", CONTRIBUTION, "other")
    code.load8("t0", FRAME, DST)
    code.branch_number("t0", "!=", BROADCAST, "other")
    _check_elements(code)
    _check_number(code)
    # The sender, and what came of it.
    code.load8("t0", FRAME, SRC)
    code.get("t1", "member_of")
    code.operate("+", "t0", "t0", "t1")
    code.load8("t0", "t0")
    code.branch_number("t0", "==", 0xFF, "other")
    code.get("t1", "me")
    code.branch("t0", "==", "t1", "other")
    code.load(C, ROUND, STATE)
    code.shift("t0", "t0", 2)
    code.operate("+", C, C, "t0")
    code.add(C, C, ARRIVED)
    code.load8("t1", FRAME, PIECE_AT)
    code.load8("t2", FRAME, PIECES_AT)
    code.branch("t1", ">=u", "t2", "other")
    code.branch_number("t2", ">=u", MAX_PIECES + 1, "other")
    code.number(B, 1)
    code.operate("<<", B, B, "t1")
    code.load("t0", C)  # all of them set where it is whole
    code.operate("&", "t0", "t0", B)
    code.branch_number("t0", "!=", 0, "other")
    code.label("checked")


def check_length(code: CommonCode) -> None:
    """The frame's own, and its checksum; B = its payload's."""
    code.load16(B, FRAME, LENGTH, "t0")
    code.get("t1", "version")
    code.branch_number("t1", "==", 2, "summed")
    code.add("t0", B, HEADER_SIZE + 12)
    code.branch("t0", "!=", A, "other")
    code.jump("sound")
    code.label("summed")
    code.call("check_frame", FRAME, A, "table")
    code.branch("t0", "!=", B, "other")
    code.label("sound")


def _check_elements(code: CommonCode) -> None:
    """How many there are, of how many bits, and where, in B bytes of payload."""
    code.load8("t1", FRAME, BITS_AT)
    code.add("t2", "t1", -1)  # one that is sent again has another bit
    code.branch_number("t2", ">=u", 32, "other")
    code.load16("t2", FRAME, COUNT_AT, "t0")
    code.operate("*", "t1", "t1", "t2")
    code.add("t1", "t1", 7)
    code.shift("t1", "t1", -3)
    code.add("t1", "t1", CONTRIBUTION_FIELDS)
    code.branch("t1", "!=", B, "other")
    code.load16("t1", FRAME, FIRST_AT, "t0")
    code.operate("+", "t1", "t1", "t2")
    code.get("t0", "capacity")
    code.branch("t0", "<u", "t1", "other")


def _check_number(code: CommonCode) -> None:
    """The collective's, and its epoch; ROUND = its words."""
    code.get("t3", "state")
    code.load16("t0", FRAME, EPOCH_AT, "t1")
    code.load("t1", "t3", ERA)
    code.branch("t0", "!=", "t1", "other")
    code.load16("t0", FRAME, SEQUENCE, "t1")
    code.load("t1", "t3", NOW)
    code.operate("-", "t1", "t0", "t1")
    wrap(code, "t1")
    code.branch_number("t1", ">=u", 2, "other")
    find_round(code, "t0")


def _take(code: CommonCode) -> None:
    """Adds the elements to the sum, and marks them as having come."""
    code.get("t0", "state")
    code.load("t1", "t0", NEWS)
    code.number("t2", _CAME)
    code.operate("|", "t1", "t1", "t2")
    code.store("t1", "t0", NEWS)
    code.number("t1", 0)
    code.store("t1", "t0", WAITED)
    code.load("t0", ROUND, TOTAL)
    code.load16("t1", FRAME, FIRST_AT, "t4")
    code.load16("t2", FRAME, COUNT_AT, "t4")
    code.load8("t3", FRAME, BITS_AT)
    code.call("add_unpacked", FRAME, DATA_AT, "t0", "t1", "t2", "t3")
    code.load("t0", C)
    code.operate("|", "t0", "t0", B)
    code.load8("t1", FRAME, PIECES_AT)
    code.number("t2", 1)
    code.operate("<<", "t1", "t2", "t1")
    code.add("t1", "t1", -1)
    code.branch("t0", "!=", "t1", "not whole")
    code.number("t0", -1)
    add_left(code, -1)
    code.label("not whole")
    code.store("t0", C)
