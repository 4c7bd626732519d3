"""A chip's module of viper functions, compiled for a target and ready to be called from here."""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from bench.emulation.mpy import native_functions
from bench.emulation.processor import Execution, Processor
from bench.emulation.rv32 import Rv32
from bench.emulation.xtensa import Xtensa
from host.build.bundle import compiled
from host.model.arithmetic import Ints

PROCESSORS: dict[str, type[Processor]] = {"rv32imc": Rv32, "xtensawin": Xtensa}
TARGETS = tuple(PROCESSORS)


class EmulatedModule:
    """Calls functions of a module on the emulated processor of a target.

    `instructions` adds up what calls have executed, `calls` how often they called MicroPython.
    """

    def __init__(self, source: str, name: str, target: str) -> None:
        self._functions = native_functions(compiled(source.encode(), name, target), source)
        self._processor = PROCESSORS[target]()
        self.instructions = 0
        self.calls: Counter[str] = Counter()

    def clear(self) -> None:
        """Empties the memory and the counters."""
        self._processor.memory.clear()
        self.instructions = 0
        self.calls.clear()

    def call(self, name: str, *arguments: int) -> int:
        """What the function gives for integers and addresses."""
        executed: Execution = self._processor.call(self._functions[name], *arguments)
        self.instructions += executed.instructions
        self.calls += executed.calls
        return executed.result

    def placed(self, values: Ints | NDArray[np.generic] | bytes, kind: str = "<i4") -> int:
        """The address of integers in memory, as int32 or another numpy kind, or of bytes."""
        data = values if isinstance(values, bytes) else values.astype(kind).tobytes()
        return self._processor.memory.placed(data)

    def int32s(self, address: int, count: int) -> Ints:
        """The int32 at an address."""
        content = self._processor.memory.content(address, 4 * count)
        return np.frombuffer(content, "<i4").astype(np.int64)

    def bytes(self, address: int, count: int) -> bytes:
        """The bytes at an address."""
        return self._processor.memory.content(address, count)
