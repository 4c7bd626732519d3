"""Runs a chip's programs of native kernels, and `serve`, in this project's interpreters.

No emulator that counts instructions runs MicroPython on an ESP32 or S3. But such a chip computes a
request in one call of machine code, for which its firmware prepares the arguments at start. Here
the firmware's own files do that, with a shard stored as on the chip, and the interpreter of its
processor runs the call. The answers must equal the reference's.
"""

from __future__ import annotations

import ast
import tempfile
from array import array
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from bench.emulation.memory import Memory
from bench.emulation.module import processor_of
from bench.emulation.mpy import native_functions
from bench.recording import SEQUENCE_ID, Caches, Request
from firmware.compute.shard import load_weights
from firmware.compute.weights import Weights
from firmware.links.uart import UartLink
from firmware.outbox import Outbox
from firmware.roles.host_reduce import HostReduce
from host.build.bundle import KERNELS, TWINS
from host.build.compilation import chip_module, chip_source
from host.build.kernels import model_kernels
from host.build.machine_code.registry import KernelSet
from host.build.shard import matrix_columns, shard_file
from host.model.arithmetic import Ints
from host.model.quantized import QuantizedModel
from host.parallel.plan import Plan, Shard
from host.paths import SOURCES

_MEMORY = 1 << 22
_CORE = 4  # bytes before a kernel's core
_OF_INT8 = "_int8"  # ends the names of kernels of int8 caches
_VALUE_ZERO = 1 << 15  # added to values in the cache


class _Kernel:
    """Stands for a chip's function, of which only the name is used."""

    def __init__(self, name: str) -> None:
        self.__name__ = name


class _Names(dict[str, Any]):
    """A module whose functions all stand for the chip's."""

    def __missing__(self, name: str) -> _Kernel:
        return _Kernel(name)


class _Buffers:
    """Places buffers of this process into the emulated memory; `copy` fills them."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._placed: dict[int, tuple[int, memoryview]] = {}

    def address(self, buffer: Any) -> int:
        """Returns the address of a buffer, or of the part that a memoryview shows."""
        whole = memoryview(buffer.obj if isinstance(buffer, memoryview) else buffer).cast("B")
        start = np.frombuffer(whole, np.uint8).ctypes.data
        if start not in self._placed:
            self._placed[start] = self._memory.placed(bytes(len(whole))), whole
        offset = 0
        if isinstance(buffer, memoryview) and buffer.nbytes:
            offset = np.frombuffer(buffer, np.uint8).ctypes.data - start
        return self._placed[start][0] + offset

    def copy(self) -> None:
        """Copies what the buffers hold."""
        for address, content in self._placed.values():
            self._memory.write(address, content)


class ProgramChip:
    """One chip of a federation with host reduce, on a UART with frames of version 2.

    caches: keys and values of the text, of which the chip gets its own; load: returns the Weights
    of a shard file's content, and may replace what the given module has as MATVEC, where matrices
    stay in flash.
    """

    def __init__(
        self,
        model: QuantizedModel,
        plan: Plan,
        shard: Shard,
        kernels: KernelSet,
        caches: Caches,
        load: Callable[[bytes, SimpleNamespace], Weights] | None = None,
    ) -> None:
        self._processor = processor_of(kernels)
        self._processor.memory = Memory(_MEMORY)
        self._buffers = _Buffers(self._processor.memory)
        head_dim, self._is_int8 = model.config.head_dim, model.config.int8_kv
        source = model_kernels(model.config, matrix_columns(model, shard), kernels.padding)
        self._cores = self._placed_kernels(source, kernels, head_dim)
        functions = _Names(MATVEC=_matrices(source))
        stand_ins = SimpleNamespace(**{name: functions[name] for name in _looked_up()})
        stand_ins.MATVEC = functions["MATVEC"]
        content = shard_file(model, plan, shard, kernels.padding)
        weights = load(content, stand_ins) if load else _load_whole(content, shard.chip)
        sizes = weights.request_size, weights.answer_size
        uart = SimpleNamespace(readinto=None, write=None)
        link = UartLink(uart, 2 * sizes[0], 2 * sizes[1])
        outbox = Outbox(shard.chip, link, 7, None, *sizes)
        self._role = HostReduce(outbox, weights, stand_ins)
        self._start(caches, shard)

    def _placed_kernels(
        self, source: str, kernels: KernelSet, head_dim: int
    ) -> dict[str, int]:
        """Returns the addresses of kernels' cores."""
        cores = {}
        for path in TWINS:
            text = source if path == KERNELS else (SOURCES / path).read_text()
            built = chip_source(text).decode()
            mpy = chip_module(text, path, kernels.mpy_arch)
            mpy = kernels.module(mpy, built, head_dim) or mpy
            for name, function in native_functions(mpy, built).items():
                cores[name] = self._processor.memory.placed(function.code) + _CORE
        # A model's module gives those of int8 caches the names of the others.
        return cores | {
            name.removesuffix(_OF_INT8): core
            for name, core in cores.items()
            if name.endswith(_OF_INT8)
        }

    def _start(self, caches: Caches, shard: Shard) -> None:
        """Does what a chip does at start, and fills its caches."""
        role, address = self._role, self._buffers.address
        model = role.model
        program = _firmware("program", addressof=address, core=self._core)
        table = array("I", _crc_table())
        crc = SimpleNamespace(_TABLE=table, check_frame=_Kernel("check_frame"),
                              put_crc32=_Kernel("put_crc32"))  # fmt: skip
        serve = _firmware("serve", addressof=address, core=self._core, frame_check=crc,
                          run_program=_Kernel("run_program"),
                          scoring_program=program["scoring_program"])  # fmt: skip
        if model.blocks:
            placed = _firmware("placed", addressof=address, core=self._core)
            model.blocks = placed["Placed"](model)
        programs = program["Programs"](model)
        slots = program["slots_of"](model)
        self._block, self._held = serve["_block"](role, programs, slots)
        self._block[serve["_SEQUENCE"]] = SEQUENCE_ID
        fill = fill_int8_cache if self._is_int8 else fill_cache
        for index, layer in enumerate(model.layers if shard.heads else ()):
            for cache, values, zero in (
                (layer.keys, caches.keys[index], layer.key_zero),
                (layer.values, caches.values[index], _VALUE_ZERO),
            ):
                fill(cache, values[list(shard.kv_heads)], zero)
        address(self._block)
        self._buffers.copy()

    def _core(self, function: Any) -> int:
        return self._cores[function.__name__]

    def answer(self, request: Request, sequence: int) -> tuple[int, bytes]:
        """Returns the instructions of machine code for a request, and the answer as on the
        line."""
        link, memory = self._role.outbox.link, self._processor.memory
        data = link._reading[1]
        positions = self._role.model.cache.positions
        address = self._buffers.address
        memory.write(address(positions), array("i", [request.position] * len(positions)))
        line, spent, size = request.frame(sequence), 0, 0
        for at in range(0, len(line), len(data)):
            piece = line[at : at + len(data)]
            memory.write(address(data), piece)
            size, count = self._called("serve", address(self._block), len(piece))
            spent += count
        return spent, memory.content(address(link._encoded), max(size, 0))

    def _called(self, name: str, *words: int) -> tuple[int, int]:
        """Calls a core with argument words; returns its result and its instructions."""
        execution = self._processor.call_core(self._cores[name], *words)
        return execution.result, execution.instructions


def _load_whole(content: bytes, chip: int) -> Weights:
    """Returns the weights of a shard file that goes into the heap."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "shard.bin"
        path.write_bytes(content)
        return load_weights(str(path), chip)


def fill_cache(cache: bytearray, rows: Ints, zero: int) -> None:
    """Puts rows [heads, positions, head_dim] into an int16 cache, of any number of positions."""
    into = np.frombuffer(cache, "<u2").reshape(len(rows), -1, rows.shape[-1])
    count = min(into.shape[1], rows.shape[1])
    into[:, :count] = rows[:, :count] + zero


def fill_int8_cache(cache: bytearray, rows: Ints, zero: int) -> None:
    """The same of an int8 cache (firmware/compute/weights.py)."""
    heads, _, size = rows.shape
    places = len(cache) // (size + 1)
    numbers = np.frombuffer(cache, np.uint8, places * size).reshape(heads, -1, size)
    shifts = np.frombuffer(cache, np.uint8, offset=places * size).reshape(heads, -1)
    count = min(numbers.shape[1], rows.shape[1])
    rows = rows[:, :count]
    # Numbers are -128 to 127.
    bits = np.frexp(np.maximum(rows, ~rows).max(axis=-1))[1]
    shift = np.maximum(bits - 7, 0)
    shifts[:, :count] = shift
    numbers[:, :count] = (rows >> shift[..., None]) + 128


def _firmware(name: str, **others: Any) -> dict[str, Any]:
    """Returns a module of firmware/compute that is for chips alone, with others of its
    functions."""
    path = SOURCES / "firmware" / "compute" / f"{name}.py"
    tree = ast.parse(path.read_text())
    # What only MicroPython has, it has for functions that others stand for here.
    imports = ("micropython", "uctypes", "firmware.compute.program")
    tree.body = [
        node
        for node in tree.body
        if not (isinstance(node, ast.Import) and node.names[0].name in imports)
        and not (isinstance(node, ast.ImportFrom) and node.module in imports)
    ]
    plain = SimpleNamespace(viper=lambda made: made, native=lambda made: made)
    made: dict[str, Any] = {"micropython": plain, "ptr32": int}
    exec(compile(tree, str(path), "exec"), made)
    made.update(others)
    return made


def _looked_up() -> Sequence[str]:
    """Returns the names of kernels that the firmware's parts take from their module."""
    return ("rope_row", "rescale", "rotate", "cache_rows", "attend", "gate", "load_int16s",
            "store_int16s")  # fmt: skip


def _matrices(source: str) -> Mapping[int, Any]:
    """Returns a kernel module's MATVEC, with stand-ins for its functions."""
    table = source[source.index("MATVEC = ") + len("MATVEC = ") :]
    made: Mapping[int, Any] = eval(table, {"__builtins__": {}}, _Names())
    return made


def _crc_table() -> list[int]:
    """Returns CRC-32's register after eight bits, for each value of its lowest eight."""
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0xEDB88320 if value & 1 else 0)
        table.append(value)
    return table
