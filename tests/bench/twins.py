"""Kernels in machine code and their viper twin, executed side by side on the same memory."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from numpy.random import Generator

from bench.emulation.module import EmulatedModule
from host.build.constants import inline_constants
from host.build.kernels import kernel_source
from host.build.machine_code.registry import LX6, PIE, RV32IM

REPOSITORY = Path(__file__).resolve().parents[2]
GUARD = b"\xa5" * 32
INT16, INT32 = (-32768, 32767), (-(1 << 31), (1 << 31) - 1)
seeds = st.integers(0, 2**32 - 1)


def check(examples: int) -> settings:
    """As many examples, the same in each run."""
    return settings(max_examples=examples, deadline=None, derandomize=True)


class Scratch(bytes):
    """A buffer of which it does not matter what a kernel leaves in it."""


class Twins:
    """The kernels of a module of the firmware, or of the one that is generated for shapes."""

    def __init__(self, path: str, source: str = "", head_dim: int = 8) -> None:
        """source: of a module that is generated; else it is what the path leads to."""
        source = source or inline_constants((REPOSITORY / path).read_text(), keeps_names=True)
        self.native, *self.others = [
            EmulatedModule(source, path, kernels.mpy_arch, kernels, head_dim)
            for kernels in (RV32IM, LX6, PIE)
        ]
        self.viper = EmulatedModule(source, path, "rv32imc")

    def check(self, name: str, *arguments: int | bytes, **module_globals: bytes) -> int:
        """Calls viper's and those of all chips with integers and buffers, and compares results and
        all that they wrote, guards around the buffers included; what they returned.

        Products of matrices are those of chips that take them as viper does; for the others see
        test_native_matrices.py.
        """
        expected = self._outcome(self.viper, name, arguments, module_globals)
        for module in (self.native, *self.others):
            if name.startswith("matvec") and module.padding != 1:
                continue
            assert name in module.native
            for got, wanted in zip(
                self._outcome(module, name, arguments, module_globals), expected, strict=True
            ):
                assert got == wanted, (name, [a for a in arguments if isinstance(a, int)])
        return int.from_bytes(expected[0], "little", signed=True)

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


@cache
def twins(path: str) -> Twins:
    """The kernels of a module of the firmware."""
    return Twins(path)


def generated(columns: list[int], head_dim: int) -> Twins:
    """The kernels that are generated for a model's shapes."""
    path = "firmware/compute/model_kernels.py"
    return Twins(path, kernel_source(columns, head_dim), head_dim)


@cache
def of_shape(columns: int, head_dim: int = 8) -> Twins:
    """Those of one number of columns."""
    return generated([columns], head_dim)


def crc_table() -> bytes:
    """What eight more bits do to the register of CRC-32, by its lowest eight: uint32 [256]."""
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0xEDB88320 if value & 1 else 0)
        table.append(value)
    return np.array(table, "<u4").tobytes()


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
