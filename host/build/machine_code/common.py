"""Instructions that RV32IM and Xtensa have in common, for machine code that is written only once.

Its speed depends on the kernels that it calls. Registers are k0 to k5, which calls preserve, and
t0 to t4, which they do not. The addresses of words that are loaded or stored are multiples of 4.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager

KEPT = ("k0", "k1", "k2", "k3", "k4", "k5")
SPARE = ("t0", "t1", "t2", "t3", "t4")
ROOM = 48  # bytes for a call's arguments
# Conditions of branches, and their opposites; "u": unsigned.
_OPPOSITE = {"==": "!=", "<": ">=", "<u": ">=u"}
CONDITIONS = {**_OPPOSITE, **{other: condition for condition, other in _OPPOSITE.items()}}
# The names on both processors, except for products and shifts on Xtensa.
BRANCHES = {"==": "beq", "<": "blt", "<u": "bltu", "!=": "bne", ">=": "bge", ">=u": "bgeu"}
OPERATIONS = {"+": "add", "-": "sub", "*": "mul", "&": "and_", "|": "or_", "^": "xor",
               "<<": "sll"}  # fmt: skip


class CommonCode(ABC):
    """Writes instructions of one of the processors. words: the names of the words of a block,
    whose address is in k0; places: their places in the block, in bytes."""

    def __init__(self, words: Sequence[str]) -> None:
        self.places = {name: 4 * place for place, name in enumerate(words)}

    @abstractmethod
    def function(self, arguments: Mapping[str, int]) -> AbstractContextManager[None]:
        """A context manager: the instructions written inside are a core, with its argument words
        in these registers, by index; it returns t0."""

    @abstractmethod
    def load(self, to: str, base: str, offset: int = 0) -> None:
        """Writes: to = the word at base + offset."""

    @abstractmethod
    def store(self, source: str, base: str, offset: int = 0) -> None:
        """Writes: the word at base + offset = source."""

    @abstractmethod
    def load8(self, to: str, base: str, offset: int = 0) -> None:
        """Writes: to = the byte at base + offset."""

    @abstractmethod
    def store8(self, source: str, base: str, offset: int = 0) -> None:
        """Writes: the byte at base + offset = the lowest eight bits of source."""

    @abstractmethod
    def operate(self, operation: str, to: str, one: str, other: str) -> None:
        """Writes: to = one (operation) other, with +, -, *, &, |, ^, or << by less than 32."""

    @abstractmethod
    def shift(self, to: str, source: str, by: int) -> None:
        """Writes: to = source shifted to the left by `by` bits; for a negative number, up to 15
        bits to the right, without sign."""

    @abstractmethod
    def remainder(self, to: str, one: str, other: str) -> None:
        """Writes: to = one % other, unsigned; all registers differ."""

    @abstractmethod
    def number(self, to: str, value: int) -> None:
        """Writes: to = value, of 32 bits."""

    @abstractmethod
    def add(self, to: str, source: str, value: int) -> None:
        """Writes: to = source + value, -128 to 127."""

    @abstractmethod
    def branch(self, one: str, condition: str, other: str, label: str) -> None:
        """Writes a branch to the label if `one` (condition) `other` holds: ==, !=, <, >=, <u or
        >=u."""

    @abstractmethod
    def jump(self, label: str) -> None:
        """Writes a jump to the label."""

    @abstractmethod
    def label(self, name: str) -> str:
        """Names this place."""

    @abstractmethod
    def unique(self, name: str) -> str:
        """Returns a label that is not used elsewhere."""

    @abstractmethod
    def call(self, kernel: str, *arguments: str | int) -> None:
        """Writes a call of a kernel's core, whose address is a word of the block, with words of
        the block, registers and numbers as arguments; its result is in t0."""

    def get(self, to: str, word: str) -> None:
        """Writes: to = a word of the block."""
        self.load(to, "k0", self.places[word])

    def put(self, source: str, word: str) -> None:
        """Writes: a word of the block = source."""
        self.store(source, "k0", self.places[word])

    def address(self, to: str, word: str) -> None:
        """Writes: to = the address of a word of the block."""
        self.number(to, self.places[word])
        self.operate("+", to, to, "k0")

    def is_word(self, name: str) -> bool:
        """Returns whether the block has a word of this name."""
        return name in self.places

    def move(self, to: str, source: str) -> None:
        """Writes: to = source."""
        self.add(to, source, 0)

    def load16(self, to: str, base: str, offset: int, spare: str) -> None:
        """Writes: to = the two bytes at base + offset, at any address; changes spare."""
        self.load8(to, base, offset)
        self.load8(spare, base, offset + 1)
        self.shift(spare, spare, 8)
        self.operate("|", to, to, spare)

    def store16(self, source: str, base: str, offset: int) -> None:
        """Writes: the two bytes at base + offset = the lowest sixteen bits of source; changes
        source."""
        self.store8(source, base, offset)
        self.shift(source, source, -8)
        self.store8(source, base, offset + 1)

    def branch_number(
        self, one: str, condition: str, value: int, label: str, spare: str = "t4"
    ) -> None:
        """Writes what branch does, with a number; changes spare."""
        self.number(spare, value)
        self.branch(one, condition, spare, label)
