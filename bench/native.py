"""The kernels in machine code of ours that are executed here."""

from __future__ import annotations

from dataclasses import replace

from host.build.machine_code import rv32_attention
from host.build.machine_code.mpy import ViperFunction
from host.build.machine_code.registry import RV32IM, KernelSet
from host.build.machine_code.rv32_core import function_code

NATIVE_SETS = (RV32IM,)


def until(kernels: KernelSet, parts: tuple[str, ...]) -> KernelSet:
    """The kernels, but with attention that stops after the last of these parts."""

    def kernel(function: ViperFunction, head_dim: int) -> bytes | None:
        if function.name != "attend":
            return kernels.kernel(function, head_dim)
        return function_code(function, lambda asm: rv32_attention.attend(asm, head_dim, parts))

    return replace(kernels, kernel=kernel)
