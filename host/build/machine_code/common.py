"""Instructions that RV32IM and Xtensa have in common, for machine code that is written once.

Its speed is that of the kernels which it calls. Registers are k0 to k5, which calls leave, and t0
to t4, which they do not. What is loaded and stored as a word lies at a multiple of 4.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager

KEPT = ("k0", "k1", "k2", "k3", "k4", "k5")
SPARE = ("t0", "t1", "t2", "t3", "t4")
ROOM = 48  # bytes for a call's arguments
# Conditions of branches, and what does not hold where they do; "u": without sign.
_OPPOSITE = {"==": "!=", "<": ">=", "<u": ">=u"}
CONDITIONS = {**_OPPOSITE, **{other: condition for condition, other in _OPPOSITE.items()}}
# What both processors call them, but for Xtensa's product and its shifts.
BRANCHES = {"==": "beq", "<": "blt", "<u": "bltu", "!=": "bne", ">=": "bge", ">=u": "bgeu"}
OPERATIONS = {"+": "add", "-": "sub", "*": "mul", "&": "and_", "|": "or_", "^": "xor",
               "<<": "sll"}  # fmt: skip


class CommonCode(ABC):
    """Writes instructions of one of the processors. words: names of those of a block, which k0
    holds the address of; places: where they lie in it, in bytes."""

    def __init__(self, words: Sequence[str]) -> None:
        self.places = {name: 4 * place for place, name in enumerate(words)}

    @abstractmethod
    def function(self, arguments: Mapping[str, int]) -> AbstractContextManager[None]:
        """What is written within is a core, with its argument words in these registers, by their
        index; it gives what `t0` holds in the end."""

    @abstractmethod
    def load(self, to: str, base: str, offset: int = 0) -> None:
        """to = the word at base + offset."""

    @abstractmethod
    def store(self, source: str, base: str, offset: int = 0) -> None:
        """The word at base + offset = source."""

    @abstractmethod
    def load8(self, to: str, base: str, offset: int = 0) -> None:
        """to = the byte at base + offset."""

    @abstractmethod
    def store8(self, source: str, base: str, offset: int = 0) -> None:
        """The byte at base + offset = source's lowest eight bits."""

    @abstractmethod
    def operate(self, operation: str, to: str, one: str, other: str) -> None:
        """to = one (operation) other: +, -, *, &, |, ^, or << by less than 32."""

    @abstractmethod
    def shift(self, to: str, source: str, by: int) -> None:
        """to = source shifted by so many bits to the left; to the right, without sign, by as many
        as a negative number says, up to 15."""

    @abstractmethod
    def remainder(self, to: str, one: str, other: str) -> None:
        """to = one % other, without signs; none of them the same."""

    @abstractmethod
    def number(self, to: str, value: int) -> None:
        """to = value, of 32 bits."""

    @abstractmethod
    def add(self, to: str, source: str, value: int) -> None:
        """to = source + value, -128 to 127."""

    @abstractmethod
    def branch(self, one: str, condition: str, other: str, label: str) -> None:
        """Goes to the label where `one` (condition) `other` holds: ==, !=, <, >=, <u or >=u."""

    @abstractmethod
    def jump(self, label: str) -> None:
        """Goes to the label."""

    @abstractmethod
    def label(self, name: str) -> str:
        """Names this place."""

    @abstractmethod
    def unique(self, name: str) -> str:
        """A label that nobody else has."""

    @abstractmethod
    def call(self, kernel: str, *arguments: str | int) -> None:
        """Calls a kernel's core, whose address is a word of the block, with words of the block,
        registers and numbers; its result is in t0."""

    def get(self, to: str, word: str) -> None:
        """to = a word of the block."""
        self.load(to, "k0", self.places[word])

    def put(self, source: str, word: str) -> None:
        """A word of the block = source."""
        self.store(source, "k0", self.places[word])

    def address(self, to: str, word: str) -> None:
        """to = where a word of the block lies."""
        self.number(to, self.places[word])
        self.operate("+", to, to, "k0")

    def is_word(self, name: str) -> bool:
        """Returns whether the block has a word of this name."""
        return name in self.places

    def move(self, to: str, source: str) -> None:
        """to = source."""
        self.add(to, source, 0)

    def load16(self, to: str, base: str, offset: int, spare: str) -> None:
        """to = the two bytes at base + offset, at any address; changes spare."""
        self.load8(to, base, offset)
        self.load8(spare, base, offset + 1)
        self.shift(spare, spare, 8)
        self.operate("|", to, to, spare)

    def store16(self, source: str, base: str, offset: int) -> None:
        """The two bytes at base + offset = source's lowest sixteen bits; changes source."""
        self.store8(source, base, offset)
        self.shift(source, source, -8)
        self.store8(source, base, offset + 1)

    def branch_number(
        self, one: str, condition: str, value: int, label: str, spare: str = "t4"
    ) -> None:
        """As branch, with a number; changes spare."""
        self.number(spare, value)
        self.branch(one, condition, spare, label)
