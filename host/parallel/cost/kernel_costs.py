"""How many instructions a chip's kernels take for each unit of work, and what is between them.

The counts are those of `python -m bench`, of whole chips and of kernels by themselves;
tests/host/test_instructions.py compares the model that is made of them with emulated chips.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from host.hardware.kernels import PASSES, native_kernels


@dataclass(frozen=True)
class Calls:
    """Instructions between kernels."""

    synchronization: float  # calls from the message's type down to kernels, activations widened
    line_byte: float  # COBS and CRC-32 in both directions
    frame: float  # a frame sent or received, whatever its length
    signed: float  # and its HMAC-SHA256, less CRC-32, at SIGNED_AT bytes
    # An exchange among chips, besides its kernels and frames: of each chip; to contribute; and a
    # contribution of another chip.
    exchange: float
    contributing: float
    contributed: float
    stepped: float = 0  # the start and end of a STEP
    # A synchronization and its frames in one native call, None without such calls.
    served: float | None = None
    takes_contributions: bool = False  # natively, with their frames


@dataclass(frozen=True)
class KernelCosts:
    """Instructions per unit of work in machine code."""

    matrix: float  # multiply-accumulate
    passed: float  # of several positions in one pass
    attention: float  # multiply-accumulate of scores and means
    attention_head: float  # a head of a layer, besides those
    softmax: float  # position of a head
    shifted: float  # position of a head, additional with int8 caches
    row: float  # element of q, k, v, gate, up or logits: rescale, rope, store, gate
    norm: float  # element
    add_rescaled: float  # element
    packed: float  # element of a partial sum that is packed
    unpacked: float  # and of one that is added from a contribution
    calls: Calls
    passes: tuple[int, ...] = ()  # numbers of positions of a pass, largest first
    grouped: float = 0  # multiply-accumulate with a weight in groups
    # False for stages whose STEPs wait until they are free: those are taken in by bytecode.
    takes_steps: bool = True
    # Whether all matrices of the chip have addresses, although they are in its flash shard: then
    # they are mapped, or in PSRAM, and native kernels take them from there.
    is_placed: bool = False
    # Whether the board lacks PSRAM: beside what reads matrices into buffers, its chip then has no
    # room for native exchanges.
    lacks_psram: bool = False
    # Instructions for each block of rows of a matrix that has an address, and for each of the
    # block's columns, where blocks are stored by themselves.
    block: float = 0
    block_column: float = 0
    signed_byte: float = 0  # of a frame that is signed or verified, beyond SIGNED_AT bytes


# Fitted to whole emulated chips, on a serial line and with all-reduce; the same on all processors.
# HMAC-SHA256 over 200 bytes was counted on a C3's stock firmware by others.
BYTECODE = Calls(11_000, 32, 9_700, 11_800 + 12_900, 35_000, 32_000, 5_000)
# With native kernels, fitted to whole emulated chips of rv32im: those that all-reduce and stages
# (firmware/compute/exchange.py and exchange_stage.py), on a serial line and over the radio, where
# each frame is received in bytecode; then those that run programs (firmware/compute/program.py)
# between messages in bytecode, and that answer natively (firmware/compute/serve.py).
ON_LINES = Calls(0, 14, 3_000, 14_500, 5_500, 0, 500, 4_000, None, True)
ON_RADIO = replace(ON_LINES, contributed=4_300)
# Those whose phases bytecode computes in between (firmware/compute/exchange_blocks.py), also
# fitted to such chips; finding room in the heap for what bytecode needs for a moment is included.
IN_BLOCKS = {
    calls: replace(calls, synchronization=BYTECODE.synchronization, frame=BYTECODE.frame,
                   signed=16_000, exchange=43_000, stepped=53_000)
    for calls in (ON_LINES, ON_RADIO)
}  # fmt: skip
IN_BYTECODE = replace(BYTECODE, line_byte=ON_LINES.line_byte)  # those without room for that
_PROGRAMS = Calls(4_000, 14, 9_700, 24_700, 7_500, 0, 4_300, 53_000, 4_000, True)
SERVED_SIGNED = 17_500  # signing or verifying a frame there
SIGNED_AT = 170  # bytes of the frames for which these are
# By the name of a chip's native kernels, else by mpy-cross's name of its processor.
#
# rv32imc is fitted to counts of whole chips by phase; norm, add_rescaled and unpacked are counts
# of these kernels by themselves, at 64 elements of 24 bits.
#
# xtensawin and the native kernels have the costs of rv32imc times a ratio: that of the kernel's
# counts by itself (emulated) there and on rv32imc. Matrices of lx6 and pie take 14 and 11.5 more a
# row, which `row` and `packed` include. The ratio for `passed` is that of several positions to
# one, for a matrix of 64 x 64. `shifted` is what attention takes more with int8 caches, about the
# mean for heads of 8 and of 64. Whole chips with native kernels were emulated for rv32im only: it
# is modelled that calls, bytes and heads take the same on lx6 and pie.
KERNELS = {
    "rv32imc": KernelCosts(6.385, 6.385, 5.4, 1_500, 26.0, 90, 77, 123, 69, 79, 79, BYTECODE),
    "xtensawin": KernelCosts(8.43, 8.43, 7.1, 1_970, 28.7, 100, 90, 146, 78, 88, 93, BYTECODE),
    "rv32im": KernelCosts(3.22, 2.82, 2.44, 200, 9.0, 8, 21.7, 31, 13, 17, 14.9, _PROGRAMS),
    "lx6": KernelCosts(1.55, 1.33, 2.46, 200, 8.6, 25, 37.6, 28, 14, 31.5, 15.9, _PROGRAMS),
    "pie": KernelCosts(0.23, 0.23, 0.77, 200, 8.6, 28, 35.1, 28, 14, 29, 15.9, _PROGRAMS),
}
KERNELS.update({name: replace(KERNELS[name], passes=passes) for name, passes in PASSES.items()})
# Counts of these kernels by themselves, on 40 rows of 576 columns.
_GROUPED = {"rv32imc": 9.8, "xtensawin": 12, "rv32im": 3.84, "lx6": 2.58, "pie": 0.82}
KERNELS.update({name: replace(KERNELS[name], grouped=cost) for name, cost in _GROUPED.items()})
# Emulated: a call for each block, which splits the inputs (host/build/machine_code/pie_matrix.py).
KERNELS["pie"] = replace(KERNELS["pie"], block=55, block_column=0.81)
# Emulated, at 200 to 1,464 bytes. Others have hashlib's, of which longer frames were not counted.
_SIGNED_BYTE = {"rv32im": 69.5, "lx6": 55, "pie": 55}
KERNELS.update({name: replace(KERNELS[name], signed_byte=n) for name, n in _SIGNED_BYTE.items()})
_COLUMNS = 64  # of a typical matrix, for the work of its rows in matrix_speed


def kernel_costs(mpy_arch: str, chip: str | None, kernels: str = "auto") -> KernelCosts | None:
    """Returns the costs of a chip's kernels, None if they are unknown.

    chip: esptool's name of it, None for a simulated one; kernels: "viper" if native ones are not
    to run.
    """
    native = native_kernels(chip) if kernels != "viper" else None
    return KERNELS.get(native or mpy_arch)


def matrix_speed(costs: KernelCosts, clock_mhz: int) -> int:
    """Returns multiply-accumulates per millisecond, at one cycle per instruction. Work is divided
    in proportion. The work on each row's sum is included: the faster the multiplications are, the
    larger is its part."""
    return round(1000 * clock_mhz / (costs.matrix + costs.row / _COLUMNS))
