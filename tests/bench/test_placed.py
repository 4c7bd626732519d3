"""Programs of chips whose flash is mapped, or kept in the heap, in the interpreters: their machine
code takes each matrix from where it is, block by block."""

import struct
import sys
from array import array
from types import SimpleNamespace

import numpy as np
import pytest

import firmware.compute
from bench.chip import read_values
from bench.emulation.module import processor_of
from bench.emulation.mpy import native_functions
from bench.native import NATIVE_SETS
from bench.plans import tensor_plan
from bench.program_chip import ProgramChip, _firmware
from bench.recording import record
from bench.virtual.model import as_checkpoint, draw_weights
from host.build.compilation import compiled
from host.build.machine_code.registry import PIE
from host.build.pass_kernels import pass_kernel
from host.build.row_kernels import row_kernel
from host.build.shard import stored_matrix
from host.model.checkpoint import Config
from host.model.quantization.quantize import quantize
from host.parallel import flash
from protocol.flash_layout import rows_bytes, rows_in_block
from protocol.messages import PHASE_VOCABULARY
from protocol.shard_layout import VECTORS
from tests.firmware.flash_chips import MemoryPartition, has_partitions, settings_of
from tests.host.grouped_models import grouped_checkpoint, grouped_model
from tests.simulation.launch import REPOSITORY

# One chip's q, k and v, gate and up, and vocabulary have several blocks, the others one.
CONFIG = Config(dim=64, hidden_dim=96, layers=2, heads=4, kv_heads=2, vocab_size=150, context=16)
CHIPS, POSITION = 1, 1
# How much of the partition is mapped, and bytes of heap for matrices.
PLACES = {"mapped": (1, 0), "resident": (0, 1 << 20), "both": (1, 30_000)}
CASES = [
    pytest.param(
        places, kernels, id=f"{places}, {kernels.name}",
        marks=() if kernels is PIE or places == "both" else pytest.mark.verify,
    )
    for places in PLACES
    for kernels in NATIVE_SETS
]  # fmt: skip


@pytest.fixture(scope="module")
def text():
    """A model, requests of two positions, and the caches after them."""
    model = quantize(as_checkpoint(CONFIG, draw_weights(CONFIG, 4, {"classifier": 4.0})))
    return model, *record(model, [1], POSITION + 1)


def loads(monkeypatch, chip, block, mapped, room):
    """A loader of the firmware's for a ProgramChip; weights: what it has loaded."""

    def load(content, kernels):
        monkeypatch.setattr(firmware.compute, "model_kernels", kernels, raising=False)
        monkeypatch.setitem(sys.modules, "firmware.compute.placed", object())
        module = has_partitions(MemoryPartition(content))
        monkeypatch.setattr(module, "_map", lambda settings, file, blocks: maps(content, blocks))
        settings = settings_of(content, block)
        load.weights = module.load_weights({**settings, "resident": room, "map": 0}, chip)
        return load.weights

    def maps(content, blocks):
        blocks.mapped = bytearray(content[: int(mapped * len(content))])
        return content[-32:]

    return load


@pytest.mark.parametrize(("places", "kernels"), CASES)
def test_machine_code_takes_matrices_from_where_they_are(text, places, kernels, monkeypatch):
    """All chips' answers add up to the reference's."""
    check_answers(text, CHIPS, places, kernels, monkeypatch)


@pytest.mark.verify
def test_so_does_that_of_a_layer_of_smollm2_on_nine_chips(monkeypatch):
    """With blocks of 13 rows of 576 columns, as on boards."""
    config = Config(576, 1536, 1, 9, 3, 512, 16)
    model = quantize(as_checkpoint(config, draw_weights(config, 5, {"classifier": 4.0})))
    text = model, *record(model, [1], POSITION + 1)
    check_answers(text, 9, "both", PIE, monkeypatch)


@pytest.mark.parametrize("kernels", NATIVE_SETS, ids=lambda kernels: kernels.name)
def test_so_does_that_of_weights_in_groups(kernels, monkeypatch):
    """Whose blocks are matrices by themselves on all processors."""
    monkeypatch.setattr(flash, "BLOCK", 512)
    model = grouped_model(grouped_checkpoint())
    check_answers((model, *record(model, [1], POSITION + 1)), 1, "mapped", kernels, monkeypatch)


def check_answers(text, chips, places, kernels, monkeypatch):
    """Those of chips whose matrices are in such places."""
    model, requests, caches = text
    asked = [request for request in requests if request.position == POSITION]
    plan = tensor_plan(model, chips, flash=(1 << 20,) * chips)
    answers = []
    for shard in plan.shards:
        load = loads(monkeypatch, shard.chip, plan.block(shard.chip), *PLACES[places])
        chip = ProgramChip(model, plan, shard, kernels, caches, load)
        found = [chip.answer(request, index)[1] for index, request in enumerate(asked)]
        answers.append([read_values(answer) for answer in found])
        assert load.weights.on_idle is None  # there is nothing to read
    for request, *parts in zip(asked, *answers, strict=True):
        is_scoring = request.phase == PHASE_VOCABULARY
        got = np.concatenate(parts) if is_scoring else np.sum(parts, axis=0)
        assert np.array_equal(got, request.answer)


@pytest.mark.parametrize("mapped", [0, 0.5])
def test_there_are_no_addresses_if_a_matrix_is_read_in_blocks(text, mapped, monkeypatch):
    plan = tensor_plan(text[0], CHIPS, flash=(1 << 20,) * CHIPS)
    load = loads(monkeypatch, 0, plan.block(0), mapped, 0)
    with pytest.raises(KeyError):
        ProgramChip(text[0], plan, plan.shards[0], PIE, text[2], load)
    assert load.weights.on_idle and load.weights.blocks.kernels is None


@pytest.mark.parametrize("kernels", NATIVE_SETS, ids=lambda kernels: kernels.name)
@pytest.mark.parametrize("rows", [1, 5, 10, 27])
def test_a_kernel_is_called_for_each_block_and_its_words_are_kept(kernels, rows):
    """With blocks of five rows, stored each as a matrix by itself."""
    columns, block = 40, 5 * 52 + 12
    padding = kernels.padding
    random = np.random.default_rng(rows)
    weights = random.integers(-127, 128, (rows, columns), np.int8)
    x = random.integers(-32767, 32768, columns)
    at_once = 5 if padding == VECTORS else 4
    pieces = [stored_matrix(weights[i : i + at_once], padding) for i in range(0, rows, at_once)]
    chip = Multiplier(kernels, columns)
    size = rows_bytes(at_once, columns, padding)
    assert padding != VECTORS or at_once == rows_in_block(columns, padding, block)
    y, words = chip.run(b"".join(pieces), x, rows, at_once, size)
    assert list(y) == list(weights.astype(np.int64) @ x)
    assert words == chip.words
    inputs = random.integers(-32767, 32768, (2, columns + 8))
    sums, words = chip.run(b"".join(pieces), inputs, rows, at_once, size)
    assert np.array_equal(sums, inputs[:, :columns] @ weights.astype(np.int64).T)
    assert words == chip.words


def test_vectors_from_an_address_that_is_not_aligned_are_wrong():
    """So a partition that does not begin at a page is not mapped (tests/simulation/
    test_mapping.py)."""
    random = np.random.default_rng(1)
    weights = random.integers(-127, 128, (5, 40), np.int8)
    x, chip = random.integers(-99, 99, 40), Multiplier(PIE, 40)
    for begin, is_right in ((0, True), (VECTORS, True), (4, False), (8, False)):
        y, _ = chip.run(stored_matrix(weights, VECTORS), x, 5, 5, 0, begin)
        assert (list(y) == list(weights.astype(np.int64) @ x)) == is_right


class Part:
    """A part of a model whose bytecode adds to each of its results, and a program in its place."""

    def __init__(self, space, adds):
        self.space, self.adds = space, adds

    def run(self, *given):
        more = self.adds + sum(getattr(each, "wrong", 0) for each in given)
        for buffer in (self.space.results, self.space.rows):
            for i in range(len(buffer)):
                buffer[i] = self.space.x[i] + more


@pytest.mark.parametrize("wrong", [None, "attention", "feed_forward", "vocabulary", "layer"])
def test_programs_must_compute_what_bytecode_does_in_each_layer(wrong):
    """A layer's matrices might be taken from a wrong address in a program alone."""
    space = SimpleNamespace(**{name: array("i", [0] * 4) for name in ("x", "results", "rows")})
    space.heads = array("i", [5])
    layers = [SimpleNamespace(wrong=0), SimpleNamespace(wrong=0)]
    parts = {name: Part(space, 1) for name in ("attention", "feed_forward", "vocabulary")}
    model = SimpleNamespace(workspace=space, layers=layers, **parts)
    made = {name: Part(space, 1 + (name == wrong)).run for name in parts}
    placed = _firmware("placed", run_program=made["vocabulary"], scoring_program=lambda model: [])
    programs = SimpleNamespace(attend=made["attention"], feed=made["feed_forward"])
    if wrong == "layer":
        programs.attend = lambda layer, *given: made["attention"](
            SimpleNamespace(wrong=int(layer is layers[1])), *given
        )
    assert placed["is_right"](model, programs) == (wrong is None)


@pytest.mark.parametrize(
    ("free", "kernels", "why"),
    [(99, {}, "no room for programs"), (1 << 20, None, "no programs: weights are read in blocks"),
     (1 << 20, {1: 2}, "")],
)  # fmt: skip
def test_a_chip_says_why_it_runs_no_programs(free, kernels, why):
    memory = SimpleNamespace(collect=bool, mem_free=lambda: free)
    program = _firmware("program", gc=memory)
    model = SimpleNamespace(
        layers=[SimpleNamespace(caches=None)], blocks=SimpleNamespace(kernels=kernels)
    )
    placed = SimpleNamespace(Placed=lambda model: "placed")
    assert program["_why_not"](model, placed) == why
    assert (model.blocks == "placed") == (not why)


class Multiplier:
    """A chip with multiply_blocks and a kernel for matrices."""

    def __init__(self, kernels, columns):
        self.core = processor_of(kernels)
        source = (REPOSITORY / "firmware/compute/placed.py").read_text()
        source = source[source.index("@micropython") : source.index("class Placed")]
        source = f"import micropython\n{source}\n" + _kernel(columns, kernels.padding)
        source += pass_kernel(columns, kernels.padding)
        mpy = compiled(source.encode(), "placed.py", kernels.mpy_arch)
        functions = native_functions(kernels.module(mpy, source, 8), source)
        self.places = {
            name: self.core.memory.placed(function.code) + 4
            for name, function in functions.items()
        }
        self._kernels = self.places[f"matvec_{columns}"], self.places[f"matmul_{columns}"]

    def run(self, stored, x, rows, at_once, size, begin=0):
        """y and the words after the call, of a matrix from byte `begin` on; x of one position, or
        a row for each of several."""
        memory, several = self.core.memory, x.ndim - 1
        shape = (*x.shape[:several], rows)
        y = memory.placed(bytes(4 * int(np.prod(shape))))
        inputs = memory.placed(x.astype("<i4").tobytes())
        matrix = memory.placed(bytes(32 + begin) + stored)
        self.words = [self._kernels[several], at_once, size, matrix, len(x) * several, y, inputs]
        self.words += [rows, 32 + begin, *(4 * rows, 4 * x.shape[-1])[: 2 * several]]
        words = memory.placed(struct.pack(f"<{len(self.words)}I", *self.words))
        self.core._operations.clear()
        self.core.enter(words, 0, 0)
        self.core._run(self.places["multiply_blocks"])
        found = np.frombuffer(memory.content(words, 4 * len(self.words)), "<u4")
        sums = np.frombuffer(memory.content(y, 4 * int(np.prod(shape))), "<i4")
        return sums.reshape(shape), found.tolist()


def _kernel(columns, padding):
    """The source of a kernel for whole rows."""
    if padding > 1:
        return row_kernel(columns, padding)
    return f"""
@micropython.viper
def matvec_{columns}(w: ptr8, acc: int, y: ptr32, xp: ptr32, rows: int, at: int):
    pass
"""
