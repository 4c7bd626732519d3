"""The RV32IM assembler, against disassemblers that others wrote."""

import os
import random
import re
import shutil
import subprocess

import capstone
import pytest

from host.build.compilation import compiled
from host.build.kernels import kernel_source
from host.build.machine_code import rv32, rv32_core
from host.build.machine_code.assembler import AssemblyError
from host.build.machine_code.mpy import viper_functions
from host.build.machine_code.rv32 import Rv32Assembler
from host.build.machine_code.rv32_kernels import rv32_kernel
from tests.simulation.launch import REPOSITORY

TWINS = (
    "firmware/compute/kernels.py", "firmware/compute/norms.py", "protocol/bitpack_pointers.py",
    "protocol/bitunpack_pointers.py", "protocol/cobs_pointers.py", "protocol/frame_check.py",
    "protocol/sums.py", "protocol/hmac_pointers.py",
)  # fmt: skip
UNPACKED = REPOSITORY / "build" / "qemu" / "debian"  # where `make bench` puts Debian's binutils
OBJDUMP = "riscv64-unknown-elf-objdump"

# What capstone writes for other instructions: (mnemonic, operands) of the one that it is.
ALIASES = {
    "mv": ("addi", "{0}, {1}, 0"), "li": ("addi", "{0}, zero, {1}"),
    "nop": ("addi", "zero, zero, 0"),
    "not": ("xori", "{0}, {1}, -1"), "neg": ("sub", "{0}, zero, {1}"),
    "snez": ("sltu", "{0}, zero, {1}"), "seqz": ("sltiu", "{0}, {1}, 1"),
    "sltz": ("slt", "{0}, {1}, zero"), "sgtz": ("slt", "{0}, zero, {1}"),
    "zext.b": ("andi", "{0}, {1}, 255"),
    "beqz": ("beq", "{0}, zero, {1}"), "bnez": ("bne", "{0}, zero, {1}"),
    "bltz": ("blt", "{0}, zero, {1}"), "bgez": ("bge", "{0}, zero, {1}"),
    "bgtz": ("blt", "zero, {0}, {1}"), "blez": ("bge", "zero, {0}, {1}"),
    "j": ("jal", "zero, {0}"), "ret": ("jalr", "zero, 0(ra)"),
}  # fmt: skip


class Listing(Rv32Assembler):
    """Writes down, in assembly language, what it is asked to emit."""

    def __init__(self):
        super().__init__()
        self.lines = []

    def _write(self, name, *operands):
        self.lines.append((self.here, name, operands))

    def lui(self, rd, upper):
        self._write("lui", rd, f"{upper:#x}" if upper > 9 else upper)
        super().lui(rd, upper)

    def jal(self, rd, label):
        self._write("jal", rd, label)
        super().jal(rd, label)

    def jalr(self, rd, offset, base):
        self._write("jalr", rd, f"{offset}({base})")
        super().jalr(rd, offset, base)

    def _register(self, name, *operands):
        self._write(name, *operands)
        super()._register(name, *operands)

    def _immediate(self, name, *operands):
        self._write(name, *operands)
        super()._immediate(name, *operands)

    def _shift(self, name, *operands):
        self._write(name, *operands)
        super()._shift(name, *operands)

    def _load(self, name, rd, offset, base):
        self._write(name, rd, f"{offset}({base})")
        super()._load(name, rd, offset, base)

    def _store(self, name, rs, offset, base):
        self._write(name, rs, f"{offset}({base})")
        super()._store(name, rs, offset, base)

    def _branch(self, name, *operands):
        self._write(name, *operands)
        super()._branch(name, *operands)

    def text(self):
        """Lines as a disassembler writes them for code at address 0, numbers in decimal."""
        for at, name, operands in self.lines:
            places = [self._labels.get(operand, operand) for operand in operands]
            yield at, f"{name} {', '.join(map(str, places))}"


def decimal(text):
    return re.sub(r"-?0x[0-9a-f]+", lambda number: str(int(number[0], 16)), text)


def capstone_text(code):
    disassembler = capstone.Cs(capstone.CS_ARCH_RISCV, capstone.CS_MODE_RISCV32)
    for found in disassembler.disasm(code, 0):
        name, operands = found.mnemonic, found.op_str
        if name == "jal" and "," not in operands:
            operands = f"ra, {operands}"
        if name in ("jalr", "jr") and "," not in operands:
            to = operands if "(" in operands else f"0({operands})"
            name, operands = "jalr", f"{'ra' if name == 'jalr' else 'zero'}, {to}"
        elif name == "jalr" and "(" not in operands:
            operands = "{}, 0({})".format(*operands.split(", "))
        if name in ALIASES:
            name, form = ALIASES[name]
            operands = form.format(*operands.split(", "))
        yield found.address, decimal(f"{name} {operands}")


def binutils_text(code, folder):
    """What objdump makes of the code, without its aliases."""
    program = shutil.which(OBJDUMP) or UNPACKED / "usr/bin" / OBJDUMP
    libraries = ":".join(map(str, UNPACKED.glob("usr/lib/*-linux-gnu")))
    (folder / "code").write_bytes(code)
    ran = subprocess.run(
        [program, "-D", "-b", "binary", "-m", "riscv:rv32", "-M", "no-aliases", "code"],
        cwd=folder, capture_output=True, text=True, check=True,
        env={**os.environ, "LD_LIBRARY_PATH": libraries} if UNPACKED.exists() else None,
    )  # fmt: skip
    for line in ran.stdout.splitlines():
        fields = re.match(r"\s*([0-9a-f]+):\s+[0-9a-f ]+\t(\S+)\s*([^#<]*)", line)
        if fields:
            at, name, operands = fields.groups()
            operands = operands.strip()
            if name[0] == "b" or name == "jal":  # its last operand is an address, bare
                first, _, target = operands.rpartition(",")
                operands = f"{first},{int(target, 16)}"
            yield int(at, 16), decimal(f"{name} {operands}".replace(",", ", "))


def same_text(listing, disassembled):
    expected = [(at, decimal(text)) for at, text in listing.text()]
    assert list(disassembled) == expected


def every_instruction():
    """All instructions with operands of all kinds, extremes among them."""
    asm, numbers = Listing(), random.Random(1)

    def any_register():
        return numbers.choice(list(rv32.REGISTERS))

    def number(low, high):
        return numbers.choice((low, high, 0, 1, numbers.randint(low, high)))

    asm.label("begin")
    for _ in range(12):
        for name in rv32._REGISTER:
            getattr(asm, name)(any_register(), any_register(), any_register())
        for name in rv32._IMMEDIATE:
            getattr(asm, name)(any_register(), any_register(), number(-2048, 2047))
        for name in rv32._SHIFT:
            getattr(asm, name)(any_register(), any_register(), number(0, 31))
        for name in (*rv32._LOAD, *rv32._STORE):
            getattr(asm, name)(any_register(), number(-2048, 2047), any_register())
        for name in (*rv32._BRANCH, *rv32._TURNED):
            label = "begin" if asm.here < 4000 else asm.label(asm.unique())
            getattr(asm, name)(any_register(), any_register(), label)
        ahead = asm.unique()
        for name in rv32._ZERO_BRANCH:
            getattr(asm, name)(any_register(), ahead)
        asm.lui(any_register(), number(0, 0xFFFFF))
        asm.jal(any_register(), ahead)
        asm.jalr(any_register(), number(-2048, 2047), any_register())
        asm.li(any_register(), number(-(1 << 31), (1 << 32) - 1))
        asm.mv(any_register(), any_register())
        asm.neg(any_register(), any_register())
        asm.j("begin")
        asm.ret()
        asm.label(ahead)
    return asm


def every_kernel(monkeypatch):
    """The listing and machine code of each kernel, at several shapes."""
    made = []

    def listing():
        made.append(Listing())
        return made[-1]

    monkeypatch.setattr(rv32_core, "Rv32Assembler", listing)
    sources = [((REPOSITORY / path).read_text(), path, 8) for path in TWINS]
    columns = [16, 35, 64, 192, 300]
    sources += [(kernel_source(columns, size), "k.py", size) for size in (8, 48, 64)]
    for source, path, head_dim in sources:
        mpy = compiled(source.encode(), path, "rv32imc")
        for function in viper_functions(mpy, source).values():
            if rv32_kernel(function, head_dim) is not None:
                yield function.name, made[-1]


def test_capstone_reads_every_instruction_as_it_was_written():
    asm = every_instruction()
    same_text(asm, capstone_text(asm.assemble()))


def test_capstone_reads_every_kernel_as_it_was_written(monkeypatch):
    names = set()
    for name, asm in every_kernel(monkeypatch):
        same_text(asm, capstone_text(asm.assemble()))
        names.add(name)
    assert {"attend", "matvec_64", "matvec_add_150", "put_crc32", "decode", "norm"} <= names


def test_binutils_read_every_instruction_and_kernel_as_it_was_written(monkeypatch, tmp_path):
    if not shutil.which(OBJDUMP) and not (UNPACKED / "usr/bin" / OBJDUMP).exists():
        pytest.skip("no binutils for RISC-V here: `make bench` unpacks them")
    asm = every_instruction()
    same_text(asm, binutils_text(asm.assemble(), tmp_path))
    for name, asm in every_kernel(monkeypatch):
        if name not in ("matvec_64", "matvec_16"):  # of which others are alike
            same_text(asm, binutils_text(asm.assemble(), tmp_path))


def test_numbers_of_32_bits_are_loaded():
    from bench.emulation.rv32 import Rv32

    for value in (
        0, 1, -1, 2047, 2048, -2048, -2049, 0x7FFFF800, 0x80000000, 0xFFFFFFFF, 0x12345FFF,
    ):  # fmt: skip
        asm = Rv32Assembler()
        asm.li("a0", value)
        asm.ret()
        processor = Rv32()
        processor.enter(0, 0, 0)
        processor._run(processor.memory.placed(asm.assemble()))
        assert processor.registers[10] == value & 0xFFFFFFFF


@pytest.mark.parametrize(
    ("write", "complaint"),
    [
        (lambda asm: asm.addi("a0", "a0", 2048), "number 2048"),
        (lambda asm: asm.lw("a0", -2049, "a0"), "number -2049"),
        (lambda asm: asm.slli("a0", "a0", 32), "slli's count 32"),
        (lambda asm: asm.lui("a0", 1 << 20), "lui's number"),
        (lambda asm: asm.add("a0", "a0", "x99"), "no register x99"),
        (lambda asm: asm.add("a0", "a0", 3), "no register 3"),
        (lambda asm: asm.j("nowhere"), "no label nowhere"),
        (lambda asm: [asm.label("twice"), asm.label("twice")], "label twice stands twice"),
        (lambda asm: [asm.beqz("a0", "far"), asm.emit(0, 4096), asm.label("far")], "branch over"),
    ],
)
def test_what_cannot_be_encoded_is_refused(write, complaint):
    asm = Rv32Assembler()
    with pytest.raises(AssemblyError, match=complaint):
        write(asm)
        asm.assemble()


def test_unknown_instructions_are_no_attributes():
    with pytest.raises(AttributeError, match="no instruction fmadd"):
        Rv32Assembler().fmadd("a0", "a1", "a2")


def test_code_is_filled_up_to_an_address():
    asm = Rv32Assembler()
    asm.emit(1, 2)
    asm.align(8)
    assert asm.assemble() == bytes([1, 0, 0, 0, 0, 0, 0, 0])
