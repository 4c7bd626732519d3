"""What an exchange does with a step that is under way, as firmware/roles/step.py does it."""

from __future__ import annotations

from host.build.machine_code import exchange_answer as answer
from host.build.machine_code.common import CommonCode
from host.build.machine_code.exchange_rows import compute_rows, find_phase, locate_row
from host.build.machine_code.exchange_sums import find_round
from host.build.machine_code.exchange_words import (
    ATTENTION,
    BY_BYTECODE,
    COMPUTED,
    FEED_FORWARD,
    FRAME,
    IDLE,
    LAYER,
    LEFT,
    NOW,
    PHASE,
    PLACE_WORDS,
    ROUND,
    ROWS,
    STATE,
    TOTAL,
    A,
    B,
    C,
    Entry,
    Place,
)


def complete(code: CommonCode) -> None:
    """Goes to "none" unless a step is under way whose sum is there, to "finish" where it is the
    last and its answer is not for this; A = where the step's place lies, ROUND = the sum's words.
    """
    code.get("t0", "state")
    code.load("t0", "t0", NOW)
    find_round(code, "t0")
    code.load("t0", ROUND, STATE)
    code.load("t0", "t0", LEFT)
    code.branch_number("t0", "!=", 0, "none")
    code.get(A, "place")
    code.load("t1", A, PHASE)
    code.branch_number("t1", "==", IDLE, "none")
    code.branch_number("t1", "==", ATTENTION, "goes on")
    code.load("t0", A, LAYER)
    code.add("t0", "t0", 1)
    code.get("t1", "layers")
    code.branch("t0", "!=", "t1", "goes on")
    answer.check(code)
    code.label("goes on")


def add_sums(code: CommonCode) -> None:
    """Adds the sum to the residual stream; the step enters its next phase, or "answer" where there
    is none."""
    find_phase(code)
    code.number(B, 0)
    code.label("row to add")
    locate_row(code, "t0", "residual")
    code.load("t1", ROUND, TOTAL)
    locate_row(code, "t1", "")
    code.load("t2", C, Entry.MULTIPLIERS)
    code.load("t3", C, Entry.SHIFT)
    code.call("add_rescaled", "t0", 0, "t1", "t2", 0, "dim", "t3")
    code.add(B, B, 1)
    code.load("t0", A, ROWS)
    code.branch(B, "<", "t0", "row to add")
    code.load("t0", A, PHASE)
    code.branch_number("t0", "==", FEED_FORWARD, "layer done")
    code.number("t0", FEED_FORWARD)
    code.store("t0", A, PHASE)
    code.jump("enter")
    code.label("layer done")
    _note_held(code)
    code.number("t0", ATTENTION)
    code.store("t0", A, PHASE)
    code.load("t0", A, LAYER)
    code.add("t0", "t0", 1)
    code.store("t0", A, LAYER)
    code.get("t1", "layers")
    code.branch("t0", "==", "t1", "answer")


def _note_held(code: CommonCode) -> None:
    """Takes in that the caches of the step's layer have its positions; changes B, C."""
    code.get(C, "places")
    code.load(B, A, ROWS)
    code.label("row to note")
    code.load("t0", A, LAYER)
    code.shift("t0", "t0", 2)
    code.load("t1", C, Place.POSITIONS)
    code.operate("+", "t1", "t1", "t0")
    code.load("t2", "t1")
    code.load("t3", C, Place.POSITION)
    code.branch("t2", "!=", "t3", "noted")
    code.add("t2", "t2", 1)
    code.store("t2", "t1")
    code.label("noted")
    code.add(C, C, PLACE_WORDS)
    code.add(B, B, -1)
    code.branch_number(B, "!=", 0, "row to note")


def compute(code: CommonCode) -> None:
    """out = this chip's partial sums of the phase that the step is in, B rows of them; none if
    it has no part in it. Goes to "to compute" where these are left to bytecode, unless A says that
    it has computed them."""
    code.move("t2", A)
    code.get(A, "place")
    find_phase(code)
    code.number(B, 0)
    code.load("t0", C, Entry.PROGRAM)
    code.branch_number("t0", "==", 0, "computed")
    code.branch_number("t0", "!=", BY_BYTECODE, "program")
    code.branch_number("t2", "!=", COMPUTED, "to compute")
    code.load(B, A, ROWS)
    code.jump("computed")
    code.label("program")
    code.get(FRAME, "places")
    compute_rows(code)
    code.label("computed")
