"""Seeded random material for tests that run under both Pythons.

MicroPython's random has only seed, getrandbits, randint and the like: no Random class.
"""

import random


def random_bytes(n):
    """n random bytes, as a bytearray."""
    data = bytearray(n)
    for i in range(0, n, 3):
        bits = random.getrandbits(24)
        data[i] = bits & 255
        if i + 1 < n:
            data[i + 1] = bits >> 8 & 255
        if i + 2 < n:
            data[i + 2] = bits >> 16
    return data


def sparse_bytes(n):
    """n random bytes, half of them zero: hard on COBS."""
    data = random_bytes(n)
    for i in range(n):
        if random.getrandbits(1):
            data[i] = 0
    return data


def below(n):
    """A random integer from 0 to n - 1."""
    return random.randint(0, n - 1)


def shuffled(items):
    """The items in random order."""
    rest = list(items)
    order = []
    while rest:
        order.append(rest.pop(below(len(rest))))
    return order


def flipped(data, bit):
    """A copy of the data with one bit changed."""
    copy = bytearray(data)
    copy[bit >> 3] ^= 1 << (bit & 7)
    return copy
