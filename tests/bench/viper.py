"""Small viper functions on an emulated processor, and the same in whole numbers of Python."""

import random

from bench.emulation.module import EmulatedModule
from bench.emulation.processor import signed

SOURCE = """
import micropython


@micropython.viper
def arithmetic(a: int, b: int, c: int, d: int) -> int:
    return (a + b) * c - d * (a - c) + 100000


@micropython.viper
def logic(a: int, b: int, c: int) -> int:
    return (a & b | c) ^ (a | 0x7FF) ^ (c & 32767)


@micropython.viper
def shifts(a: int, b: int, by: int) -> int:
    return (a << by) ^ (b >> by) ^ (a << 3) ^ (b >> 15)


@micropython.viper
def order(a: int, b: int) -> int:
    result = 0
    if a < b:
        result += 1
    if a > b:
        result += 2
    if a <= b:
        result += 4
    if a >= b:
        result += 8
    if a == b:
        result += 16
    if a != b:
        result += 32
    if uint(a) < uint(b):
        result += 64
    if uint(a) >= uint(b):
        result += 128
    if a:
        result += 256
    return result


@micropython.viper
def floor_divided(a: int, b: int) -> int:
    return a // b * 3 + a % b


@micropython.viper
def widths(bytes_: ptr8, halves: ptr16, words: ptr32, out: ptr32, at: int) -> int:
    out[0] = bytes_[1] + bytes_[at]
    out[1] = halves[1] + halves[at]
    out[2] = words[1] + words[at]
    ptr8(out)[12] = words[2]
    ptr8(out)[13] = words[at]
    ptr16(out)[7] = words[3]
    ptr16(out)[8] = words[at]
    return at


@micropython.viper
def triangle(n: int) -> int:
    total = 0
    for i in range(n):
        total += i
    while n:
        n -= 1
        total = n + total
    return total


@micropython.viper
def half_word(p: ptr16) -> int:
    return p[0]


@micropython.viper
def word(p: ptr32, value: int):
    p[0] = value


@micropython.viper
def endless(a: int):
    while a:
        a = a | 1
"""


def wrapped(value: int) -> int:
    """The 32-bit integer that a register holds of a value."""
    return signed(value)


def module(target: str) -> EmulatedModule:
    """The functions above, on a processor."""
    return EmulatedModule(SOURCE, "tests/bench/functions.py", target)


def integers(count: int, seed: int) -> list[int]:
    """Integers of all sizes and signs."""
    numbers = random.Random(seed)
    return [
        signed(numbers.getrandbits(32) >> numbers.randrange(32)) * numbers.choice((1, -1))
        for _ in range(count)
    ]
