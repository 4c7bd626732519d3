"""A frame's answer by each chip's `serve`, beside what the protocol's own Python makes of it."""

from __future__ import annotations

import struct
from abc import abstractmethod
from collections.abc import Callable

import numpy as np
import pytest

from bench.emulation.lx6 import Lx6
from bench.emulation.rv32 import Rv32
from host.build.machine_code import (
    rv32_bits,
    rv32_elements,
    rv32_frames,
    rv32_hmac,
    rv32_serve,
    xtensa_bits,
    xtensa_elements,
    xtensa_frames,
    xtensa_hmac,
    xtensa_serve,
)
from host.build.machine_code.rv32 import Rv32Assembler
from host.build.machine_code.rv32_core import load_words
from host.build.machine_code.xtensa import XtensaAssembler
from host.build.machine_code.xtensa_core import frame, loop
from protocol.auth import LAST_COUNTER, Signer
from protocol.frame import HOST, ProtocolError, verify_frame
from tests.bench.keys import KEY
from tests.bench.served import CHIP, CONTEXT, DIM, ServingChip, answer_to, on_line, request
from tests.bench.test_native_hmac import FIRST, TABLE

CHIPS = 5


def rv32_program(asm: Rv32Assembler) -> None:
    """In place of run_program: out [DIM] = x * 1000 + position; the program is where x lies."""
    load_words(asm, {"a3": 0, "a4": 2, "a5": 3})
    asm.li("a6", DIM)
    asm.li("a7", 1000)
    asm.label("element")
    asm.lw("t0", 0, "a3")
    asm.mul("t0", "t0", "a7")
    asm.add("t0", "t0", "a4")
    asm.sw("t0", 0, "a5")
    asm.addi("a3", "a3", 4)
    asm.addi("a5", "a5", 4)
    asm.addi("a6", "a6", -1)
    asm.bnez("a6", "element")
    asm.ret()


def xtensa_program(asm: XtensaAssembler) -> None:
    """In place of run_program: out [DIM] = x * 1000 + position; the program is where x lies."""
    with frame(asm, {"a3": 0, "a4": 2, "a5": 3}):
        asm.movi("a6", DIM)
        asm.movi("a7", 1000)
        with loop(asm, "a6"):
            asm.l32i("a8", "a3", 0)
            asm.mull("a8", "a8", "a7")
            asm.add("a8", "a8", "a4")
            asm.s32i("a8", "a5", 0)
            asm.addi("a3", "a3", 4)
            asm.addi("a5", "a5", 4)


class Chip(ServingChip):
    """A chip with a key or without."""

    result_in: int  # a register

    def __init__(self, key: bytes) -> None:
        places = {name: self.placed(write) for name, write in self.cores().items()}
        serve = places.pop("serve")
        memory = self.core.memory
        # As firmware/compute/serve.py has them: counters of the host and of the chip itself.
        self.counters = memory.placed(struct.pack("<2i", -1, -1))
        self.seen = memory.placed(bytes(8))
        more = {"version": 3, "counters": self.counters, "seen": self.seen} if key else {}
        if key:
            more["constants"] = memory.placed(TABLE)
            more["states"] = self._states(key, places["authenticate"], more["constants"])
        super().__init__(places, serve, **more)

    @abstractmethod
    def cores(self) -> dict[str, Callable[..., None]]:
        """What writes each kernel."""

    @abstractmethod
    def placed(self, write: Callable[..., None]) -> int:
        """Where the code lies that `write` writes."""

    def _states(self, key: bytes, authenticate: int, constants: int) -> int:
        memory, states = self.core.memory, b""
        first = memory.placed(FIRST)
        for filler in (0x36, 0x5C):
            block = memory.placed(bytes(octet ^ filler for octet in key.ljust(64, b"\0")))
            words = struct.pack("<6I", first, constants, 0, block, 64, 3)
            self.core._operations.clear()
            self.core.enter(memory.placed(words), 0, 0)
            self.core._run(authenticate)
            states += memory.content(constants + 256, 32)
        return memory.placed(states)

    def result(self) -> int:
        return self.core.registers[self.result_in]

    def window(self) -> tuple[int, bytes]:
        """The host's highest counter, and which up to it were seen."""
        highest = self.core.memory.load(self.counters, 4)
        return highest, self.core.memory.content(self.seen, 8)


class C3(Chip):
    """RISC-V."""

    result_in = 10

    def __init__(self, key: bytes) -> None:
        self.core = Rv32()
        super().__init__(key)

    def cores(self) -> dict[str, Callable[[Rv32Assembler], None]]:
        return {
            "decode": rv32_frames.decode, "check_frame": rv32_frames.check_frame,
            "load_int16s": rv32_elements.load_int16s, "bits_needed": rv32_bits.bits_needed,
            "pack": rv32_bits.pack, "put_crc32": rv32_frames.put_crc32,
            "encode": rv32_frames.encode, "run_program": rv32_program,
            "authenticate": rv32_hmac.authenticate, "serve": rv32_serve.serve,
        }  # fmt: skip

    def placed(self, write: Callable[[Rv32Assembler], None]) -> int:
        asm = Rv32Assembler()
        write(asm)
        return self.core.memory.placed(asm.assemble())


class Esp32(Chip):
    """Xtensa."""

    result_in = 2

    def __init__(self, key: bytes) -> None:
        self.core = Lx6()
        super().__init__(key)

    def cores(self) -> dict[str, Callable[[XtensaAssembler], None]]:
        return {
            "decode": xtensa_frames.decode, "check_frame": xtensa_frames.check_frame,
            "load_int16s": xtensa_elements.load_int16s, "bits_needed": xtensa_bits.bits_needed,
            "pack": xtensa_bits.pack, "put_crc32": xtensa_frames.put_crc32,
            "encode": xtensa_frames.encode, "run_program": xtensa_program,
            "authenticate": xtensa_hmac.authenticate, "serve": xtensa_serve.serve,
        }  # fmt: skip

    def placed(self, write: Callable[[XtensaAssembler], None]) -> int:
        asm = XtensaAssembler()
        write(asm)
        return self.core.memory.placed(asm.assemble())


@pytest.fixture(params=[C3, Esp32])
def make_chip(request: pytest.FixtureRequest) -> type[Chip]:
    return request.param


@pytest.fixture
def chip(make_chip: type[Chip], key: bytes) -> Chip:
    return make_chip(key)


@pytest.fixture
def host(key: bytes) -> Signer | None:
    """What signs the host's frames."""
    return Signer(key, CHIPS) if key else None


@pytest.fixture
def node(key: bytes) -> Signer | None:
    """What the chip's frames would be signed with by its own Python."""
    return Signer(key, CHIPS) if key else None


def test_requests_are_answered_in_whole_and_in_pieces(chip, host, node) -> None:
    for position, pieces in ((0, 1), (1, 3), (2, 20)):
        asked = request(position, number=position, signer=host)
        line = on_line(asked)
        size = -(-len(line) // pieces)
        given = [chip.run(line[at : at + size]) for at in range(0, len(line), size)]
        expected = answer_to(asked, position, node)
        assert given == [0] * (len(given) - 1) + [len(expected)]
        assert chip.sent(len(expected)) == expected
        assert chip.core.memory.load(chip.positions + 4, 4) == position + 1
    assert (chip.word("received"), chip.word("sent")) == (3, 3)
    assert chip.word("bytes_received") == 3 * len(asked)


OTHERS = [
    {"layer": 2}, {"position": CONTEXT}, {"phase": 1}, {"phase": 2}, {"position": 9},
    {"c3": CHIP + 1}, {"c0": 1}, {"c1": 0x23}, {"c8": 0}, {"c14": 2},
]  # fmt: skip


@pytest.mark.parametrize("fields", OTHERS, ids=range(len(OTHERS)))
def test_all_else_is_left_to_the_node(chip, host, fields) -> None:
    """No such layer, position or program, one that the cache does not reach, and frames of
    another chip, version, type, sequence or count: decoder and window are as before."""
    before, window = bytes(16), chip.window()
    assert chip.run(on_line(request(**fields, signer=host))) == -1
    assert chip.core.memory.content(chip.state, 16) == before
    assert chip.window() == window
    assert [chip.word(name) for name in ("received", "sent")] == [0, 0]


def test_what_was_answered_is_not_computed_again(chip, host) -> None:
    assert chip.run(on_line(request(0, number=99, signer=host))) > 0
    window = chip.window()
    assert chip.run(on_line(request(0, number=99, signer=host))) == -1
    assert chip.window() == window


def test_every_damaged_or_forged_byte_is_left_to_the_node(chip, host) -> None:
    asked = request(0, signer=host)
    window = chip.window()
    for place in range(8, len(asked)):
        forged = bytearray(asked)
        forged[place] ^= 1 << place % 8
        assert chip.run(on_line(bytes(forged))) == -1
        assert chip.window() == window
    assert chip.run(on_line(asked)) > 0


def signed_with(counter: int, number: int, source: int = HOST, key: bytes = KEY) -> bytes:
    signer = Signer(key, CHIPS)
    signer._highest[-1] = counter - 1
    return request(0, number=number, signer=signer, c2=source)


def test_windows_move_as_the_nodes_do(make_chip) -> None:
    """A frame is served where its counter is new and not far on, and then marked as the node
    would; which refuses or marks all others itself."""
    chip, node = make_chip(KEY), Signer(KEY, CHIPS)
    random = np.random.default_rng(1)
    counter, served = 0, 0
    for number in range(120):
        counter = max(0, counter + int(random.choice([1, 1, 2, 7, 63, 64, 65, 0, -1, -70])))
        asked = signed_with(counter, number)
        top = chip.window()[0]
        top = -1 if top == 0xFFFFFFFF else top
        is_served = chip.run(on_line(asked)) > 0
        assert is_served == (0 < counter - top < 64)
        try:
            verify_frame(asked, len(asked), node)
        except ProtocolError:
            assert not is_served
        if not is_served:  # what the node does with it
            memory = chip.core.memory
            memory.store(chip.counters, 4, node._highest[CHIPS] & 0xFFFFFFFF)
            for i in range(8):
                memory.store(chip.seen + i, 1, node._seen[8 * CHIPS + i])
        expected = node._highest[CHIPS] & 0xFFFFFFFF, bytes(node._seen[8 * CHIPS :])
        assert chip.window() == expected
        served += is_served
    assert served > 30


def test_other_sources_keys_and_ends_of_counters_are_left_to_the_node(make_chip) -> None:
    chip = make_chip(KEY)
    assert chip.run(on_line(signed_with(0, 1, source=1))) == -1
    assert chip.run(on_line(signed_with(0, 1, key=KEY[1:]))) == -1
    chip.core.memory.store(chip.counters, 4, LAST_COUNTER - 1)
    chip.core.memory.store(chip.counters + 4, 4, LAST_COUNTER)  # the chip has none left
    asked = signed_with(LAST_COUNTER, 1)
    assert chip.run(on_line(asked)) == -1
    chip.core.memory.store(chip.counters + 4, 4, LAST_COUNTER - 1)
    assert chip.run(on_line(asked)) > 0
    assert chip.run(on_line(signed_with(LAST_COUNTER, 2))) == -1
