"""What an exchange computes of a step's rows: of one by itself, or of several in a pass over a
layer's matrices (firmware/compute/passes.py)."""

from __future__ import annotations

from host.build.machine_code.common import CommonCode
from host.build.machine_code.exchange_words import (
    FRAME,
    GROUP_WORDS,
    LAYER,
    PHASE,
    PLACE_WORDS,
    ROUND,
    ROWS,
    A,
    B,
    C,
    Entry,
    Group,
    Place,
)


def find_phase(code: CommonCode) -> None:
    """C = the words of the phase that the step at A is in; changes t0, t1."""
    code.load("t0", A, LAYER)
    code.shift("t0", "t0", 1)
    code.load("t1", A, PHASE)
    code.operate("+", "t0", "t0", "t1")
    code.shift("t0", "t0", 5)
    code.get(C, "phases")
    code.operate("+", C, C, "t0")


def locate_row(code: CommonCode, to: str, vector: str) -> None:
    """to = where row B of a vector of `dim` words each begins; changes t4."""
    code.get("t4", "dim")
    code.operate("*", "t4", "t4", B)
    code.shift("t4", "t4", 2)
    if code.is_word(vector):
        code.get(to, vector)
    code.operate("+", to, to, "t4")


def compute_rows(code: CommonCode) -> None:
    """out = this chip's partial sums of the phase that the step is in, of all rows; B = how many,
    C = the phase's words, A = where the step's place lies, FRAME = where those of its rows are."""
    code.get(ROUND, "passes")
    code.branch_number(ROUND, "==", 0, "row to compute")
    _compute_groups(code)
    code.load("t0", A, ROWS)
    code.branch(B, "==", "t0", "rows computed")
    code.label("row to compute")
    normalize(code, "x")
    _load_values(code)
    locate_row(code, "t2", "out")
    code.load("t0", C, Entry.PROGRAM)
    code.load("t3", FRAME, Place.POSITION)
    code.call("run_program", "t0", "t1", "t3", "t2")
    _go_on(code)
    code.load("t0", A, ROWS)
    code.branch(B, "<", "t0", "row to compute")
    code.label("rows computed")


def _go_on(code: CommonCode) -> None:
    """The next row."""
    code.add(FRAME, FRAME, PLACE_WORDS)
    code.add(B, B, 1)


def normalize(code: CommonCode, into: str) -> None:
    """Row B of the residual stream, normalized, to where a word says."""
    locate_row(code, "t0", "residual")
    for register, place in (("t1", Entry.GAIN), ("t2", Entry.NORM), ("t3", Entry.EPSILON),
                            ("t4", Entry.LIMIT)):  # fmt: skip
        code.load(register, C, place)
    code.call("norm", "t0", 0, "t1", 0, into, "dim", "t2", "t3", "t4")


def _load_values(code: CommonCode) -> None:
    """t1 = the values of the phase's program: the layer's, or of attention those of the row."""
    found = code.unique("values")
    code.load("t1", C, Entry.VALUES)
    code.branch_number("t1", "!=", 0, found)
    code.load("t1", FRAME, Place.VALUES)
    code.load("t0", A, LAYER)
    code.shift("t0", "t0", 2)
    code.operate("+", "t1", "t1", "t0")
    code.load("t1", "t1")
    code.label(found)


def _compute_groups(code: CommonCode) -> None:
    """As many rows as go in whole groups, of which ROUND has the words of the first."""
    code.label("group")
    code.load("t0", ROUND, Group.COUNT)
    code.branch_number("t0", "==", 0, "groups done")
    code.load("t1", A, ROWS)
    code.operate("-", "t1", "t1", B)
    code.branch("t1", "<", "t0", "next group")
    _choose_first(code)
    code.branch_number("t1", "==", 0, "next group")
    code.put(B, "spare")  # the group's first row
    _normalize_group(code)
    _choose_first(code)
    _run(code, "t1")
    code.load("t0", C, Entry.VALUES)
    code.branch_number("t0", "!=", 0, "fed forward")
    code.label("own part")
    code.get("t0", "spare")
    code.operate("-", "t0", B, "t0")
    code.shift("t0", "t0", 2)
    code.load("t2", ROUND, Group.OWN)
    code.operate("+", "t2", "t2", "t0")
    code.load("t2", "t2")
    _run(code, "t2")
    _go_on(code)
    _branch_in_group(code, "own part")
    _back_to_first(code)
    code.load("t2", ROUND, Group.AFTER)
    _run(code, "t2")
    code.label("fed forward")
    code.load("t0", ROUND, Group.COUNT)
    code.operate("+", B, B, "t0")
    code.number("t1", PLACE_WORDS)
    code.operate("*", "t0", "t0", "t1")
    code.operate("+", FRAME, FRAME, "t0")
    code.jump("group")
    code.label("next group")
    code.add(ROUND, ROUND, GROUP_WORDS)
    code.jump("group")
    code.label("groups done")


def _choose_first(code: CommonCode) -> None:
    """t1 = the group's program that the phase begins with, 0 if it has none."""
    chosen = code.unique("chosen")
    code.load("t1", ROUND, Group.FEED_FORWARD)
    code.load("t2", C, Entry.VALUES)
    code.branch_number("t2", "!=", 0, chosen)
    code.load("t1", ROUND, Group.BEFORE)
    code.label(chosen)


def _normalize_group(code: CommonCode) -> None:
    """The inputs of the group's rows; B is the first of them again."""
    code.load("t0", ROUND, Group.INPUTS)
    code.put("t0", "spare_1")
    code.label("row to normalize")
    normalize(code, "spare_1")
    code.get("t0", "spare_1")
    code.load("t1", ROUND, Group.STEP)
    code.operate("+", "t0", "t0", "t1")
    code.put("t0", "spare_1")
    code.add(B, B, 1)
    _branch_in_group(code, "row to normalize")
    code.get(B, "spare")


def _branch_in_group(code: CommonCode, label: str) -> None:
    """Goes there as long as B is a row of the group."""
    code.get("t0", "spare")
    code.operate("-", "t0", B, "t0")
    code.load("t1", ROUND, Group.COUNT)
    code.branch("t0", "<", "t1", label)


def _back_to_first(code: CommonCode) -> None:
    """The group's first row."""
    code.get(B, "spare")
    code.load("t0", ROUND, Group.COUNT)
    code.number("t1", PLACE_WORDS)
    code.operate("*", "t0", "t0", "t1")
    code.operate("-", FRAME, FRAME, "t0")


def _run(code: CommonCode, program: str) -> None:
    """Runs a program, whose address is in t1 or t2, at row B."""
    code.put(program, "spare_2")
    _load_values(code)
    locate_row(code, "t2", "out")
    code.load("t3", FRAME, Place.POSITION)
    code.call("run_program", "spare_2", "t1", "t3", "t2")
