"""The ESP32-S3's vector instructions (PIE), as far as kernels use them.

Meanings are those of Espressif's "ESP32-S3 Technical Reference Manual", chapter 1: each is the
"Operation" in the section of 1.8 that has the instruction's name; addresses of vectors are cut to
multiples of their size (1.6). Where a sum would saturate, the interpreter raises Fault instead:
kernels must not come near that, for emulators are known to differ there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from bench.emulation.lx6 import Lx6, Meaning
from bench.emulation.memory import Fault

_ACCX_LIMIT = 1 << 39  # of a sum of 40 bits
_VECTOR = 16


class S3(Lx6):
    """The core of an ESP32-S3. q: its vector registers; accx: the sum of 40 bits over all
    elements of vectors; qacc: eight such sums, one for each element of 16 bits."""

    def __init__(self) -> None:
        super().__init__()
        self.q = [bytes(_VECTOR)] * 8
        self.accx = 0
        self.qacc = [0] * 8

    def size(self, pc: int) -> int:
        return 4 if self.memory.load(pc, 1) & 14 == 14 else super().size(pc)

    def elements(self, register: int, size: int, is_signed: bool = True) -> list[int]:
        """Returns a vector register as integers of `size` bytes."""
        vector = self.q[register]
        return [
            int.from_bytes(vector[at : at + size], "little", signed=is_signed)
            for at in range(0, _VECTOR, size)
        ]

    def put_vector(self, register: int, values: Iterable[int], size: int) -> None:
        """Sets a vector register to the lowest `size` bytes of integers."""
        mask = (1 << 8 * size) - 1
        self.q[register] = b"".join((value & mask).to_bytes(size, "little") for value in values)

    def load_vector(self, register: int, address: int, increment: int) -> None:
        """Loads 16 bytes from where an address register points, then increments that."""
        at = self.registers[address]
        self.q[register] = self.memory.content(at & ~(_VECTOR - 1), _VECTOR)
        self.put(address, at + increment)

    def load_half(self, register: int, address: int, increment: int) -> None:
        """Loads 8 bytes into a vector's lower half, then increments the address."""
        at = self.registers[address]
        low = self.memory.content(at & ~(_VECTOR // 2 - 1), _VECTOR // 2)
        self.q[register] = low + self.q[register][_VECTOR // 2 :]
        self.put(address, at + increment)

    def broadcast(self, register: int, address: int, size: int, increment: int = 0) -> None:
        """Loads `size` bytes into each element of a vector, then increments the address."""
        at = self.registers[address]
        self.q[register] = self.memory.content(at & ~(size - 1), size) * (_VECTOR // size)
        self.put(address, at + increment)

    def store_vector(self, register: int, address: int, increment: int) -> None:
        """Stores 16 bytes, then increments the address."""
        at = self.registers[address]
        for offset in range(0, _VECTOR, 4):
            word = int.from_bytes(self.q[register][offset : offset + 4], "little")
            self.memory.store((at & ~(_VECTOR - 1)) + offset, 4, word)
        self.put(address, at + increment)

    def add_products(self, x: int, y: int, size: int, is_signed: bool) -> None:
        """Adds the products of two vectors' elements to ACCX."""
        pairs = zip(self.elements(x, size, is_signed), self.elements(y, size, is_signed),
                    strict=True)  # fmt: skip
        self.accx = _within_40_bits(self.accx + sum(a * b for a, b in pairs))

    def add_each_product(self, x: int, y: int) -> None:
        """Adds the products of two vectors' elements of 16 bits each to its sum in QACC."""
        pairs = zip(self.elements(x, 2), self.elements(y, 2), strict=True)
        self.qacc = [
            _within_40_bits(total + a * b) for total, (a, b) in zip(self.qacc, pairs, strict=True)
        ]

    def shift_words(self, register: int, source: int) -> None:
        """Shifts each element of 32 bits right by SAR, with copies of its sign."""
        self.put_vector(register, (each >> self.shift for each in self.elements(source, 4)), 4)

    def clear_qacc(self) -> None:
        """Sets all sums of QACC to zero."""
        self.qacc = [0] * 8

    def user_register(self, number: int) -> int:
        """UR 0 and 1: ACCX; 2 to 6: QACC_H, 7 to 11: QACC_L, each 160 bits (1.5.3)."""
        if number < 2:
            return self.accx >> 32 * number
        half, word = divmod(number - 2, 5)
        sums = self.qacc[:4] if half else self.qacc[4:]
        mask = (1 << 40) - 1
        return sum((each & mask) << 40 * i for i, each in enumerate(sums)) >> 32 * word


def _within_40_bits(value: int) -> int:
    if not -_ACCX_LIMIT <= value < _ACCX_LIMIT:
        raise Fault("a sum of PIE saturates")
    return value


def _unzip(size: int) -> Meaning:
    def meaning(core: S3, a: int, b: int) -> None:
        both = core.elements(a, size) + core.elements(b, size)
        core.put_vector(a, both[0::2], size)
        core.put_vector(b, both[1::2], size)

    return meaning


def _zip(size: int) -> Meaning:
    def meaning(core: S3, a: int, b: int) -> None:
        pairs = zip(core.elements(a, size), core.elements(b, size), strict=True)
        both = [value for pair in pairs for value in pair]
        core.put_vector(a, both[: len(both) // 2], size)
        core.put_vector(b, both[len(both) // 2 :], size)

    return meaning


def _bitwise(combine: Callable[[int, int], int]) -> Meaning:
    def meaning(core: S3, a: int, x: int, y: int) -> None:
        pairs = zip(core.q[x], core.q[y], strict=True)
        core.q[a] = bytes(combine(*pair) for pair in pairs)

    return meaning


def _products(size: int, is_signed: bool) -> Meaning:
    return lambda core, x, y: core.add_products(x, y, size, is_signed)


def _products_and_load(size: int, is_signed: bool) -> Meaning:
    def meaning(core: S3, u: int, s: int, increment: int, x: int, y: int) -> None:
        core.add_products(x, y, size, is_signed)  # of what was in the registers before the load
        core.load_vector(u, s, increment)

    return meaning


def _each_product_and_broadcast(core: S3, u: int, s: int, x: int, y: int) -> None:
    core.add_each_product(x, y)
    core.broadcast(u, s, 2, 2)


S3.meanings = {
    **Lx6.meanings,
    "ee.vld.128.ip": S3.load_vector,
    "ee.vld.l.64.ip": S3.load_half,
    "ee.vst.128.ip": S3.store_vector,
    "ee.vldbc.8": lambda core, u, s: core.broadcast(u, s, 1),
    "ee.vldbc.16": lambda core, u, s: core.broadcast(u, s, 2),
    "ee.vldbc.16.ip": lambda core, u, s, n: core.broadcast(u, s, 2, n),
    "ee.andq": _bitwise(lambda x, y: x & y),
    "ee.xorq": _bitwise(lambda x, y: x ^ y),
    "ee.orq": _bitwise(lambda x, y: x | y),
    "ee.vsr.32": S3.shift_words,
    "ee.zero.q": lambda core, a: core.put_vector(a, [0] * 4, 4),
    "ee.vunzip.8": _unzip(1),
    "ee.vunzip.16": _unzip(2),
    "ee.vzip.8": _zip(1),
    "ee.zero.accx": lambda core: setattr(core, "accx", 0),
    "ee.zero.qacc": S3.clear_qacc,
    "ee.vmulas.u8.accx": _products(1, False),
    "ee.vmulas.s16.accx": _products(2, True),
    "ee.vmulas.s16.qacc": S3.add_each_product,
    "ee.vmulas.u8.accx.ld.ip": _products_and_load(1, False),
    "ee.vmulas.s16.accx.ld.ip": _products_and_load(2, True),
    "ee.vmulas.s16.qacc.ldbc.incp": _each_product_and_broadcast,
    "rur": lambda core, r, number: core.put(r, core.user_register(number)),
}
