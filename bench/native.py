"""The native kernels that are executed here."""

from __future__ import annotations

from dataclasses import replace

from host.build.machine_code import (
    rv32_attention,
    rv32_core,
    xtensa_attention,
    xtensa_core,
)
from host.build.machine_code.lx6_attention import MAC16
from host.build.machine_code.mpy import ViperFunction
from host.build.machine_code.registry import LX6, PIE, RV32IM, KernelSet
from host.build.machine_code.xtensa_kernels import pie_unit

NATIVE_SETS = (RV32IM, LX6, PIE)


def until(kernels: KernelSet, parts: tuple[str, ...]) -> KernelSet:
    """Returns the kernels, with attention that stops after the last of these parts."""

    def kernel(function: ViperFunction, head_dim: int) -> bytes | None:
        if function.name != "attend":
            return kernels.kernel(function, head_dim)
        if kernels is RV32IM:
            return rv32_core.function_code(
                function, lambda asm: rv32_attention.attend(asm, head_dim, parts)
            )
        unit = MAC16 if kernels is LX6 else pie_unit(head_dim)
        return xtensa_core.function_code(
            function, lambda asm: xtensa_attention.attend(asm, head_dim, unit, parts)
        )

    return replace(kernels, kernel=kernel)
