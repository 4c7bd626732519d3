"""Matrix products for several positions on the ESP32-S3's vector unit, as pie_matrix.py has them.

A row's weights are read once for all positions: from PSRAM that is what takes the time. Of
instructions there are about as many a position as for one by itself. There inputs stay in
registers and weights come with the products; here it is the other way round, and what one position
saves by that it spends on its own sums, of which the unit has one at a time.
"""

from __future__ import annotations

from host.build.machine_code.pie_matrix import VECTOR, load_masks, split_inputs
from host.build.machine_code.xtensa import ACCX_0, XtensaAssembler
from host.build.machine_code.xtensa_core import frame, loop, move
from host.hardware.kernels import MOST_POSITIONS, positions_in_pass

_WEIGHTS, _OUTPUTS, _INPUTS, _ROWS, _BIASES, _PARTS = "a3", "a4", "a5", "a6", "a7", "a8"
_CONSTANT, _OUT, _Y_STEP, _COUNT, _CONSTANTS, _SPARE = "a10", "a2", "a13", "a15", "a9", "a14"
# Words on the stack, in bytes: then the constant of each position's sums, and its inputs.
_X, _X_STEP, _POSITIONS, _SUMS_AT, _ROOM = 4, 8, 12, 16, 16 + 4 * MOST_POSITIONS
_PARTS_AT = -(-_ROOM // VECTOR) * VECTOR
_KEPT_OF_MANY = 4  # vectors of weights in registers, where there is no room for a row's
_LOOP_REACH = 250  # bytes of the body of a zero-overhead loop


def matmul(asm: XtensaAssembler, columns: int) -> None:
    """The core of the twin matmul_N for rows that are filled up to VECTOR.

    Words: weights as matvec's, positions, at most positions_in_pass; y, x, rows, offset of the
    weights in bytes; bytes from a position's y, and x, to the next one's, the latter a multiple of
    VECTOR.
    """
    vectors = -(-columns // VECTOR)
    size = 2 * VECTOR * vectors  # of a position's inputs
    words = {_WEIGHTS: 0, _COUNT: 1, _OUTPUTS: 2, _INPUTS: 3, _ROWS: 4, "a9": 5, _Y_STEP: 6,
             "a11": 7}  # fmt: skip
    with frame(asm, words, _PARTS_AT + size * positions_in_pass(columns)):
        asm.add(_WEIGHTS, _WEIGHTS, "a9")
        asm.s32i("a11", "a1", _X_STEP)
        asm.s32i(_COUNT, "a1", _POSITIONS)
        asm.set(_BIASES, VECTOR * vectors)
        asm.mull(_BIASES, _BIASES, _ROWS)
        asm.add(_BIASES, _BIASES, _WEIGHTS)
        _split_positions(asm, columns)
        asm.beqz(_ROWS, "done")
        asm.label("row")
        kept = vectors if vectors <= 6 else _KEPT_OF_MANY
        for i in range(kept):
            asm.ee_vld_128_ip(f"q{i}", _WEIGHTS, VECTOR)
        asm.l32i("a11", _BIASES, 0)
        asm.addi(_BIASES, _BIASES, 4)
        asm.mov(_OUT, _OUTPUTS)
        asm.addi(_OUTPUTS, _OUTPUTS, 4)
        asm.addi(_CONSTANTS, "a1", _SUMS_AT)
        asm.addi(_PARTS, "a1", _PARTS_AT)
        asm.ee_vld_128_ip("q6", _PARTS, VECTOR)
        asm.l32i(_COUNT, "a1", _POSITIONS)
        _each_position(asm, vectors, kept)
        if vectors > kept:
            move(asm, _WEIGHTS, VECTOR * (vectors - kept), _SPARE)
        asm.addi(_ROWS, _ROWS, -1)
        asm.beqz(_ROWS, "done")
        asm.j("row")
        asm.label("done")


def _split_positions(asm: XtensaAssembler, columns: int) -> None:
    """Writes the inputs of all positions, high bytes and then low ones, and their constants to the
    stack."""
    vectors = -(-columns // VECTOR)
    load_masks(asm)
    asm.addi(_PARTS, "a1", _PARTS_AT)
    asm.addi("a12", "a1", _SUMS_AT)
    asm.label("inputs")
    asm.s32i(_INPUTS, "a1", _X)
    split_inputs(asm, columns)
    move(asm, _PARTS, VECTOR * vectors, _SPARE)
    asm.s32i(_CONSTANT, "a12", 0)
    asm.addi("a12", "a12", 4)
    asm.l32i("a11", "a1", _X_STEP)
    asm.l32i(_INPUTS, "a1", _X)
    asm.add(_INPUTS, _INPUTS, "a11")
    asm.addi(_COUNT, _COUNT, -1)
    asm.bnez(_COUNT, "inputs")


def _each_position(asm: XtensaAssembler, vectors: int, kept: int) -> None:
    """Each position's output of a row, whose first weights are in registers, as is what comes
    first of the inputs."""
    tried = XtensaAssembler()
    _multiply(tried, vectors, kept)
    if tried.here <= _LOOP_REACH:
        with loop(asm, _COUNT):
            _multiply(asm, vectors, kept)
        return
    again, done = asm.unique("position"), asm.unique("positions done")
    asm.label(again)
    _multiply(asm, vectors, kept)
    asm.addi(_COUNT, _COUNT, -1)
    asm.beqz(_COUNT, done)
    asm.j(again)
    asm.label(done)


def _multiply(asm: XtensaAssembler, vectors: int, kept: int) -> None:
    """A position's output; what comes first of the next one's inputs is in q6 in the end."""
    asm.ee_zero_accx()
    _multiply_part(asm, vectors, kept, 0)
    # Two instructions between the last product and its reading, as others leave there.
    asm.l32i(_CONSTANT, _CONSTANTS, 0)
    asm.addi(_CONSTANTS, _CONSTANTS, 4)
    asm.rur("a12", ACCX_0)
    asm.ee_zero_accx()
    _multiply_part(asm, vectors, kept, vectors)
    asm.slli("a12", "a12", 8)
    asm.add(_CONSTANT, _CONSTANT, "a11")
    asm.add(_CONSTANT, _CONSTANT, "a12")
    asm.rur(_SPARE, ACCX_0)
    asm.add(_CONSTANT, _CONSTANT, _SPARE)
    asm.s32i(_CONSTANT, _OUT, 0)
    asm.add(_OUT, _OUT, _Y_STEP)


def _multiply_part(asm: XtensaAssembler, vectors: int, kept: int, first: int) -> None:
    """Adds the products of a row's weights with the vectors of inputs from `first` on. Weights
    that are not kept are loaded one product before they are needed, those after the last anew."""
    many = vectors - kept
    for i in range(first, first + vectors):
        following = (i + 1) % vectors - kept
        if following >= 0 and i + 1 < 2 * vectors:
            step = 1 if following + 1 < many else 1 - many
            asm.ee_vld_128_ip(f"q{kept + _loaded(i + 1, vectors, kept) % 2}", _WEIGHTS,
                              VECTOR * step)  # fmt: skip
        at = i % vectors
        weights = at if at < kept else kept + _loaded(i, vectors, kept) % 2
        asm.ee_vmulas_u8_accx_ld_ip(
            f"q{6 + (i + 1) % 2}", _PARTS, VECTOR, f"q{6 + i % 2}", f"q{weights}"
        )


def _loaded(product: int, vectors: int, kept: int) -> int:
    """Returns how many weights that are not kept come before those of a product."""
    part, at = divmod(product, vectors)
    return part * (vectors - kept) + at - kept
