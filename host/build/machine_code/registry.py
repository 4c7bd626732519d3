"""The kernels in machine code, by the names that host/hardware/kernels.py gives chips."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from host.build.machine_code.mpy import ViperFunction, replace_code, viper_functions
from host.build.machine_code.rv32_kernels import rv32_kernel
from host.build.machine_code.xtensa_kernels import lx6_kernel, pie_kernel
from host.hardware.kernels import PADDING, native_kernels


@dataclass(frozen=True)
class KernelSet:
    """Machine code for the kernels of one kind of chip.

    name: what it is called in messages; mpy_arch: what mpy-cross calls the architecture; kernel:
    gives the machine code of a viper twin for heads of a size, None if it has none that is
    better than the twin's; padding: how it wants matrices (protocol/shard_layout.py).
    """

    name: str
    mpy_arch: str
    kernel: Callable[[ViperFunction, int], bytes | None]
    padding: int = 1

    def module(self, mpy: bytes, source: str, head_dim: int) -> bytes | None:
        """Returns a module's .mpy with machine code of ours in place of the viper compiler's, None
        if no function of it has any. source: what the .mpy was compiled from."""
        codes = {
            name: code
            for name, function in viper_functions(mpy, source).items()
            if (code := self.kernel(function, head_dim)) is not None
        }
        return replace_code(mpy, source, codes) if codes else None


RV32IM = KernelSet("rv32im", "rv32imc", rv32_kernel)
LX6 = KernelSet("lx6", "xtensawin", lx6_kernel, PADDING["lx6"])
PIE = KernelSet("pie", "xtensawin", pie_kernel, PADDING["pie"])

_SETS = {kernels.name: kernels for kernels in (RV32IM, LX6, PIE)}


def kernel_set(chip: str | None) -> KernelSet | None:
    """Returns the kernels of a chip, as esptool names it; None for one that runs viper's."""
    name = native_kernels(chip)
    return _SETS[name] if name else None
