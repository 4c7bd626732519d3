"""Matrix-vector products on the ESP32-S3's vector unit, 16 products an instruction, exact.

The unit multiplies bytes, so an input of 16 bits goes in two: x + 2**15 = 256 high + low, both
without sign. With the stored weights u = w + 128,

    w . x = 256 (u . high) + u . low - 128 sum(x + 2**15) - 2**15 sum(w).

The last term depends on a row's weights alone and lies behind the matrix. Only the lowest 32 bits
of each sum of 40 bits are taken: w . x fits them, and so it does not matter what its parts do.
Columns are filled up to VECTOR with weights of 0; with these, what x is there makes no difference.
"""

from __future__ import annotations

from host.build.machine_code.xtensa import ACCX_0, XtensaAssembler
from host.build.machine_code.xtensa_core import frame, loop, move, repeat
from protocol.shard_layout import VECTORS

VECTOR = VECTORS  # bytes of a vector register, and columns in it

_WEIGHTS, _OUT, _INPUTS, _ROWS, _BIASES, _PARTS = "a3", "a4", "a5", "a6", "a7", "a8"
_CONSTANT, _SPARE = "a10", "a14"
_HIGHEST, _ONES = "q7", "q6"  # bytes of 128 and of 1, while the inputs are split
_REACH, _FUSED_REACH = 127, 31  # vectors by which a load may move its address; with a product


def matvec(asm: XtensaAssembler, columns: int) -> None:
    """The core of the twin matvec_N (host/build/kernels.py) for rows that are filled up to VECTOR.

    Words: weights, unused, y, x, rows, offset of the weights in bytes. Weights: u8 [rows, columns
    filled up], weight + 128, and behind them -2**15 * the sum of each row's weights, int32. The
    weights and x lie at multiples of VECTOR bytes.
    """
    vectors = -(-columns // VECTOR)
    words = {_WEIGHTS: 0, _OUT: 2, _INPUTS: 3, _ROWS: 4, "a9": 5}
    with frame(asm, words, 2 * VECTOR * vectors):
        asm.add(_WEIGHTS, _WEIGHTS, "a9")
        asm.set(_BIASES, VECTOR * vectors)
        asm.mull(_BIASES, _BIASES, _ROWS)
        asm.add(_BIASES, _BIASES, _WEIGHTS)
        load_masks(asm)
        asm.mov(_PARTS, "a1")
        split_inputs(asm, columns)
        asm.mov(_PARTS, "a1")
        _multiply_rows(asm, vectors)


def load_masks(asm: XtensaAssembler) -> None:
    """What split_inputs needs in registers; changes the word at a1."""
    for register, byte in ((_HIGHEST, 128), (_ONES, 1)):
        asm.movi("a9", byte)
        asm.s32i("a9", "a1", 0)
        asm.ee_vldbc_8(register, "a1")


def split_inputs(asm: XtensaAssembler, columns: int) -> None:
    """Writes high bytes and then low bytes of all inputs from _PARTS on, which goes behind the
    former; _CONSTANT = -128 times the sum of the inputs + 2**15."""
    vectors = -(-columns // VECTOR)
    asm.ee_zero_accx()
    asm.mov("a9", _PARTS)
    move(asm, "a9", VECTOR * vectors, _SPARE)
    if columns >= VECTOR:
        asm.movi("a11", columns // VECTOR)
        with loop(asm, "a11"):
            _split_vector(asm, 4)
    if columns % VECTOR:
        _split_vector(asm, -(-(columns % VECTOR) // 4))
    asm.nop()  # others leave some time before ACCX is read
    asm.rur(_CONSTANT, ACCX_0)
    asm.slli(_CONSTANT, _CONSTANT, 7)
    asm.neg(_CONSTANT, _CONSTANT)


def _split_vector(asm: XtensaAssembler, loads: int) -> None:
    """Splits the next 16 inputs, of which 4 `loads` exist, and adds them up in ACCX: high bytes
    weigh twice 128."""
    for i in range(4):
        if i < loads:
            asm.ee_vld_128_ip(f"q{i}", _INPUTS, VECTOR)
        else:
            asm.ee_zero_q(f"q{i}")
    asm.ee_vunzip_16("q0", "q1")
    asm.ee_vunzip_16("q2", "q3")
    asm.ee_vunzip_8("q0", "q2")
    asm.ee_xorq("q2", "q2", _HIGHEST)
    asm.ee_vst_128_ip("q2", _PARTS, VECTOR)
    asm.ee_vst_128_ip("q0", "a9", VECTOR)
    asm.ee_vmulas_u8_accx("q0", _ONES)
    asm.ee_vmulas_u8_accx("q2", _HIGHEST)
    asm.ee_vmulas_u8_accx("q2", _HIGHEST)


def _multiply_rows(asm: XtensaAssembler, vectors: int) -> None:
    """y = W x, a row a turn: first with all high bytes, then with all low ones.

    As many vectors of the inputs as there are registers for stay in them, the others are loaded
    for each row. A vector of weights, or of inputs, is loaded while the one before is multiplied.
    """
    kept = 2 * vectors if 2 * vectors <= 6 else 4
    for i in range(kept):
        asm.ee_vld_128_ip(f"q{i}", _PARTS, VECTOR)
    if kept < 2 * vectors:
        asm.ee_vld_128_ip("q4", _PARTS, VECTOR)
    asm.ee_vld_128_ip("q6", _WEIGHTS, VECTOR if vectors > 1 else 0)
    repeat(asm, _ROWS, lambda asm: _multiply_row(asm, vectors, kept))


def _multiply_row(asm: XtensaAssembler, vectors: int, kept: int) -> None:
    """One row, whose first weights are in q6; the next row's are in the end."""
    asm.ee_zero_accx()
    _multiply_part(asm, vectors, kept, 0)
    # Two instructions between the last product and its reading, as others leave there.
    asm.l32i("a11", _BIASES, 0)
    asm.addi(_BIASES, _BIASES, 4)
    asm.rur("a12", ACCX_0)
    asm.ee_zero_accx()
    _multiply_part(asm, vectors, kept, vectors)
    asm.slli("a12", "a12", 8)
    asm.add("a11", "a11", _CONSTANT)
    asm.add("a11", "a11", "a12")
    asm.rur("a13", ACCX_0)
    asm.add("a13", "a13", "a11")
    asm.s32i("a13", _OUT, 0)
    asm.addi(_OUT, _OUT, 4)


def _multiply_part(asm: XtensaAssembler, vectors: int, kept: int, first: int) -> None:
    """Adds the products of a row's weights with the vectors of inputs from `first` on."""
    for i in range(first, first + vectors):
        if i < kept:
            inputs = f"q{i}"
        else:
            inputs, following = f"q{4 + i % 2}", f"q{5 - i % 2}"
            # The one after the last is the first of the next row's; kept is even.
            is_last_but_one = i + 2 == 2 * vectors
            step = kept + 1 - 2 * vectors if is_last_but_one else 1
            within = abs(step) <= _REACH
            asm.ee_vld_128_ip(following, _PARTS, VECTOR * step if within else 0)
            if not within:
                move(asm, _PARTS, VECTOR * step, _SPARE)
        # Places of weights in vectors, from the row's begin: that which is loaded now, and next.
        now, after = _weights_at(i + 1, vectors), _weights_at(i + 2, vectors)
        step = after - now
        within = abs(step) <= _FUSED_REACH
        asm.ee_vmulas_u8_accx_ld_ip(
            f"q{6 + (i + 1) % 2}",
            _WEIGHTS,
            VECTOR * step if within else 0,
            f"q{6 + i % 2}",
            inputs,
        )
        if not within:
            move(asm, _WEIGHTS, VECTOR * step, _SPARE)


def _weights_at(product: int, vectors: int) -> int:
    """Returns where the weights of a row's i-th product lie; beyond the last, of the next
    row's."""
    row, place = divmod(product, 2 * vectors)
    return row * vectors + place % vectors
