"""The kernels of ESP32 (LX6) and ESP32-S3 (PIE), by the names of their viper twins."""

from __future__ import annotations

import re
from collections.abc import Callable

from host.build.machine_code import (
    lx6_groups,
    lx6_matmul,
    lx6_matrix,
    pie_groups,
    pie_matmul,
    pie_matrix,
    xtensa_bits,
    xtensa_elements,
    xtensa_frames,
    xtensa_hmac,
    xtensa_int8,
    xtensa_norms,
    xtensa_program,
    xtensa_serve,
)
from host.build.machine_code.exchange import exchange
from host.build.machine_code.exchange_line import take_line
from host.build.machine_code.exchange_stage import stage
from host.build.machine_code.exchange_words import STAGE_WORDS
from host.build.machine_code.exchange_words import WORDS as EXCHANGE_WORDS
from host.build.machine_code.frames import OF_TWINS, READS
from host.build.machine_code.lx6_attention import MAC16
from host.build.machine_code.mpy import ViperFunction
from host.build.machine_code.pie_attention import LANES, PIE
from host.build.machine_code.pie_int8_attention import PIE_INT8
from host.build.machine_code.xtensa import XtensaAssembler
from host.build.machine_code.xtensa_attention import STACKED, Unit, attend
from host.build.machine_code.xtensa_common import xtensa_core_of
from host.build.machine_code.xtensa_core import function_code
from host.build.machine_code.xtensa_int8_attention import INT8

# What both chips have in common.
_CORES: dict[str, Callable[[XtensaAssembler], None]] = {
    "load_int16s": xtensa_elements.load_int16s,
    "store_int16s": xtensa_elements.store_int16s,
    "rescale": xtensa_elements.rescale,
    "rope_row": xtensa_elements.rope_row,
    "rotate": xtensa_elements.rotate,
    "cache_rows": xtensa_elements.cache_rows,
    "cache_rows_int8": xtensa_int8.cache_rows_int8,
    "gate": xtensa_elements.gate,
    "norm": xtensa_norms.norm,
    "add_rescaled": xtensa_norms.add_rescaled,
    "add_coarser": xtensa_norms.add_coarser,
    "best": xtensa_norms.best,
    "contribute": xtensa_norms.contribute,
    "_clear": xtensa_norms.clear,
    "bits_needed": xtensa_bits.bits_needed,
    "pack": xtensa_bits.pack,
    "unpack": xtensa_bits.unpack,
    "add_unpacked": xtensa_bits.add_unpacked,
    "encode": xtensa_frames.encode,
    "decode": xtensa_frames.decode,
    "check_frame": xtensa_frames.check_frame,
    "put_crc32": xtensa_frames.put_crc32,
    "authenticate": xtensa_hmac.authenticate,
    "run_program": xtensa_program.run_program,
    "multiply_blocks": xtensa_program.multiply_blocks,
    "serve": xtensa_serve.serve,
    "exchange": xtensa_core_of(exchange, EXCHANGE_WORDS),
    "stage": xtensa_core_of(stage, STAGE_WORDS),
    "take_line": xtensa_core_of(take_line, EXCHANGE_WORDS),
}
_MATRIX = re.compile(r"(matvec|matmul)_(\d+)")
_GROUPS = re.compile(r"matvec_groups_(\d+)")
_LX6_PRODUCTS = {"matvec": lx6_matrix.matvec, "matmul": lx6_matmul.matmul}
_PIE_PRODUCTS = {"matvec": pie_matrix.matvec, "matmul": pie_matmul.matmul}


# With more, the inputs on the stack would take more than 4 KB.
_MOST_GROUPED = 1888


def _group_code(
    function: ViperFunction, columns: int, matvec: Callable[[XtensaAssembler, int], None]
) -> bytes | None:
    """Returns the machine code for matrices in groups of so many columns, None for too many."""
    if columns > _MOST_GROUPED:
        return None
    return function_code(function, lambda asm: matvec(asm, columns))


def lx6_kernel(function: ViperFunction, head_dim: int) -> bytes | None:
    """Returns an ESP32's machine code of a viper twin for heads of this size, None if there is
    none."""
    name = function.name
    if matrix := _MATRIX.fullmatch(name):
        product, columns = _LX6_PRODUCTS[matrix[1]], int(matrix[2])
        return function_code(function, lambda asm: product(asm, columns))
    if groups := _GROUPS.fullmatch(name):
        return _group_code(function, int(groups[1]), lx6_groups.matvec)
    if name == "attend":
        return function_code(function, lambda asm: attend(asm, head_dim, MAC16))
    if name == "attend_int8":
        return function_code(function, lambda asm: attend(asm, head_dim, INT8))
    if name in OF_TWINS:
        asm = XtensaAssembler()
        asm.entry("a1", 32)
        asm.retw()
        return asm.assemble()
    core = _CORES.get(name)
    return function_code(function, core, READS.get(name, ())) if core else None


def pie_kernel(function: ViperFunction, head_dim: int) -> bytes | None:
    """Returns an ESP32-S3's, in the same way."""
    if matrix := _MATRIX.fullmatch(function.name):
        product, columns = _PIE_PRODUCTS[matrix[1]], int(matrix[2])
        return function_code(function, lambda asm: product(asm, columns))
    if groups := _GROUPS.fullmatch(function.name):
        return _group_code(function, int(groups[1]), pie_groups.matvec)
    if function.name == "attend":
        return function_code(function, lambda asm: attend(asm, head_dim, pie_unit(head_dim)))
    if function.name == "attend_int8":
        unit = pie_unit(head_dim, is_int8=True)
        return function_code(function, lambda asm: attend(asm, head_dim, unit))
    return lx6_kernel(function, head_dim)


def pie_unit(head_dim: int, is_int8: bool = False) -> Unit:
    """Returns what an ESP32-S3 multiplies heads of a size with: it has MAC16 as well."""
    if head_dim % LANES or head_dim > STACKED:
        return INT8 if is_int8 else MAC16
    return PIE_INT8 if is_int8 else PIE
