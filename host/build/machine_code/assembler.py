"""What all assemblers have in common: growing code, labels, and references to them."""

from __future__ import annotations

from collections.abc import Callable


class AssemblyError(Exception):
    """An instruction cannot be encoded: a register, number or distance is out of range."""


class Assembler:
    """Collects instructions, little-endian, and resolves labels at the end.

    A subclass offers a method for each instruction, which calls `emit` or `emit_reference`.
    """

    def __init__(self) -> None:
        self._code = bytearray()
        self._labels: dict[str, int] = {}
        # Place, size and label of each instruction that refers to one, and what encodes it.
        self._references: list[tuple[int, int, str, Callable[[int, int], int]]] = []
        self._unique = 0

    @property
    def here(self) -> int:
        """The offset of the next instruction in bytes."""
        return len(self._code)

    def label(self, name: str) -> str:
        """Names the place of the next instruction. Raises AssemblyError for a name that is already
        used."""
        if name in self._labels:
            raise AssemblyError(f"label {name} stands twice")
        self._labels[name] = self.here
        return name

    def unique(self, name: str = "label") -> str:
        """Returns a name for a label that is not used elsewhere."""
        self._unique += 1
        return f"{name}.{self._unique}"

    def emit(self, word: int, size: int) -> None:
        """Adds an instruction of `size` bytes."""
        self._code += word.to_bytes(size, "little")

    def emit_reference(self, size: int, label: str, encode: Callable[[int, int], int]) -> None:
        """Adds an instruction that refers to a label; encode(place, target) returns its word from
        byte offsets, once all labels are known."""
        self._references.append((self.here, size, label, encode))
        self._code += bytes(size)

    def align(self, size: int, filler: bytes = b"\0") -> None:
        """Pads to a multiple of `size` bytes with bytes that are never executed."""
        self._code += filler * (-self.here % size // len(filler))

    def assemble(self) -> bytes:
        """Returns the machine code. Raises AssemblyError for undefined labels, and for labels out
        of reach of an instruction."""
        code = bytearray(self._code)
        for place, size, label, encode in self._references:
            if label not in self._labels:
                raise AssemblyError(f"no label {label}")
            word = encode(place, self._labels[label])
            code[place : place + size] = word.to_bytes(size, "little")
        return bytes(code)


def check_range(value: int, low: int, high: int, what: str) -> int:
    """Returns the value. Raises AssemblyError unless low <= value <= high."""
    if not low <= value <= high:
        raise AssemblyError(f"{what} {value} is not within {low} to {high}")
    return value
