"""STEPs begun and answered by each chip's `exchange`, and frames on a line by its `take_line`,
beside what the protocol's own Python does."""

from __future__ import annotations

import numpy as np
import pytest

from bench.emulation.rv32 import Rv32
from host.build.machine_code.exchange_line import take_line
from host.build.machine_code.exchange_words import WORDS
from host.build.machine_code.rv32 import Rv32Assembler
from host.build.machine_code.rv32_common import rv32_core_of
from host.build.machine_code.xtensa import XtensaAssembler
from host.build.machine_code.xtensa_common import xtensa_core_of
from host.wire.framing import encode_frame
from protocol.auth import LAST_COUNTER
from protocol.cobs_plain import decode
from protocol.frame import DST, LENGTH, SRC, append_trailer, verify_frame
from protocol.messages import (
    COUNT,
    LAYER,
    POSITION,
    SCORED_UNIT,
    SEQUENCE_ID,
    SEVERAL_RUNS,
    STEP_BITS,
    STEP_NUMBER,
    STEP_WANTS,
    WANTS_BEST,
    WANTS_CANDIDATES,
    WANTS_LOGITS,
    WANTS_NOTHING,
)
from tests.bench.exchange_core import Exchanging
from tests.bench.exchanged import (
    ANSWER,
    CHIP,
    CONTEXT,
    DIM,
    FINISH,
    LAYERS,
    LONGEST,
    OTHER,
    ROWS,
    Python,
    contribution,
    payload_of,
    step_frame,
)
from tests.bench.keys import KEY
from tests.bench.test_native_exchange import BOTH, HEADLESS, OTHERS, made, same, signer_of

_FOREIGN = 1  # a chip of another group


class Group:
    """All that a member hears of: the host's and the other members' signers, if they sign."""

    def __init__(self, key: bytes, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.host = signer_of(key)
        self._signers = {other: signer_of(key) for other in OTHERS}

    def step(self, number: int, position: int, wants: int) -> tuple[bytes, list[int]]:
        """A STEP frame, and its residual stream."""
        residual = self.random.integers(-(1 << 20), 1 << 20, DIM).tolist()
        return step_frame(number, position, residual, wants, self.host), residual

    def contributions(self, number: int) -> list[bytes]:
        """One of each other member to the collective of this number, in any order."""
        frames = [
            contribution(
                other, number, self.random.integers(-(1 << 20), 1 << 20, DIM).tolist(),
                self._signers[other],
            )
            for other in OTHERS
        ]  # fmt: skip
        # Those of wide sums are in pieces, which follow each other.
        return [frames[i][0] for i in self.random.permutation(len(frames))]


@pytest.mark.parametrize("has_rows", [True, False], ids=["rows", "no rows"])
@pytest.mark.parametrize("wants", [WANTS_BEST, WANTS_LOGITS, WANTS_NOTHING])
def test_a_step_is_begun_and_answered_as_by_its_python(processor, key, wants, has_rows) -> None:
    chip = made(processor, key, HEADLESS if wants == WANTS_NOTHING else BOTH, answers=True,
                has_rows=has_rows)  # fmt: skip
    python = Python(signer_of(key), HEADLESS if wants == WANTS_NOTHING else BOTH)
    group, hears = Group(key, wants), signer_of(key)
    number = 0xFFFE  # and over the end of the numbers
    chip.expect(number)
    for position in (0, 1):
        step, residual = group.step(number, position, wants)
        results, sent = [chip.run(step)], len(python.sent)
        verify_frame(bytearray(step), len(step), hears)
        python.begin(residual, (position,), number)
        for at in range(2 * LAYERS):
            assert [chip.sent(results[-1])] == python.sent[sent:]
            sent = len(python.sent)
            same(chip, python)
            before = chip.memory()
            assert chip.run(step) == OTHER and chip.memory() == before  # it is under way
            for frame in group.contributions(number + at & 0xFFFF):
                results.append(chip.run(frame))
                verify_frame(bytearray(frame), len(frame), hears)
                ended = python.take(frame, payload_of(frame))
        assert ended and results[-1] > ANSWER
        assert chip.sent(results[-1]) == python.answer(step, has_rows)
        same(chip, python)
        before = chip.memory()
        assert chip.run(step) == OTHER and chip.memory() == before  # it is answered
        assert chip.run(b"", 0) == 0
        number = number + 2 * LAYERS & 0xFFFF


WRONG = [
    {SRC: 4}, {DST: CHIP + 1}, {COUNT: 2}, {COUNT: 0}, {STEP_WANTS: SEVERAL_RUNS}, {LAYER: 0},
    {SEQUENCE_ID: 0x24}, {SEQUENCE_ID + 1: 1}, {STEP_NUMBER: 6}, {STEP_NUMBER: 4},
    {POSITION: 1}, {POSITION: CONTEXT}, {POSITION + 1: 1}, {STEP_BITS: 0}, {STEP_BITS: 33},
    {STEP_BITS: 20}, {LENGTH: 9},
]  # fmt: skip


@pytest.mark.parametrize("fields", WRONG, ids=range(len(WRONG)))
def test_other_steps_are_left_to_the_node(processor, key, fields) -> None:
    """Those of chips and for others, of several positions or sequences, of other layers, of
    another sequence or number, of positions that the cache does not reach, of wrong lengths."""
    chip, group = made(processor, key, BOTH, answers=True), Group(key, 1)
    chip.expect(5)
    frame = bytearray(group.step(5, 0, WANTS_BEST)[0])
    for place, value in fields.items():
        frame[place] = value
    length = frame[LENGTH] | frame[LENGTH + 1] << 8
    size = append_trailer(frame, length, group.host)
    before = chip.memory()
    assert chip.run(bytes(frame[:size])) == OTHER
    assert chip.memory() == before
    assert chip.run(group.step(5, 0, WANTS_BEST)[0]) > 0


def test_damaged_and_replayed_steps_are_left_to_the_node(processor, key) -> None:
    chip, group = made(processor, key, BOTH, answers=True), Group(key, 2)
    chip.expect(5)
    step, _ = group.step(5, 0, WANTS_BEST)
    before = chip.memory()
    for place in range(0, len(step), 5):
        damaged = bytearray(step)
        damaged[place] ^= 1 << place % 8
        assert chip.run(bytes(damaged)) == OTHER
    assert chip.memory() == before
    assert chip.run(step) > 0
    if key:
        chip.write("place", 0, 2, 1)  # as if it were for the next
        chip.expect(5)
        before = chip.memory()
        assert chip.run(step) == OTHER and chip.memory() == before


def test_a_stages_steps_are_left_to_the_node(processor) -> None:
    chip, group = made(processor, b"", BOTH), Group(b"", 3)
    chip.expect(5)
    assert chip.run(group.step(5, 0, WANTS_BEST)[0]) == OTHER


def ended(chip: Exchanging, group: Group, wants: int, rows: int = 1) -> int:
    """What exchange gives in the end of a step."""
    chip.expect(5)
    step, residual = group.step(5, 0, wants)
    if rows == 1:
        assert chip.run(step) > 0
    else:
        chip.begin(np.array([residual] * rows), tuple(range(rows)), 5)
    result = 0
    for at in range(2 * LAYERS):
        for frame in group.contributions(5 + at):
            result = chip.run(frame)
    return result


@pytest.mark.parametrize("wants", [WANTS_CANDIDATES, WANTS_BEST + SCORED_UNIT])
def test_other_answers_are_left_to_the_node(processor, wants) -> None:
    """Candidates, and those of several positions."""
    chip = made(processor, b"", BOTH, answers=True)
    assert ended(chip, Group(b"", 4), wants) == FINISH
    assert chip.ints("place", 2) == [LAYERS - 1, 1]


def test_answers_of_several_rows_are_left_to_the_node(processor) -> None:
    chip = made(processor, b"", BOTH, answers=True)
    assert ended(chip, Group(b"", 5), WANTS_BEST, ROWS) == FINISH


def test_logits_that_are_too_long_for_a_frame_are_left_to_the_node(processor) -> None:
    for room in (60 - 8, 60):  # of header and payload there are 68
        chip, group = made(processor, b"", BOTH, answers=True), Group(b"", 6)
        chip.expect(5)
        assert chip.run(group.step(5, 0, WANTS_LOGITS)[0]) > 0
        chip.write("state", *chip.ints("state", 6), 8 * (4096 - 9))
        for at in range(2 * LAYERS):
            frames = group.contributions(5 + at)
            if at == 2 * LAYERS - 1:
                chip.write("state", *chip.ints("state", 6), 8 * (room - 9))
            result = [chip.run(frame) for frame in frames][-1]
        assert (result == FINISH) == (room < 60)
    chip = made(processor, b"", BOTH, answers=True)
    chip.word("logits_end", 0)
    assert ended(chip, Group(b"", 6), WANTS_LOGITS) == FINISH


def test_a_chip_without_counters_leaves_its_answer_to_the_node(processor) -> None:
    chip, group = made(processor, KEY, BOTH, answers=True), Group(KEY, 7)
    chip.expect(5)
    assert chip.run(group.step(5, 0, WANTS_BEST)[0]) > 0
    for at in range(2 * LAYERS):
        frames = group.contributions(5 + at)
        if at == 2 * LAYERS - 1:
            chip.write("counter", LAST_COUNTER)
        result = [chip.run(frame) for frame in frames][-1]
    assert result == FINISH and chip.ints("counter", 1) == [LAST_COUNTER]


def line_core(chip: Exchanging) -> int:
    """Where take_line lies beside the chip's exchange."""
    is_rv32 = isinstance(chip._core, Rv32)
    asm = Rv32Assembler() if is_rv32 else XtensaAssembler()
    (rv32_core_of if is_rv32 else xtensa_core_of)(take_line, WORDS)(asm)
    return chip._core.memory.placed(asm.assemble())


class Node:
    """Takes in what comes on a line, as firmware/compute/exchange_line.py does. left: the frames
    that were not for take_line; written: what went to the line."""

    def __init__(self, chip: Exchanging) -> None:
        self._chip, self._code = chip, line_core(chip)
        self.left: list[bytes] = []
        self.written: list[bytes] = []

    def feed(self, data: bytes) -> None:
        """Takes in one read."""
        chip, result = self._chip, 1
        while result:
            result = chip.take_line(self._code, data)
            if result > 0:
                self.written.append(chip.encoded(result))
            elif result == OTHER:
                self._take(data)
            assert result in (0, OTHER) or result > 0

    def _take(self, data: bytes) -> None:
        """As UartLink.receive and the node behind it."""
        chip, memory = self._chip, self._chip._core.memory
        state, frame = chip.ints("line_state", 4), bytearray(LONGEST)
        frame[:] = memory.content(chip.places["line_frame"], LONGEST)
        length = decode(data, frame, state, len(data), LONGEST)
        assert length
        chip.write("line_state", *state)
        memory.write(chip.places["line_frame"], bytes(frame))
        self.left.append(bytes(frame[: max(length, 0)]))


def of_another_group(key: bytes) -> bytes:
    """A contribution of a chip that is no member."""
    frame = bytearray(contribution(OTHERS[0], 3, [5] * DIM, signer_of(key))[0])
    frame[SRC] = _FOREIGN
    append_trailer(frame, payload_of(frame), signer_of(key))
    return bytes(frame)


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.verify) for seed in range(1, 5))]
)
def test_frames_on_a_line_are_taken_in_however_they_come(processor, key, seed) -> None:
    """Several in a read and parts of them, among others, damaged ones and noise."""
    by_frame, on_line = (made(processor, key, BOTH, answers=True) for _ in range(2))
    group, node = Group(key, 30 + seed), Node(on_line)
    random, number = np.random.default_rng(seed), 3
    stream, left, written = b"", [], []
    foreign = of_another_group(key)
    for chip in (by_frame, on_line):
        chip.expect(number)
    for position in (0, 1):
        frames = [group.step(number, position, WANTS_BEST)[0]]
        for at in range(2 * LAYERS):
            frames += group.contributions(number + at & 0xFFFF)
        for frame in frames:
            if random.random() < 0.2:
                stream += encode_frame(foreign)
                left.append(foreign)
            if random.random() < 0.2:
                stream += encode_frame(frame)[:5] + b"\0"  # a block that is cut
                left.append(b"")
            stream += b"\0" * int(random.integers(3)) + encode_frame(frame)
            result = by_frame.run(frame)
            assert result >= 0
            if result:
                written.append(encode_frame(by_frame.sent(result)))
        number += 2 * LAYERS
    while stream:
        count = int(random.integers(1, LONGEST + 1))
        node.feed(stream[:count])
        stream = stream[count:]
    assert node.left == left
    assert node.written == written
    assert by_frame.memory() == on_line.memory()


def test_what_is_due_is_written_before_more_is_taken_in(processor) -> None:
    """Contributions to the next collective that came early: one frame goes out after the other."""
    chip, group = made(processor, b"", BOTH, answers=True), Group(b"", 40)
    node = Node(chip)
    chip.expect(5)
    stream = [group.step(5, 0, WANTS_BEST)[0], *group.contributions(6), *group.contributions(5)]
    for frame in stream:
        node.feed(encode_frame(frame))
    assert node.left == [] and len(node.written) == 3
    assert chip.ints("place", 2) == [1, 0]
