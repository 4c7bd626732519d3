"""The kernels of RV32IM chips, by the names of their viper twins."""

from __future__ import annotations

import re
from collections.abc import Callable

from host.build.machine_code import (
    rv32_attention,
    rv32_bits,
    rv32_elements,
    rv32_frames,
    rv32_groups,
    rv32_hmac,
    rv32_int8,
    rv32_matmul,
    rv32_matrix,
    rv32_norms,
)
from host.build.machine_code.exchange import exchange
from host.build.machine_code.exchange_line import take_line
from host.build.machine_code.exchange_stage import stage
from host.build.machine_code.exchange_words import STAGE_WORDS
from host.build.machine_code.exchange_words import WORDS as EXCHANGE_WORDS
from host.build.machine_code.frames import OF_TWINS, READS
from host.build.machine_code.mpy import ViperFunction
from host.build.machine_code.rv32 import Rv32Assembler
from host.build.machine_code.rv32_common import rv32_core_of
from host.build.machine_code.rv32_core import function_code
from host.build.machine_code.rv32_program import multiply_blocks, run_program
from host.build.machine_code.rv32_serve import serve

_CORES: dict[str, Callable[[Rv32Assembler], None]] = {
    "load_int16s": rv32_elements.load_int16s,
    "store_int16s": rv32_elements.store_int16s,
    "rescale": rv32_elements.rescale,
    "rope_row": rv32_elements.rope_row,
    "rotate": rv32_elements.rotate,
    "cache_rows": rv32_elements.cache_rows,
    "cache_rows_int8": rv32_int8.cache_rows_int8,
    "gate": rv32_elements.gate,
    "norm": rv32_norms.norm,
    "add_rescaled": rv32_norms.add_rescaled,
    "add_coarser": rv32_norms.add_coarser,
    "best": rv32_norms.best,
    "contribute": rv32_norms.contribute,
    "_clear": rv32_norms.clear,
    "bits_needed": rv32_bits.bits_needed,
    "pack": rv32_bits.pack,
    "unpack": rv32_bits.unpack,
    "add_unpacked": rv32_bits.add_unpacked,
    "run_program": run_program,
    "multiply_blocks": multiply_blocks,
    "serve": serve,
    "exchange": rv32_core_of(exchange, EXCHANGE_WORDS),
    "stage": rv32_core_of(stage, STAGE_WORDS),
    "take_line": rv32_core_of(take_line, EXCHANGE_WORDS),
    "encode": rv32_frames.encode,
    "decode": rv32_frames.decode,
    "check_frame": rv32_frames.check_frame,
    "put_crc32": rv32_frames.put_crc32,
    "authenticate": rv32_hmac.authenticate,
}
_MATRIX = re.compile(r"(matvec|matmul)(_add)?_(\d+)")
_GROUPS = re.compile(r"matvec_groups_(\d+)")
_PRODUCTS = {"matvec": rv32_matrix.matvec, "matmul": rv32_matmul.matmul}


def rv32_kernel(function: ViperFunction, head_dim: int) -> bytes | None:
    """Returns the machine code of a viper twin, None if there is none."""
    name = function.name
    if matrix := _MATRIX.fullmatch(name):
        product, columns, adds = _PRODUCTS[matrix[1]], int(matrix[3]), bool(matrix[2])
        return function_code(function, lambda asm: product(asm, columns, adds))
    if groups := _GROUPS.fullmatch(name):
        columns = int(groups[1])
        if columns > rv32_groups.MOST_COLUMNS:
            return None
        return function_code(function, lambda asm: rv32_groups.matvec(asm, columns))
    if name in ("attend", "attend_int8"):
        is_int8 = name != "attend"
        return function_code(
            function, lambda asm: rv32_attention.attend(asm, head_dim, is_int8=is_int8)
        )
    if name in OF_TWINS:
        asm = Rv32Assembler()
        asm.ret()
        return asm.assemble()
    core = _CORES.get(name)
    return function_code(function, core, READS.get(name, ())) if core else None
