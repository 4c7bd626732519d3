"""Instructions of LX6 and S3 in the interpreter, each on an example whose result was worked out by
hand from its "Operation" in the manuals (bench/emulation/lx6.py and pie.py name them)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from bench.emulation.lx6 import Lx6
from bench.emulation.memory import Fault
from bench.emulation.pie import S3
from bench.emulation.processor import RETURN
from host.build.machine_code.xtensa import ACCHI, ACCLO, ACCX_0, QACC_H, QACC_L, XtensaAssembler
from host.build.machine_code.xtensa_core import frame
from host.build.machine_code.xtensa_program import run_program

BYTES = bytes(range(16))  # 00 01 02 ... 0f


def int16s(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}h", *values)


def execute(write: Callable[[XtensaAssembler], None], core: S3) -> S3:
    """Runs what `write` writes, on a core whose registers are set."""
    asm = XtensaAssembler()
    write(asm)
    asm.retw()
    core._operations.clear()
    core._run(core.memory.placed(asm.assemble()))
    return core


def started(**state: Any) -> S3:
    """A core with registers a2 and on, q0 and on, and others of its state as given."""
    core = S3()
    core.enter(0, 0, 0)
    assert core.registers[0] == RETURN
    for name, value in state.items():
        number = name[1:]
        if number.isdigit():
            file: Any = {"a": core.registers, "q": core.q, "m": core.m}[name[0]]
            file[int(number)] = value & 0xFFFFFFFF if isinstance(value, int) else value
        else:
            setattr(core, name, value)
    return core


# Mnemonic, operands, state before, and what of the state is then to be found.
EXAMPLES: list[tuple[str, tuple[Any, ...], dict[str, Any], dict[str, Any]]] = [
    ("min", ("a4", "a2", "a3"), {"a2": -5, "a3": 3}, {"a4": -5}),
    ("max", ("a4", "a2", "a3"), {"a2": -5, "a3": 3}, {"a4": 3}),
    ("minu", ("a4", "a2", "a3"), {"a2": -5, "a3": 3}, {"a4": 3}),
    ("moveqz", ("a4", "a2", "a3"), {"a2": 7, "a3": 0, "a4": 1}, {"a4": 7}),
    ("moveqz", ("a4", "a2", "a3"), {"a2": 7, "a3": 2, "a4": 1}, {"a4": 1}),
    ("movnez", ("a4", "a2", "a3"), {"a2": 7, "a3": 2, "a4": 1}, {"a4": 7}),
    ("movltz", ("a4", "a2", "a3"), {"a2": 7, "a3": -1, "a4": 1}, {"a4": 7}),
    ("movltz", ("a4", "a2", "a3"), {"a2": 7, "a3": 0, "a4": 1}, {"a4": 1}),
    ("movgez", ("a4", "a2", "a3"), {"a2": 7, "a3": 0, "a4": 1}, {"a4": 7}),
    ("mulsh", ("a4", "a2", "a3"), {"a2": -3, "a3": 1 << 30}, {"a4": -1}),
    ("quou", ("a4", "a2", "a3"), {"a2": -1, "a3": 16}, {"a4": 0x0FFFFFFF}),
    ("nsau", ("a4", "a2"), {"a2": 0x0000FFFF}, {"a4": 16}),
    ("nsau", ("a4", "a2"), {"a2": 0}, {"a4": 32}),
    ("src", ("a4", "a2", "a3"), {"a2": 0x01234567, "a3": 0x89ABCDEF, "shift": 8},
     {"a4": 0x6789ABCD}),
    ("ssai", (19,), {}, {"shift": 19}),
    ("nop", (), {"a2": 5}, {"a2": 5}),
    ("rsr", ("a2", ACCLO), {"acc": -(1 << 33) + 5}, {"a2": 5}),
    ("rsr", ("a2", ACCHI), {"acc": -(1 << 33) + 5}, {"a2": -2}),  # with its sign
    ("mul.aa.ll", ("a2", "a3"), {"a2": 0x0007FFFF, "a3": 5, "acc": 99}, {"acc": -5}),
    ("mula.ad.ll", ("a2", "m2"), {"a2": 3, "m2": 0x00070005}, {"acc": 15}),
    ("mula.ad.lh", ("a2", "m2"), {"a2": 0x0009FFFE, "m2": 0x00070005}, {"acc": -14}),
    ("mula.ad.hh", ("a2", "m3"), {"a2": 0x00030009, "m3": 0x00070005}, {"acc": 21}),
    ("mula.da.ll", ("m0", "a2"), {"m0": 4, "a2": 0xFFFE, "acc": 1}, {"acc": -7}),
    ("mula.da.hl", ("m1", "a2"), {"m1": 0x00020003, "a2": 0x00090007}, {"acc": 14}),
    ("mula.da.hh", ("m1", "a2"), {"m1": 0x00020003, "a2": 0x00050007}, {"acc": 10}),
    ("mula.dd.ll", ("m1", "m3"), {"m1": 6, "m3": 7, "acc": 5}, {"acc": 47}),
    ("mula.dd.hh", ("m0", "m3"), {"m0": 2 << 16, "m3": 9 << 16}, {"acc": 18}),
    # 40 bits, which wrap.
    ("mula.dd.ll", ("m0", "m2"), {"m0": 1, "m2": 1, "acc": (1 << 39) - 1}, {"acc": -(1 << 39)}),
    ("ee.zero.q", ("q3",), {"q3": BYTES}, {"q3": bytes(16)}),
    ("ee.andq", ("q2", "q0", "q1"), {"q0": bytes([7] * 16), "q1": bytes([13] * 16)},
     {"q2": bytes([5] * 16)}),
    ("ee.vsr.32", ("q1", "q0"), {"q0": int16s(0x1234, 0x5678, *[0] * 4, 0, -32768), "shift": 4},
     {"q1": int16s(-32768 + 0x123, 0x567, *[0] * 4, 0, -2048)}),
    ("ee.xorq", ("q2", "q0", "q1"), {"q0": BYTES, "q1": bytes([0xFF] * 16)},
     {"q2": bytes(255 - i for i in range(16))}),
    ("ee.orq", ("q2", "q0", "q1"), {"q0": bytes([5] * 16), "q1": bytes([10] * 16)},
     {"q2": bytes([15] * 16)}),
    ("ee.vunzip.8", ("q0", "q1"), {"q0": BYTES, "q1": bytes(range(16, 32))},
     {"q0": bytes(range(0, 32, 2)), "q1": bytes(range(1, 32, 2))}),
    ("ee.vunzip.16", ("q0", "q1"), {"q0": int16s(*range(8)), "q1": int16s(*range(8, 16))},
     {"q0": int16s(*range(0, 16, 2)), "q1": int16s(*range(1, 16, 2))}),
    ("ee.vzip.8", ("q0", "q1"), {"q0": bytes(range(0, 32, 2)), "q1": bytes(range(1, 32, 2))},
     {"q0": bytes(range(16)), "q1": bytes(range(16, 32))}),
    ("ee.zero.accx", (), {"accx": 77}, {"accx": 0}),
    ("ee.zero.qacc", (), {"qacc": [1] * 8}, {"qacc": [0] * 8}),
    ("ee.vmulas.u8.accx", ("q0", "q1"), {"q0": bytes([255] * 16), "q1": bytes([255] * 16),
                                         "accx": 3}, {"accx": 16 * 255 * 255 + 3}),
    ("ee.vmulas.s16.accx", ("q0", "q1"), {"q0": int16s(-32768, *[0] * 6, 2),
                                          "q1": int16s(32767, *[9] * 6, -3)},
     {"accx": -32768 * 32767 - 6}),
    ("ee.vmulas.s16.qacc", ("q0", "q1"), {"q0": int16s(*range(8)), "q1": int16s(*[-3] * 8),
                                          "qacc": [1] * 8},
     {"qacc": [1 - 3 * i for i in range(8)]}),
    ("rur", ("a2", ACCX_0), {"accx": -1}, {"a2": -1}),
    # Lanes of 40 bits: the second begins at bit 40, 8 bits into the second word.
    ("rur", ("a2", QACC_L + 1), {"qacc": [0, 0x123456, *[0] * 6]}, {"a2": 0x12345600}),
    ("rur", ("a2", QACC_H), {"qacc": [0, 0, 0, 0, -2, 0, 0, 0]}, {"a2": -2}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "operands", "before", "after"), EXAMPLES)
def test_documented_operations(
    name: str, operands: tuple[Any, ...], before: dict[str, Any], after: dict[str, Any]
) -> None:
    core = execute(lambda asm: getattr(asm, name.replace(".", "_"))(*operands), started(**before))
    assert found(core, after) == {
        key: value & 0xFFFFFFFF if key[0] == "a" and key[1:].isdigit() else value
        for key, value in after.items()
    }


def found(core: S3, names: Iterable[str]) -> dict[str, Any]:
    files: dict[str, Any] = {"a": core.registers, "q": core.q, "m": core.m}
    return {
        name: files[name[0]][int(name[1:])] if name[1:].isdigit() else getattr(core, name)
        for name in names
    }


@pytest.mark.parametrize(
    ("name", "product"),
    [("mula.da.hl.ldinc", 10), ("mula.da.hh.ldinc", 14), ("mula.dd.ll.ldinc", 33),
     ("mula.dd.hh.ldinc", 26)],
)  # fmt: skip
def test_a_product_is_of_what_was_there_before_the_load(name: str, product: int) -> None:
    """The address is incremented before the load, and the product is of the old register."""
    core = started(m0=0x00020003, m2=0x000D000B, a3=0x00070005)
    at = core.memory.placed(struct.pack("<2I", 0xBAD, 0x00110022))
    core.registers[2] = at
    other = "m2" if ".dd." in name else "a3"
    execute(lambda asm: getattr(asm, name.replace(".", "_"))("m0", "a2", "m0", other), core)
    assert (core.acc, core.m[0], core.registers[2]) == (product, 0x00110022, at + 4)


def test_ldinc_loads_from_behind_its_address() -> None:
    core = started()
    at = core.memory.placed(struct.pack("<2I", 1, 2))
    core.registers[2] = at
    execute(lambda asm: asm.ldinc("m3", "a2"), core)
    assert (core.m[3], core.registers[2]) == (2, at + 4)


def test_vectors_are_loaded_and_stored_at_multiples_of_16() -> None:
    core = started()
    at = core.memory.placed(BYTES + bytes(16))
    core.registers[2], core.registers[3] = at + 5, at + 16 + 9
    execute(
        lambda asm: (asm.ee_vld_128_ip("q1", "a2", -16), asm.ee_vst_128_ip("q1", "a3", 32)), core
    )
    assert core.q[1] == BYTES and core.memory.content(at + 16, 16) == BYTES
    assert core.registers[2:4] == [at + 5 - 16, at + 16 + 9 + 32]


def test_half_a_vector_is_loaded_at_multiples_of_8() -> None:
    core = started(q1=bytes([9] * 16))
    at = core.memory.placed(BYTES)
    core.registers[2] = at + 8 + 3
    execute(lambda asm: asm.ee_vld_l_64_ip("q1", "a2", -8), core)
    assert core.q[1] == BYTES[8:16] + bytes([9] * 8) and core.registers[2] == at + 3


def test_an_element_is_loaded_into_all() -> None:
    core = started()
    at = core.memory.placed(BYTES)
    for name, offset, size in (("8", 3, 1), ("16", 2, 2)):
        core.registers[2] = at + offset
        execute(lambda asm, name=name: getattr(asm, f"ee_vldbc_{name}")("q0", "a2"), core)
        assert core.q[0] == BYTES[offset : offset + size] * (16 // size)
        assert core.registers[2] == at + offset
    core.registers[2] = at + 7  # cut to a multiple of 2
    execute(lambda asm: asm.ee_vldbc_16_ip("q0", "a2", 6), core)
    assert core.q[0] == BYTES[6:8] * 8 and core.registers[2] == at + 13


@pytest.mark.parametrize(("kind", "size"), [("u8", 1), ("s16", 2)])
def test_vectors_are_multiplied_before_one_of_them_is_loaded(kind: str, size: int) -> None:
    core = started(q0=bytes([2]) * 16, q1=bytes([3]) * 16)
    at = core.memory.placed(BYTES)
    core.registers[2] = at
    execute(
        lambda asm: getattr(asm, f"ee_vmulas_{kind}_accx_ld_ip")("q1", "a2", 16, "q0", "q1"), core
    )
    two, three = (int.from_bytes(bytes([value]) * size, "little") for value in (2, 3))
    assert core.accx == 16 // size * two * three
    assert core.q[1] == BYTES and core.registers[2] == at + 16


def test_lanes_are_multiplied_before_an_element_is_loaded_into_all() -> None:
    core = started(q0=int16s(*[5] * 8), q1=int16s(*range(8)), qacc=[0] * 8)
    core.registers[2] = at = core.memory.placed(int16s(-7, 8))
    execute(lambda asm: asm.ee_vmulas_s16_qacc_ldbc_incp("q0", "a2", "q0", "q1"), core)
    assert core.qacc == [5 * i for i in range(8)]
    assert core.q[0] == int16s(*[-7] * 8) and core.registers[2] == at + 2


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("ee_vmulas_s16_accx", {"accx": (1 << 39) - 1}),
        ("ee_vmulas_s16_qacc", {"qacc": [(1 << 39) - 1] * 8}),
    ],
)
def test_saturation_is_a_fault(name: str, state: dict[str, Any]) -> None:
    core = started(q1=int16s(*[1] * 8), **state)
    with pytest.raises(Fault, match="saturates"):
        execute(lambda asm: getattr(asm, name)("q1", "q1"), core)


@pytest.mark.parametrize(("count", "turns"), [(5, 5), (1, 1), (0, 0), (-3, 0)])
def test_loops_take_no_instruction_to_turn(count: int, turns: int) -> None:
    def write(asm: XtensaAssembler) -> None:
        asm.align_loop()
        asm.loopgtz("a2", "end")
        asm.addi("a3", "a3", 1)
        asm.label("end")
        asm.addi("a4", "a4", 1)

    core = execute(write, started(a2=count, a3=0, a4=0))
    assert core.registers[3:5] == [turns, 1]


def test_a_loop_is_left_by_a_branch_and_begun_anew() -> None:
    def write(asm: XtensaAssembler) -> None:
        asm.label("again")
        asm.loopgtz("a2", "end")
        asm.addi("a3", "a3", 1)
        asm.beq("a3", "a4", "end")
        asm.addi("a5", "a5", 1)
        asm.label("end")
        asm.addi("a6", "a6", -1)
        asm.bnez("a6", "again")

    core = execute(write, started(a2=10, a3=0, a4=3, a5=0, a6=2))
    assert core.registers[3:7] == [13, 3, 12, 0]


def test_a_call_has_a_window_of_its_own() -> None:
    def write(asm: XtensaAssembler) -> None:
        asm.entry("a1", 48)
        asm.movi("a2", 5)
        asm.movi("a10", 7)
        asm.call8("callee")
        asm.add("a2", "a2", "a10")
        asm.retw()
        asm.align(4)
        asm.label("callee")
        asm.entry("a1", 32)
        asm.addi("a2", "a2", 1)

    core = execute(write, started())
    assert core.registers[2] == 5 + 8


def test_a_program_fills_in_what_differs_and_makes_its_calls() -> None:
    """Two calls of one core, which adds its two arguments to a word; the second's is filled in."""

    def add(asm: XtensaAssembler) -> None:
        with frame(asm, {"a3": 0, "a4": 1}):
            asm.l32i("a5", "a3", 0)
            asm.add("a5", "a5", "a4")
            asm.s32i("a5", "a3", 0)

    core, made = started(), []
    for write in (add, run_program):
        asm = XtensaAssembler()
        write(asm)
        made.append(core.memory.placed(asm.assemble()))
    place = core.memory.placed(bytes(4))
    values = core.memory.placed(struct.pack("<4I", 0, 0, 0, 1000))
    program = core.memory.placed(bytes(100))
    calls = [made[0], 8, place, 7, made[0], 8, place, 0, made[0], 8, place, 0, 0]
    filled = [program + 4 * (5 + at) for at in (7, 11)]
    words = [2, filled[0], 12, filled[1], 4, *calls]  # the layer's own, and position + 1
    for i, word in enumerate(words):
        core.memory.store(program + 4 * i, 4, word)
    core.enter(core.memory.placed(struct.pack("<4I", program, values, 41, 9)), 0, 0)
    core._operations.clear()
    core._run(made[1])
    assert core.memory.load(place, 4) == 7 + 1000 + 42
    assert struct.unpack("<4I", core.memory.content(values, 16)) == (41, 42, 9, 1000)


def test_every_instruction_has_an_example() -> None:
    apart = {
        "ldinc", "ee.vld.128.ip", "ee.vld.l.64.ip", "ee.vst.128.ip", "ee.vldbc.8", "ee.vldbc.16",
        "ee.vldbc.16.ip",
        "ee.vmulas.u8.accx.ld.ip", "ee.vmulas.s16.accx.ld.ip",
        "ee.vmulas.s16.qacc.ldbc.incp",
        *(name for name in Lx6.meanings if name.endswith(".ldinc")),
    }  # fmt: skip
    assert {name for name, *_ in EXAMPLES} | apart == set(S3.meanings)
