"""HMAC-SHA256 in machine code, emulated, against hashlib's; tests/protocol/test_hmac_viper.py has
its twin, and chips compare both."""

import hmac

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.emulation.module import EmulatedModule
from host.build.constants import inline_constants
from host.build.machine_code.registry import LX6, PIE, RV32IM, KernelSet
from host.parallel.cost.kernel_costs import KERNELS
from tests.bench.twins import GUARD, REPOSITORY, check

PATH = "protocol/hmac_pointers.py"
VERIFY, APPEND, DIGEST, COMPRESS = range(4)
FRAME = 200  # bytes of a typical frame
# Instructions for it: five blocks.
MOST = {RV32IM: 23_000, LX6: 18_000, PIE: 18_000}


def fractions(count: int, degree: int) -> bytes:
    """The first 32 bits of the fractions of the roots of the first primes (FIPS 180-4, 4.2.2 and
    5.3.3)."""
    primes = [n for n in range(2, 320) if all(n % divisor for divisor in range(2, n))]
    roots = []
    for prime in primes[:count]:
        root = 0
        for bit in range(36, -1, -1):
            if (root | 1 << bit) ** degree <= prime << 32 * degree:
                root |= 1 << bit
        roots.append(root % (1 << 32))
    return np.array(roots, "<u4").tobytes()


TABLE, FIRST = fractions(64, 3) + bytes(32), fractions(8, 2)


@pytest.fixture(scope="module", params=MOST, ids=lambda kernels: kernels.name)
def kernels(request: pytest.FixtureRequest) -> KernelSet:
    return request.param


@pytest.fixture(scope="module")
def module(kernels: KernelSet) -> EmulatedModule:
    source = inline_constants((REPOSITORY / PATH).read_text(), keeps_names=True)
    return EmulatedModule(source, PATH, kernels.mpy_arch, kernels)


class Authenticator:
    """A chip's kernel with a key."""

    def __init__(self, module: EmulatedModule, key: bytes) -> None:
        module.clear()
        self.module = module
        self._table, self._schedule = module.placed(TABLE), module.placed(bytes(64))
        states = b""
        for filler in (0x36, 0x5C):
            block = bytes(octet ^ filler for octet in key.ljust(64, b"\0"))
            self._call(module.placed(FIRST), module.placed(block), 64, COMPRESS)
            states += self.digest
        self._states = module.placed(states)

    def _call(self, states: int, frame: int, n: int, task: int) -> int:
        arguments = states, self._table, self._schedule, frame, n, task
        return self.module.call("authenticate", *arguments)

    @property
    def digest(self) -> bytes:
        """What the last call left."""
        return self.module.bytes(self._table + 256, 32)

    def run(self, frame: bytes, n: int, task: int, odd: int = 0) -> tuple[int, bytes]:
        """What the kernel says of a frame at an address, and the frame then."""
        place = self.module.placed(bytes(odd) + GUARD + frame + GUARD) + odd + len(GUARD)
        result = self._call(self._states, place, n, task)
        around = self.module.bytes(place - len(GUARD), len(frame) + 2 * len(GUARD))
        assert around[: len(GUARD)] == around[-len(GUARD) :] == GUARD
        return result, around[len(GUARD) : -len(GUARD)]


def check_lengths(module: EmulatedModule, lengths) -> None:
    random = np.random.default_rng(5)
    for length in lengths:
        key, data = random.bytes(length % 65), random.bytes(length)
        mac = Authenticator(module, key)
        right = hmac.digest(key, data, "sha256")
        assert mac.run(data + bytes(8), length, APPEND, length % 4) == (1, data + right[:8])
        assert mac.digest == right
        assert mac.run(data, length, DIGEST) == (1, data)
        framed = data + right[:8]
        assert mac.run(framed, length, VERIFY) == (1, framed)
        bit = int(random.integers(8 * len(framed)))
        forged = bytearray(framed)
        forged[bit // 8] ^= 1 << bit % 8
        assert mac.run(bytes(forged), length, VERIFY) == (0, bytes(forged))


def test_frames_are_signed_as_hashlib_would(module):
    check_lengths(module, (*range(0, 130, 13), 55, 56, 63, 64, 119, 120, 200, 600))


@pytest.mark.verify
@pytest.mark.timeout(600)
def test_frames_of_every_length_are_signed_as_hashlib_would(module):
    check_lengths(module, range(601))


@check(30)
@given(st.binary(max_size=64), st.binary(max_size=300), st.integers(0, 3))
def test_any_key_and_frame(module, key, data, odd):
    mac = Authenticator(module, key)
    right = hmac.digest(key, data, "sha256")
    assert mac.run(data + bytes(8), len(data), APPEND, odd) == (1, data + right[:8])
    assert mac.run(data + right[:8], len(data), VERIFY, odd)[0] == 1
    assert mac.run(data + bytes(8), len(data), VERIFY, odd)[0] == (right[:8] == bytes(8))


def test_a_frame_takes_five_blocks_and_no_more_instructions_than_said(module, kernels):
    mac = Authenticator(module, bytes(32))
    module.instructions = 0
    mac.run(bytes(FRAME + 8), FRAME, APPEND)
    assert module.instructions < MOST[kernels]


def test_the_model_of_time_counts_what_longer_frames_take(module, kernels):
    counts = []
    for length in (FRAME, 1400):
        mac = Authenticator(module, bytes(32))
        module.instructions = 0
        mac.run(bytes(length + 8), length, APPEND)
        counts.append(module.instructions)
    thousands = {RV32IM: 107, LX6: 84, PIE: 84}[kernels]  # as docs/machine-code.md says
    assert round(counts[1], -3) == 1000 * thousands
    modelled = KERNELS[kernels.name].signed_byte * (1400 - FRAME)
    assert counts[1] - counts[0] == pytest.approx(modelled, rel=0.02)
