"""A chip's module of viper functions, compiled for a target and ready to be called from here."""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from bench.emulation.lx6 import Lx6
from bench.emulation.mpy import native_functions
from bench.emulation.pie import S3
from bench.emulation.processor import Execution, Processor
from bench.emulation.rv32 import Rv32
from bench.emulation.xtensa import Xtensa
from host.build.compilation import compiled
from host.build.machine_code.registry import KernelSet
from host.model.arithmetic import Ints

_WRITABLE_VIEW = 0x80  # in the typecode of an array's object

PROCESSORS: dict[str, type[Processor]] = {"rv32imc": Rv32, "xtensawin": Xtensa}
TARGETS = tuple(PROCESSORS)
# Of sets of kernels that take more than any processor of their target has.
_PROCESSORS_OF_KERNELS: dict[str, type[Processor]] = {"lx6": Lx6, "pie": S3}


def processor_of(kernels: KernelSet) -> Processor:
    """Returns a processor that has what these kernels take."""
    return (_PROCESSORS_OF_KERNELS.get(kernels.name) or PROCESSORS[kernels.mpy_arch])()


class EmulatedModule:
    """Calls functions of a module on the emulated processor of a target.

    `instructions` adds up what calls have executed, `calls` how often they called MicroPython;
    padding: how its kernels want matrices (protocol/shard_layout.py).
    """

    def __init__(
        self,
        source: str,
        name: str,
        target: str,
        kernels: KernelSet | None = None,
        head_dim: int = 0,
    ) -> None:
        """kernels: machine code in place of the viper compiler's, for heads of head_dim."""
        self.target, self.padding = target, kernels.padding if kernels else 1
        mpy = compiled(source.encode(), name, target)
        viper = native_functions(mpy, source)
        if kernels:
            mpy = kernels.module(mpy, source, head_dim) or mpy
        self._functions = native_functions(mpy, source)
        # These take objects apart by themselves, where viper's code calls MicroPython.
        self.native = {
            name for name, function in self._functions.items() if function != viper[name]
        }
        self._processor = processor_of(kernels) if kernels else PROCESSORS[target]()
        self._processor.keep(self._functions.values())
        self.instructions = 0
        self.calls: Counter[str] = Counter()

    def clear(self) -> None:
        """Empties the memory and the counters."""
        self._processor.memory.clear()
        self.instructions = 0
        self.calls.clear()

    def call(self, name: str, *arguments: int) -> int:
        """Returns what the function gives for integers and addresses."""
        function = self._functions[name]
        if name in self.native:
            arguments = tuple(map(self._object, function.parameters, arguments))
        executed: Execution = self._processor.call(function, *arguments)
        self.instructions += executed.instructions
        self.calls += executed.calls
        return executed.result >> 1 if name in self.native else executed.result

    def set_global(self, name: str, address: int) -> None:
        """Gives the module a buffer under a name."""
        index = next(iter(self._functions.values())).names[name]
        self._processor.module_globals[index] = self._object("ptr", address)

    def _object(self, kind: str, value: int) -> int:
        """Returns a small integer, or at every other address a view of items that begin before
        it."""
        if kind in ("int", "uint"):
            return 2 * value + 1
        size, typecode = {"ptr16": (2, "h"), "ptr32": (4, "i")}.get(kind, (1, "B"))
        begins = value // 16 % 4
        view = _WRITABLE_VIEW if begins else 0
        array = [0, ord(typecode) | view | begins << 8, 0, value - begins * size]
        return self.placed(np.array(array))

    def placed(self, values: Ints | NDArray[np.generic] | bytes, kind: str = "<i4") -> int:
        """Returns the address of integers in memory, as int32 or another numpy kind, or of
        bytes."""
        data = values if isinstance(values, bytes) else values.astype(kind).tobytes()
        return self._processor.memory.placed(data)

    def int32s(self, address: int, count: int) -> Ints:
        """Returns the int32 at an address."""
        content = self._processor.memory.content(address, 4 * count)
        return np.frombuffer(content, "<i4").astype(np.int64)

    def bytes(self, address: int, count: int) -> bytes:
        """Returns the bytes at an address."""
        return self._processor.memory.content(address, count)
