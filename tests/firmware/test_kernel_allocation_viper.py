"""Kernels take nothing from the heap, not even for a moment. MicroPython alone runs these."""

import gc
from array import array

from deployed import coarser, head_8, kernels, matrices, norms

from firmware.compute import kernels as compiled_here
from firmware.compute import norms as norms_here
from protocol.fields import int32s
from protocol.shard_layout import DROP
from tests.firmware.plain import EXP_TABLE, SIGMOID_TABLE, u16_buffer

CALLS = 1000
X, Y, WIDE = int32s(64), int32s(64), int32s(192)
BYTES = bytearray(4096)
PARTS = array("i", [32, 20, 32767, 32, 21, 999])
EXP, SIGMOID = u16_buffer(EXP_TABLE), u16_buffer(SIGMOID_TABLE)


def growth(function):
    """Bytes that so many calls take from the heap, garbage included."""
    function()
    gc.collect()
    gc.disable()
    before = gc.mem_alloc()
    for _ in range(CALLS):
        function()
    after = gc.mem_alloc()
    gc.enable()
    return after - before


def test_the_measure_sees_an_allocation():
    assert growth(lambda: bytearray(1)) >= 16 * CALLS


def check_fixed(k):
    assert growth(lambda: k.load_int16s(BYTES, 0, 15, X, 64)) == 0
    assert growth(lambda: k.store_int16s(X, 0, 15, BYTES, 64)) == 0
    assert growth(lambda: k.rescale(X, 0, BYTES, 0, PARTS, 2)) == 0
    assert growth(lambda: k.rope_row(BYTES, 0, 40, X, 4)) == 0
    assert growth(lambda: k.rotate(X, 0, Y, 4, PARTS, 2)) == 0
    assert growth(lambda: k.cache_rows(X, BYTES, BYTES, 3, 2, 8, 5, 32768)) == 0
    assert growth(lambda: k.gate(X, 0, Y, SIGMOID, 64, 6, 15, 32767)) == 0


def test_fixed_kernels_allocate_nothing():
    check_fixed(compiled_here)
    check_fixed(kernels)


def check_norms(k):
    largest_epsilon = (1 << 30) - 1  # still a small integer
    assert growth(lambda: k.norm(X, 0, BYTES, 128, Y, 64, 20, largest_epsilon, 32767)) == 0
    assert growth(lambda: k.add_rescaled(X, 0, Y, BYTES, 128, 64, 20)) == 0
    assert growth(lambda: k.best(X, 64)) == 0


def test_kernels_of_the_residual_stream_allocate_nothing():
    check_norms(norms_here)
    check_norms(norms)
    check_norms(coarser)
    assert growth(lambda: coarser.add_coarser(X, 0, Y, BYTES, 128, 64, 20 + 3 * DROP)) == 0


def check_matvec(kernel):
    assert growth(lambda: kernel(BYTES, 0, Y, WIDE, 2, 1)) == 0


def test_generated_kernels_allocate_nothing():
    attend, rows = head_8.attend, int32s(2)
    assert growth(lambda: attend(0, 0, BYTES, BYTES, rows, 2, X, Y, WIDE, EXP, 30, 5)) == 0
    for blocks in matrices.MATVEC.values():
        for _, _, kernel in blocks:
            check_matvec(kernel)
