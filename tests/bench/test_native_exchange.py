"""Contributions taken in by each chip's `exchange`, beside what the protocol's own Python does."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest

from bench.emulation.processor import Processor
from bench.emulation.rv32 import Rv32
from host.build.machine_code import (
    rv32_bits,
    rv32_elements,
    rv32_frames,
    rv32_hmac,
    rv32_norms,
    xtensa_bits,
    xtensa_elements,
    xtensa_frames,
    xtensa_hmac,
    xtensa_norms,
)
from host.build.machine_code.exchange import exchange
from host.build.machine_code.exchange_words import WORDS
from host.build.machine_code.rv32 import Rv32Assembler
from host.build.machine_code.rv32_common import rv32_core_of
from host.build.machine_code.xtensa import XtensaAssembler
from host.build.machine_code.xtensa_common import xtensa_core_of
from protocol.auth import LAST_COUNTER, Signer
from protocol.frame import DST, SEQUENCE, SRC, TYPE, append_trailer, verify_frame
from protocol.message_types import REPAIR
from tests.bench.exchange_core import Exchanging, InBlocks
from tests.bench.exchanged import (
    CHIP,
    DIM,
    ENDED,
    EPOCH,
    FINISH,
    LAYERS,
    MEMBERS,
    OTHER,
    PIECES,
    ROWS,
    Python,
    contribution,
    payload_of,
)
from tests.bench.keys import KEY
from tests.bench.test_native_hmac import FIRST, TABLE
from tests.bench.test_native_serve import rv32_program, xtensa_program

CHIPS = 10
OTHERS = [chip for chip in MEMBERS if chip != CHIP]
BOTH, HEADLESS, NOTHING = (True, True), (False, True), (False, False)
ITEMS = {
    "check_frame": "frames", "add_unpacked": "bits", "add_rescaled": "norms", "norm": "norms",
    "contribute": "norms", "_clear": "norms", "bits_needed": "bits", "pack": "bits",
    "put_crc32": "frames", "authenticate": "hmac", "unpack": "bits", "best": "norms",
    "store_int16s": "elements", "decode": "frames", "encode": "frames",
}  # fmt: skip
RV32 = {
    "frames": rv32_frames, "bits": rv32_bits, "norms": rv32_norms, "hmac": rv32_hmac,
    "elements": rv32_elements,
}  # fmt: skip
XTENSA = {
    "frames": xtensa_frames, "bits": xtensa_bits, "norms": xtensa_norms, "hmac": xtensa_hmac,
    "elements": xtensa_elements,
}  # fmt: skip


def made(
    processor: type[Processor], key: bytes, has_part: tuple[bool, bool], in_passes: bool = False,
    kind: Any = Exchanging, **answering: bool,
) -> Any:  # fmt: skip
    """The member on a core of this kind; kind: what makes one of a core."""
    core, is_rv32 = processor(), processor is Rv32
    modules = RV32 if is_rv32 else XTENSA
    writers = {name: getattr(modules[of], name.lstrip("_")) for name, of in ITEMS.items()}
    writers["add_rescaled"] = modules["norms"].add_coarser  # as phases are of such a stream
    writers["run_program"] = rv32_program if is_rv32 else xtensa_program
    writers["exchange"] = (rv32_core_of if is_rv32 else xtensa_core_of)(exchange, WORDS)
    kernels = {}
    for name, write in writers.items():
        asm = Rv32Assembler() if is_rv32 else XtensaAssembler()
        write(asm)
        kernels[name] = core.memory.placed(asm.assemble())
    constants = core.memory.placed(TABLE) if key else 0
    states = states_of(core, kernels["authenticate"], constants, key) if key else 0
    return kind(
        core, kernels.pop("exchange"), kernels, states, constants,
        lambda: core.registers[10 if is_rv32 else 2], has_part, in_passes, chips=CHIPS,
        **answering,
    )  # fmt: skip


def states_of(core: Processor, authenticate: int, constants: int, key: bytes) -> int:
    """Where lies what SHA-256 makes of a key's two blocks."""
    memory, states, first = core.memory, b"", core.memory.placed(FIRST)
    for filler in (0x36, 0x5C):
        block = memory.placed(bytes(octet ^ filler for octet in key.ljust(64, b"\0")))
        core._operations.clear()
        core.enter(memory.placed(struct.pack("<6I", first, constants, 0, block, 64, 3)), 0, 0)
        core._run(authenticate)
        states += memory.content(constants + 256, 32)
    return memory.placed(states)


def signer_of(key: bytes) -> Signer | None:
    return Signer(key, CHIPS) if key else None


def same(chip: Exchanging, python: Python) -> None:
    """Holds all that both have to each other."""
    collective, count = python.collective, ROWS * DIM
    news, waited, turn, fresh, *numbers = chip.ints("state", 7)
    assert [news, waited, turn, 0, *numbers] == list(collective.state)
    assert fresh in (0, 1, 3)
    for suffix, of_python in zip(("", "_1"), collective._rounds, strict=True):
        assert chip.ints("total" + suffix, count) == list(of_python.total)
        assert chip.ints("own" + suffix, count) == list(of_python.own)
        assert chip.ints("round" + suffix, 4 + len(MEMBERS)) == list(of_python.state)
    layer, phase, rows = chip.ints("place", 3)
    assert (layer, phase, rows) == (python.layer, python.phase, len(python.positions))
    residual = np.reshape(chip.ints("residual", count), (ROWS, DIM))
    assert (residual[:rows] == python.residual[:rows]).all()
    assert chip.ints("held", ROWS * LAYERS) == [n for row in python.held for n in row]


def run_steps(
    processor: type[Processor], key: bytes, has_part: tuple[bool, bool], rows: int, seed: int,
    in_passes: bool = False, kind: type[Exchanging] = Exchanging,
) -> None:  # fmt: skip
    """Two steps whose contributions come in any order, some early and some twice."""
    random = np.random.default_rng(seed)
    chip = made(processor, key, has_part, in_passes, kind)
    python = Python(signer_of(key), has_part)
    signers, hears = {other: signer_of(key) for other in OTHERS}, signer_of(key)
    number, sent = int(random.integers(1 << 16)), 0
    for position in (0, 1):
        residual = random.integers(-(1 << 20), 1 << 20, (rows, DIM))
        positions = tuple(range(position * rows, (position + 1) * rows))
        results = [chip.begin(residual, positions, number)]
        python.begin(residual, positions, number)
        for at in range(2 * LAYERS):
            waiting = {
                other: contribution(
                    other, number + at & 0xFFFF,
                    random.integers(-(1 << 20), 1 << 20, rows * DIM).tolist(), signers[other],
                )
                for other in OTHERS
            }  # fmt: skip
            # Those of one member in their order: a counter that comes late is the node's.
            order = [other for other, frames in waiting.items() for _ in frames]
            random.shuffle(order)
            for frame in (waiting[other].pop(0) for other in order):
                checks(chip, python, results, sent)
                sent = len(python.sent)
                same(chip, python)
                results = [chip.run(frame)]
                verify_frame(bytearray(frame), len(frame), hears)
                ended = python.take(frame, payload_of(frame))
                while results[-1] in (PIECES,) or results[-1] > 0:
                    results.append(chip.run(b"", 0))
                assert (results[-1] == FINISH) == ended
                results = [result for result in results if result]
                again = chip.memory()
                assert chip.run(frame) == OTHER and chip.memory() == again
        assert results == [FINISH]
        number += 2 * LAYERS
        if isinstance(chip, InBlocks):
            # Bytecode is to add the last sum, and answers.
            assert chip.computed == (position + 1) * LAYERS * sum(has_part)
            same(chip, python)
            before = chip.memory()
            assert chip.run(b"", 0) == FINISH and chip.memory() == before
            python.end()
            chip.write("residual", *python.residual.reshape(-1).tolist())
            chip.write("held", *(n for row in python.held for n in row))
        else:
            # What comes of the step is for a stage to hand over, which then ends it.
            assert chip.ints("place", 3) == [LAYERS, ENDED, rows]
            python.end()
        chip.write("place", python.layer, 2, rows)
        same(chip, python)
        assert chip.run(b"", 0) == 0
        results = []
        for row in range(rows):  # what the next step's caches are to hold
            for layer in range(LAYERS):
                python.held[row][layer] = rows * (position + 1) + row
        chip.write("held", *(n for row in python.held for n in row))
        number &= 0xFFFF


def checks(chip: Exchanging, python: Python, results: list[int], sent: int) -> None:
    """Holds what exchange gave, and the frame that it has written, to those that Python sent."""
    new = python.sent[sent:]
    for result in results:
        if result == PIECES:
            assert len(new) > 1
            # Which this chip's own Python sends, with its counters.
            if python.signer:
                chip.write("counter", python.signer._highest[-1])
        elif result > 0:
            assert [chip.sent(result)] == new


@pytest.mark.parametrize("seed", range(3))
def test_a_members_steps_are_those_of_its_python(processor, key, seed) -> None:
    run_steps(processor, key, (BOTH, HEADLESS, NOTHING)[seed], 1, seed)


@pytest.mark.parametrize("in_passes", [False, True], ids=["one by one", "in passes"])
def test_sums_of_several_positions_are_too_long_for_a_frame(processor, key, in_passes) -> None:
    run_steps(processor, key, BOTH, 2, 7, in_passes)


@pytest.mark.parametrize("rows", [1, 2])
def test_bytecode_computes_the_sums_of_a_chip_that_reads_blocks(processor, key, rows) -> None:
    run_steps(processor, key, (HEADLESS, BOTH)[rows - 1], rows, 9, kind=InBlocks)


def test_a_row_by_itself_goes_without_a_pass(processor) -> None:
    run_steps(processor, b"", BOTH, 1, 3, in_passes=True)


@pytest.mark.verify
@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("has_part", [BOTH, HEADLESS, (True, False), NOTHING])
@pytest.mark.parametrize("seed", range(20, 26))
@pytest.mark.parametrize("kind", [Exchanging, InBlocks])
def test_many_steps(processor, key, has_part, rows, seed, kind) -> None:
    run_steps(processor, key, has_part, rows, seed, kind=kind)


def begun(processor: type[Processor], key: bytes) -> Exchanging:
    """A member that waits for collective 5."""
    chip = made(processor, key, BOTH)
    assert chip.begin(np.full((1, DIM), 77), (0,), 5) > 0
    return chip


WRONG = [
    {SRC: 1}, {SRC: CHIP}, {DST: CHIP}, {TYPE: REPAIR}, {SEQUENCE: 4}, {SEQUENCE: 7}, {8: 0x22},
    {9: 0}, {10: 1}, {11: 0}, {11: 31}, {12: 2 * DIM}, {13: 1}, {14: DIM - 8}, {15: 1}, {16: 0},
    {16: 33}, {16: 128 + 11}, {6: 9}, {7: 1},
]  # fmt: skip


@pytest.mark.parametrize("fields", WRONG, ids=range(len(WRONG)))
def test_all_else_is_left_to_the_node(processor, key, fields) -> None:
    """Frames of no member and of its own, for another chip, of another type, number and epoch;
    pieces that contradict themselves or the group, and those that are sent again."""
    chip, signer = begun(processor, key), signer_of(key)
    frame = bytearray(contribution(4, 5, [1000] * DIM, signer)[0])
    for place, value in fields.items():
        frame[place] = value
    # As if the member had meant it so, with its next counter.
    append_trailer(frame, len(frame) - 8 - (12 if key else 4), signer)
    before = chip.memory()
    assert chip.run(bytes(frame)) == OTHER
    assert chip.memory() == before
    assert chip.run(contribution(4, 5, [1000] * DIM, signer)[0]) == 0


def test_damaged_and_forged_frames_are_left_to_the_node(processor, key) -> None:
    chip, signer = begun(processor, key), signer_of(key)
    frame = contribution(7, 5, [3] * DIM, signer)[0]
    before = chip.memory()
    for place in (*range(18), *range(18, len(frame), 7), len(frame) - 1):
        damaged = bytearray(frame)
        damaged[place] ^= 1 << place % 8
        assert chip.run(bytes(damaged)) == OTHER
    for length in (1, 20, len(frame) - 1):
        assert chip.run(frame[:length]) == OTHER
    assert chip.memory() == before
    assert chip.run(frame) == 0


def test_replayed_and_late_counters_are_left_to_the_node(processor) -> None:
    chip, signer = begun(processor, KEY), signer_of(KEY)
    assert signer
    frames = {}
    for counter in (0, 10, 73, 74, 75, LAST_COUNTER):
        signer._highest[-1] = counter - 1
        # Each is another piece of one contribution.
        frame = bytearray(contribution(9, 5, [5] * DIM, signer)[0])
        frame[10], frame[11] = len(frames), 10
        signer._highest[-1] = counter - 1
        append_trailer(frame, len(frame) - 20, signer)
        frames[counter] = bytes(frame)
    for counter, is_taken in ((10, True), (0, False), (10, False), (74, False), (73, True),
                              (75, True), (74, False), (LAST_COUNTER, False)):  # fmt: skip
        before = chip.memory()
        assert (chip.run(frames[counter]) == 0) == is_taken, counter
        assert (chip.memory() == before) != is_taken
    node = signer_of(KEY)
    assert node
    for counter in (10, 73, 75):
        verify_frame(bytearray(frames[counter]), len(frames[counter]), node)
    assert chip.ints("highest", 10)[9] == 75
    assert chip._core.memory.content(chip.places["seen"] + 72, 8) == bytes(node._seen[72:80])


def test_a_chip_without_counters_leaves_its_sums_to_the_node(processor) -> None:
    chip = made(processor, KEY, BOTH)
    chip.write("counter", LAST_COUNTER)
    assert chip.begin(np.full((1, DIM), 77), (0,), 5) == PIECES
    assert chip.ints("counter", 1) == [LAST_COUNTER]


def test_frames_are_counted(processor, key) -> None:
    chip, signer = begun(processor, key), signer_of(key)
    size = chip._core.memory.load(chip.block + 12, 4)
    frame = contribution(4, 5, [9] * DIM, signer)[0]
    chip.run(frame)
    counts = struct.unpack("<4I", chip._core.memory.content(chip.block, 16))
    assert counts == (1, len(frame), 1, size) and size > 0


def test_nothing_goes_on_without_a_step(processor, key) -> None:
    chip = made(processor, key, BOTH)
    assert chip.run(b"", 0) == 0
    chip.write("state", 0, 0, 0, 0, 4, EPOCH, 8 * DIM)
    for other in OTHERS:
        assert chip.run(contribution(other, 5, [4] * DIM, signer_of(key))[0]) == 0
    # They came early: the step begins with its own alone missing.
    assert chip.begin(np.full((1, DIM), 77), (0,), 5) > 0
    assert chip.run(b"", 0) > 0 and chip.ints("place", 2) == [0, 1]
