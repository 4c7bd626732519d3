"""A kernel in machine code and its viper twin, executed side by side on the same memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.random import Generator

from bench.emulation.module import EmulatedModule
from host.build.constants import inline_constants
from host.build.kernels import kernel_source
from host.build.machine_code.registry import RV32IM

REPOSITORY = Path(__file__).resolve().parents[2]
GUARD = b"\xa5" * 32


class Scratch(bytes):
    """A buffer of which it does not matter what a kernel leaves in it."""


class Twins:
    """The kernels of a module of the firmware, or of the one that is generated for shapes."""

    def __init__(self, path: str, source: str = "", head_dim: int = 8) -> None:
        """source: of a module that is generated; else it is what the path leads to."""
        source = source or inline_constants((REPOSITORY / path).read_text(), keeps_names=True)
        self.native = EmulatedModule(source, path, "rv32imc", RV32IM, head_dim)
        self.viper = EmulatedModule(source, path, "rv32imc")

    def check(self, name: str, *arguments: int | bytes, **module_globals: bytes) -> int:
        """Calls both with integers and buffers, and compares results and all that they wrote,
        guards around the buffers included; what they returned."""
        assert name in self.native.native
        outcomes = [
            self._outcome(module, name, arguments, module_globals)
            for module in (self.native, self.viper)
        ]
        for got, expected in zip(*outcomes, strict=True):
            assert got == expected, (name, [a for a in arguments if isinstance(a, int)])
        return int.from_bytes(outcomes[0][0], "little", signed=True)

    def _outcome(
        self,
        module: EmulatedModule,
        name: str,
        arguments: tuple[int | bytes, ...],
        module_globals: dict[str, bytes],
    ) -> list[bytes]:
        module.clear()
        for given, content in module_globals.items():
            module.set_global(given, module.placed(content))
        places = [
            argument
            if isinstance(argument, int)
            # An empty buffer has no place in MicroPython either.
            else module.placed(GUARD + argument + GUARD) + len(GUARD)
            if argument
            else 0
            for argument in arguments
        ]
        result = module.call(name, *places)
        has_result = module._functions[name].has_result
        written = []
        for place, argument in zip(places, arguments, strict=True):
            if isinstance(argument, bytes) and argument:
                around = len(argument) + 2 * len(GUARD)
                held = bytearray(module.bytes(place - len(GUARD), around))
                if isinstance(argument, Scratch):
                    held[len(GUARD) : -len(GUARD)] = argument
                written.append(bytes(held))
        return [result.to_bytes(4, "little", signed=True) if has_result else b"", *written]


def generated(columns: list[int], head_dim: int) -> Twins:
    """The kernels that are generated for a model's shapes."""
    path = "firmware/compute/model_kernels.py"
    return Twins(path, kernel_source(columns, head_dim), head_dim)


def numbers(random: Generator, low: int, high: int, count: int, kind: str = "<i4") -> bytes:
    """Integers within bounds as bytes: at random, or all, or some of them, at an extreme."""
    values = random.integers(low, high + 1, count)
    match random.integers(6):
        case 0:
            values[:] = low
        case 1:
            values[:] = high
        case 2:
            values[:] = min(max(0, low), high)
        case 3:
            values = np.where(random.integers(0, 2, count), low, high)
        case 4:
            values = np.where(random.integers(0, 4, count), values, (values >> 9) + (values < 0))
            values = np.clip(values, low, high)
    return values.astype(kind).tobytes()
