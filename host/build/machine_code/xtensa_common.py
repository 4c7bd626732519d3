"""Xtensa's part of what both processors have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from host.build.machine_code import xtensa_core
from host.build.machine_code.common import (
    BRANCHES,
    CONDITIONS,
    KEPT,
    OPERATIONS,
    ROOM,
    SPARE,
    CommonCode,
)
from host.build.machine_code.xtensa import XtensaAssembler


class CommonXtensa(CommonCode):
    """Xtensa with a divider: ESP32 and ESP32-S3."""

    _REGISTERS = {name: f"a{2 + i}" for i, name in enumerate(KEPT)} | dict(
        zip(SPARE, ("a9", "a11", "a12", "a13", "a14"), strict=True)
    )

    def __init__(self, asm: XtensaAssembler, words: Sequence[str]) -> None:
        super().__init__(words)
        self._asm = asm

    def label(self, name: str) -> str:
        return self._asm.label(name)

    def unique(self, name: str) -> str:
        return self._asm.unique(name)

    @contextmanager
    def function(self, arguments: Mapping[str, int]) -> Iterator[None]:
        words = {self._REGISTERS[name]: place for name, place in arguments.items()}
        with xtensa_core.calling_frame(self._asm, words, ROOM):
            yield
            self._asm.mov("a2", self._REGISTERS["t0"])

    def load(self, to: str, base: str, offset: int = 0) -> None:
        self._asm.l32i(self._REGISTERS[to], self._REGISTERS[base], offset)

    def store(self, source: str, base: str, offset: int = 0) -> None:
        self._asm.s32i(self._REGISTERS[source], self._REGISTERS[base], offset)

    def load8(self, to: str, base: str, offset: int = 0) -> None:
        self._asm.l8ui(self._REGISTERS[to], self._REGISTERS[base], offset)

    def store8(self, source: str, base: str, offset: int = 0) -> None:
        self._asm.s8i(self._REGISTERS[source], self._REGISTERS[base], offset)

    def operate(self, operation: str, to: str, one: str, other: str) -> None:
        to, one, other = (self._REGISTERS[name] for name in (to, one, other))
        if operation == "<<":
            self._asm.ssl(other)
            self._asm.sll(to, one)
        else:
            name = "mull" if operation == "*" else OPERATIONS[operation]
            getattr(self._asm, name)(to, one, other)

    def shift(self, to: str, source: str, by: int) -> None:
        instruction = self._asm.slli if by > 0 else self._asm.srli
        instruction(self._REGISTERS[to], self._REGISTERS[source], abs(by))

    def remainder(self, to: str, one: str, other: str) -> None:
        to, one, other = (self._REGISTERS[name] for name in (to, one, other))
        self._asm.quou(to, one, other)
        self._asm.mull(to, to, other)
        self._asm.sub(to, one, to)

    def number(self, to: str, value: int) -> None:
        self._asm.set(self._REGISTERS[to], value)

    def add(self, to: str, source: str, value: int) -> None:
        if value:
            self._asm.addi(self._REGISTERS[to], self._REGISTERS[source], value)
        else:
            self._asm.mov(self._REGISTERS[to], self._REGISTERS[source])

    def branch(self, one: str, condition: str, other: str, label: str) -> None:
        # Over a jump, which reaches farther than a branch.
        past = self._asm.unique("past")
        opposite = getattr(self._asm, BRANCHES[CONDITIONS[condition]])
        opposite(self._REGISTERS[one], self._REGISTERS[other], past)
        self._asm.j(label)
        self._asm.label(past)

    def jump(self, label: str) -> None:
        self._asm.j(label)

    def call(self, kernel: str, *arguments: str | int) -> None:
        asm = self._asm
        for place, argument in enumerate(arguments):
            if isinstance(argument, int):
                asm.set("a8", argument)
            elif self.is_word(argument):
                asm.l32i("a8", "a2", self.places[argument])
            asm.s32i(self._REGISTERS.get(str(argument), "a8"), "a1", 4 * place)
        asm.l32i("a8", "a2", self.places[kernel])
        asm.mov("a10", "a1")
        asm.callx8("a8")
        asm.mov(self._REGISTERS["t0"], "a10")


def xtensa_core_of(
    write: Callable[[CommonCode], None], words: Sequence[str]
) -> Callable[[XtensaAssembler], None]:
    """Returns the core that `write` writes, for Xtensa."""
    return lambda asm: write(CommonXtensa(asm, words))
