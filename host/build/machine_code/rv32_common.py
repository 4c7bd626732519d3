"""RV32IM's part of what both processors have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from host.build.machine_code import rv32_core
from host.build.machine_code.common import BRANCHES, KEPT, OPERATIONS, ROOM, SPARE, CommonCode
from host.build.machine_code.rv32 import Rv32Assembler


class CommonRv32(CommonCode):
    """RV32IM."""

    _REGISTERS = {name: f"s{i}" for i, name in enumerate(KEPT)} | {name: name for name in SPARE}

    def __init__(self, asm: Rv32Assembler, words: Sequence[str]) -> None:
        super().__init__(words)
        self._asm = asm

    def label(self, name: str) -> str:
        return self._asm.label(name)

    def unique(self, name: str) -> str:
        return self._asm.unique(name)

    @contextmanager
    def function(self, arguments: Mapping[str, int]) -> Iterator[None]:
        kept = [self._REGISTERS[name] for name in KEPT]
        with rv32_core.saved(self._asm, (*kept, "ra"), ROOM):
            rv32_core.load_words(
                self._asm, {self._REGISTERS[name]: place for name, place in arguments.items()}
            )
            yield
            self._asm.mv("a0", "t0")

    def load(self, to: str, base: str, offset: int = 0) -> None:
        self._asm.lw(self._REGISTERS[to], offset, self._REGISTERS[base])

    def store(self, source: str, base: str, offset: int = 0) -> None:
        self._asm.sw(self._REGISTERS[source], offset, self._REGISTERS[base])

    def load8(self, to: str, base: str, offset: int = 0) -> None:
        self._asm.lbu(self._REGISTERS[to], offset, self._REGISTERS[base])

    def store8(self, source: str, base: str, offset: int = 0) -> None:
        self._asm.sb(self._REGISTERS[source], offset, self._REGISTERS[base])

    def operate(self, operation: str, to: str, one: str, other: str) -> None:
        instruction = getattr(self._asm, OPERATIONS[operation])
        instruction(self._REGISTERS[to], self._REGISTERS[one], self._REGISTERS[other])

    def shift(self, to: str, source: str, by: int) -> None:
        instruction = self._asm.slli if by > 0 else self._asm.srli
        instruction(self._REGISTERS[to], self._REGISTERS[source], abs(by))

    def remainder(self, to: str, one: str, other: str) -> None:
        self._asm.remu(self._REGISTERS[to], self._REGISTERS[one], self._REGISTERS[other])

    def number(self, to: str, value: int) -> None:
        self._asm.li(self._REGISTERS[to], value)

    def add(self, to: str, source: str, value: int) -> None:
        self._asm.addi(self._REGISTERS[to], self._REGISTERS[source], value)

    def branch(self, one: str, condition: str, other: str, label: str) -> None:
        instruction = getattr(self._asm, BRANCHES[condition])
        instruction(self._REGISTERS[one], self._REGISTERS[other], label)

    def branch_number(
        self, one: str, condition: str, value: int, label: str, spare: str = "t4"
    ) -> None:
        if value:
            super().branch_number(one, condition, value, label, spare)
        else:
            getattr(self._asm, BRANCHES[condition])(self._REGISTERS[one], "zero", label)

    def jump(self, label: str) -> None:
        self._asm.j(label)

    def call(self, kernel: str, *arguments: str | int) -> None:
        asm = self._asm
        for place, argument in enumerate(arguments):
            if argument == 0:
                asm.sw("zero", 4 * place, "sp")
                continue
            if isinstance(argument, int):
                asm.li("t6", argument)
            elif self.is_word(argument):
                asm.lw("t6", self.places[argument], "s0")
            asm.sw(self._REGISTERS.get(str(argument), "t6"), 4 * place, "sp")
        asm.lw("t6", self.places[kernel], "s0")
        asm.mv("a0", "sp")
        asm.jalr("ra", 0, "t6")
        asm.mv("t0", "a0")


def rv32_core_of(
    write: Callable[[CommonCode], None], words: Sequence[str]
) -> Callable[[Rv32Assembler], None]:
    """Returns the core that `write` writes, for RV32IM."""
    return lambda asm: write(CommonRv32(asm, words))
