"""Machine code for simulated chips in place of a board's: what viper's compiler made, or worse."""

from host.build.machine_code.registry import KernelSet

CRASH = b"\x0f\x0b"  # ud2: an undefined instruction
HANG = b"\xeb\xfe"  # jmp to itself
_OF_PROGRAMS = (
    "run_program", "_code", "serve", "follow", "exchange", "_set_sequence", "take_line", "stage",
    "multiply_blocks",
)  # fmt: skip


def standin(**changed):
    """Kernels of simulated chips: viper's own code, but for functions of these names, which have
    another's or the machine code given."""
    made = {}

    def kernel(function, head_dim):
        if function.name in _OF_PROGRAMS:
            return None  # no processor runs programs by viper's code
        made[function.name] = function.code
        other = changed.get(function.name, function.code)
        return made[other] if isinstance(other, str) else other

    return KernelSet("standin", "x86", kernel)
