"""Native kernels in real MicroPython for RISC-V, in QEMU: proved against viper's, and at work in
whole chips."""

from pathlib import Path

import numpy as np
import pytest

from bench import bounds
from bench.emulated_chip import TARGET, Emulator, Record
from bench.plans import tensor_plan
from bench.qemu.machine import output
from bench.qemu.port import firmware
from bench.qemu.toolchain import Toolchain
from bench.recording import SESSION_KEY, Request, line_frame, requests
from host.build.bundle import KERNELS, PASS_KERNELS, TWINS, native_files
from host.build.coarser_kernel import with_coarser
from host.build.compilation import chip_module
from host.build.firmware_version import chip_sources
from host.build.kernels import kernel_source
from host.build.machine_code.registry import RV32IM
from host.build.packages import chip_path
from host.build.pass_kernels import pass_source
from host.hardware.kernels import PASSES
from host.model.loading import load_model
from host.model.tokenizers.bpe import BOS
from host.parallel import flash
from host.parallel.parallelism import (
    ALL_GATHERED,
    FLASH,
    FLASH_MAPPED,
    HEAP,
    UART,
    Link,
    Parallelism,
)
from host.parallel.partition import partition
from host.wire.framing import decode_frame, encode_frame
from host.wire.payloads import encode_compute, encode_compute_runs
from protocol.auth import Signer
from protocol.frame import DST, HOST, LENGTH, SEQUENCE, SRC, append_trailer
from protocol.message_types import COMPUTE
from protocol.messages import (
    COMPUTE_DATA,
    COUNT,
    LAYER,
    PHASE,
    PHASE_VOCABULARY,
    POSITION,
    SEQUENCE_ID,
)
from tests.host.grouped_models import grouped_checkpoint, grouped_model
from tests.simulation.launch import REPOSITORY

# Column counts and head sizes of the shipped model, stories260K, stories15M and SmolLM2-135M, on
# one chip and on several.
SHAPES = (({96, 192, 20, 77}, 24), ({64, 16, 35, 172}, 8), ({288, 768, 58}, 48), ({576, 154}, 64))
PROGRAM = """
import sys
from firmware.kernel_choice import load
from firmware.proof import find_wrong


def run():
    names = {names}
    native = load(names)
    for package, name in names:
        sys.modules.pop(package + "." + name)
        __import__(package + "." + name)
    viper = [sys.modules[package + "." + name] for package, name in names]
    print([module.__file__.split("/")[2] for module in native + viper])
    passes = load((("firmware", "pass_kernels"),))[0]
    print(sorted(name for name in dir(passes) if name.startswith("matmul_")))
    print("wrong:", find_wrong(native, viper, {size}, 1, bool, passes))
"""
CHIP_TIME = REPOSITORY / "bench" / "qemu" / "chip_time.py"  # which the port does not have
NORMS = "firmware/compute/norms.py"
NAMES = [(path.split("/")[0], Path(path).stem) for path in TWINS]


def lines(qemu: Path, columns: set[int], size: int, has_others: bool = False) -> list[str]:
    """What a chip prints that proves the kernels of these shapes; has_others: also those of
    weights in groups, of a residual stream that gets coarser, and of int8 caches."""
    paths = {path.relative_to(REPOSITORY).as_posix(): path for path in chip_sources()}
    sources = {name: path.read_text() for name, path in paths.items()}
    sources[KERNELS] = kernel_source(
        columns | {-96} if has_others else columns, size, int8_kv=has_others
    )
    if has_others:
        sources[NORMS] = with_coarser(sources[NORMS])
    files = {
        place: chip_module(source, path, TARGET)
        for path, source in sources.items()
        if (place := chip_path(path))
    }
    twins = {path: sources[path] for path in TWINS}
    twins[PASS_KERNELS] = pass_source(columns, 1, PASSES[RV32IM.name])
    native = native_files(twins, RV32IM, size)
    program = PROGRAM.format(names=NAMES, size=size)
    files["on_chip.mpy"] = chip_module(program, "on_chip.py", TARGET)
    files["time.mpy"] = chip_module(CHIP_TIME.read_text(), "chip_time.py", TARGET)
    toolchain = Toolchain(qemu)
    return output(firmware(qemu, toolchain), toolchain, {**files, **native})


@pytest.mark.verify
@pytest.mark.parametrize("has_others", [False, True])
@pytest.mark.parametrize(("columns", "size"), SHAPES)
def test_micropython_runs_native_kernels_as_its_own(qemu: Path, columns, size, has_others) -> None:
    folders, passes, wrong = lines(qemu, columns, size, has_others)
    assert folders.count("native") == len(TWINS)
    assert passes.count("matmul_") >= len(columns)
    assert wrong == "wrong: "


@pytest.mark.verify
@pytest.mark.parametrize("key", [b"", SESSION_KEY], ids=["version 2", "version 3"])
def test_whatever_comes_is_answered_as_without_native_kernels(qemu: Path, key: bytes) -> None:
    """Frames that are cut, damaged, repeated, another chip's or another sequence's among sound
    ones, in one read and in several; of version 3 forged, replayed and late ones too."""
    model = load_model(bounds.SHIPPED).quantize()
    recorded = requests(model, [BOS], 3)
    plan = tensor_plan(model, 3, signed=bool(key))
    signer, other = (Signer(key), Signer(key + b"?")) if key else (None, None)
    random = np.random.default_rng(1)
    lines = []
    for index, request in enumerate(recorded):
        late = request.frame(index + 500, signer)
        line = request.frame(index, signer)
        frame = bytearray(decode_frame(line.rstrip(b"\0")))
        lines.append(line)
        match index % 11:
            case 0:
                lines.append(line)  # again
                lines.append(_sent(frame, {}, signer))  # asked for again
            case 1:
                damaged = bytearray(line)
                damaged[random.integers(len(line) - 1)] ^= 1 + random.integers(255)
                lines.append(bytes(damaged))
            case 2:
                lines += [line[:40], line[40:]]
            case 3:
                lines.append(line + line)
            case 4:
                lines.append(b"\0\0" + line[: random.integers(len(line))] + b"\0")
            case 5:
                lines.append(_sent(frame, {DST: 1}, signer))  # for another chip
            case 6 if index > 30:
                lines.append(_sent(frame, {SEQUENCE_ID: frame[SEQUENCE_ID] + 1}, signer))
                lines.append(line)  # of an older sequence now
            case 7:
                lines.append(_sent(frame, {POSITION: 99}, signer))
                lines.append(_sent(frame, {COUNT: 2}, signer))
            case 8:
                lines.append(_sent(frame, {LAYER: 77}, signer))
                lines.append(_sent(frame, {PHASE: 3}, signer))
            case 9:
                # What others sign, a right MAC under another frame, and a chip's own frames.
                lines.append(_sent(frame, {SEQUENCE: 9}, other))
                lines.append(encode_frame(frame[:COMPUTE_DATA] + b"?" + frame[COMPUTE_DATA + 1 :]))
                lines.append(_sent(frame, {SRC: 1}, signer))
                lines.append(late)
            case 10:
                for _ in range(random.integers(60, 70)):  # counters that this chip never sees
                    _sent(frame, {}, signer)
                lines.append(late)
    records = [Record(line, measured=True) for line in lines]
    answers = [
        [
            run.answer
            for run in Emulator(qemu, kernels).runs(
                model, plan, plan.shards[0], records, key=key
            )
        ]
        for kernels in (None, RV32IM)
    ]
    assert answers[0] == answers[1]
    # Until the other sequence came, that is.
    assert sum(map(bool, answers[0])) > 30


@pytest.mark.verify
def test_mapped_weights_take_no_more_than_those_in_the_heap(
    qemu: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same programs take them from where they are, by one call or one for each block; also for
    four positions in a pass."""
    monkeypatch.setattr(flash, "BLOCK", 512)
    model = load_model(bounds.SHIPPED).quantize()
    recorded = requests(model, [BOS], 6)
    whole = [request.frame(at) for at, request in enumerate(recorded) if request.position < 2]
    passed = _of_phases([request for request in recorded if request.position >= 2])
    first = [request for request in passed if request.layer == request.phase == 0]
    whole.append(_asked([(1, request) for request in first]))
    records = [
        Record(line[at : at + 256], measured=True)
        for line in whole
        for at in range(0, len(line), 256)
    ]
    runs = {}
    for weights in (HEAP, FLASH, FLASH_MAPPED):
        parallelism = Parallelism(reduce="host", weights=weights)
        room = 0 if weights == HEAP else 1 << 22
        plan = partition(model, 3, 32, parallelism=parallelism, link=UART, flash=(room,) * 3)
        runs[weights] = Emulator(qemu, RV32IM).runs(model, plan, plan.shards[0], records)
    answers = {weights: [run.answer for run in each] for weights, each in runs.items()}
    assert answers[FLASH_MAPPED] == answers[HEAP] == answers[FLASH]
    assert sum(map(bool, answers[HEAP])) == len(whole)
    spent = {weights: sum(run.instructions for run in each) for weights, each in runs.items()}
    assert spent[FLASH_MAPPED] < 1.02 * spent[HEAP] < 0.8 * spent[FLASH]
    assert not any(run.allocated for run in runs[FLASH_MAPPED][: 2 * len(model.layers)])
    emulator = Emulator(qemu, RV32IM)
    refused = emulator.runs(
        model, plan, plan.shards[0], records, unmapped="the MMU of a chip is not known"
    )
    assert [run.answer for run in refused] == answers[HEAP]
    assert emulator.started == "no programs: weights are read in blocks"


@pytest.mark.verify
@pytest.mark.parametrize("grouped", [False, True], ids=["int8", "groups"])
def test_programs_of_mapped_weights_prove_right_where_chips_all_gather(
    qemu: Path, monkeypatch: pytest.MonkeyPatch, grouped: bool
) -> None:
    """At the start, in every layer; a wrong one would be reported, and not be run."""
    monkeypatch.setattr(flash, "BLOCK", 512)
    model = load_model(bounds.SHIPPED).quantize()
    if grouped:
        model = grouped_model(grouped_checkpoint())
    parallelism = Parallelism(reduce="chips", exchange=ALL_GATHERED, weights=FLASH_MAPPED)
    plan = partition(model, 2, parallelism=parallelism, link=UART, flash=(1 << 22,) * 2)
    emulator = Emulator(qemu, RV32IM)
    for unmapped, why in (("", ""), ("so", "no programs: weights are read in blocks")):
        emulator.runs(model, plan, plan.shards[0], [Record(b"", measured=True)], unmapped=unmapped)
        assert emulator.started == why


@pytest.mark.verify
def test_sequences_that_take_turns_have_their_own_caches_in_programs(qemu: Path) -> None:
    """One position of each after the other, several of one, and one of both in a frame."""
    model = load_model(bounds.SHIPPED).quantize()
    link = Link("uart", "pins", None, False)
    plan = partition(model, 3, 32, parallelism=Parallelism(reduce="host", slots=3), link=link)
    assert plan.slots == 3
    texts = [_of_phases(requests(model, [BOS, token], 4)) for token in (3, 40)]
    lines = []
    for one, other in zip(*texts, strict=True):
        if one.position % 2:
            lines.append(_asked([(7, one), (8, other)]))
        else:
            lines += [_asked([(7, one)]), _asked([(8, other)])]
    first = [request for request in texts[0] if request.layer == request.phase == 0]
    lines += [_asked([(10, request) for request in first]), _asked([(8, texts[1][-2])])]
    # A chip reads up to 256 bytes at a time.
    pieces = [line[at : at + 256] for line in lines for at in range(0, len(line), 256)]
    records = [Record(piece, measured=True) for piece in pieces]
    runs = [
        Emulator(qemu, kernels).runs(model, plan, plan.shards[0], records)
        for kernels in (None, RV32IM)
    ]
    answers = [[run.answer for run in each] for each in runs]
    assert answers[0] == answers[1]
    assert sum(map(bool, answers[0])) == len(lines)
    spent = [sum(run.instructions for run in each) for each in runs]
    assert spent[1] < 0.6 * spent[0]


def _of_phases(recorded: list[Request]) -> list[Request]:
    return [request for request in recorded if request.phase != PHASE_VOCABULARY]


def _asked(rows: list[tuple[int, Request]]) -> bytes:
    """A request as it is on the line, of a position of each sequence (of one: these follow)."""
    (sequence_id, first), data = rows[0], b"".join(r.x.astype("<i2").tobytes() for _, r in rows)
    if len({name for name, _ in rows}) == 1:
        payload = encode_compute(
            sequence_id, first.layer, first.phase, first.position, len(rows), data
        )
    else:
        runs = [(name, request.position, 1) for name, request in rows]
        payload = encode_compute_runs(first.layer, first.phase, runs, data)
    _asked.number += 1
    return line_frame(COMPUTE, HOST, _asked.number, payload)


_asked.number = 0


def _sent(frame: bytearray, changes: dict[int, int], signer: Signer | None) -> bytes:
    """The frame with other fields, sound all the same, as it is on the line."""
    changed = bytearray(frame)
    for place, value in changes.items():
        changed[place] = value
    length = changed[LENGTH] | changed[LENGTH + 1] << 8
    append_trailer(changed, length, signer)
    return encode_frame(changed)


@pytest.mark.verify
@pytest.mark.timeout(600)  # three clusters of five chips, one after another
def test_emulated_chips_with_native_kernels_are_right_and_within_their_bounds(qemu: Path) -> None:
    rows = list(bounds.native_chip_figures(qemu))
    assert bounds.exceeded(bounds.bounded(rows), bounds.stored("native chip")) == []
