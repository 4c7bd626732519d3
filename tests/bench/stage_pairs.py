"""A stage's machine code and its role in Python, which take in the same frames."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.emulation.processor import Processor
from bench.emulation.rv32 import Rv32
from host.build.machine_code.exchange_stage import stage
from host.build.machine_code.exchange_words import STAGE_WORDS
from host.build.machine_code.rv32 import Rv32Assembler
from host.build.machine_code.rv32_common import rv32_core_of
from host.build.machine_code.xtensa import XtensaAssembler
from host.build.machine_code.xtensa_common import xtensa_core_of
from protocol.frame import HOST, ProtocolError, verify_frame
from protocol.messages import STEP_NUMBER, WANTS_LOGITS
from tests.bench.exchanged import CHIP, DIM, FINISH, LAYERS, OTHER, contribution
from tests.bench.staged import SEQUENCES, Role, Staging, acknowledgement, stage_step
from tests.bench.test_native_exchange import BOTH, made, signer_of


def staging(
    processor: type[Processor], key: bytes, receivers: Sequence[int],
    members: Sequence[int] = (CHIP,), has_rows: bool = True, on_line: bool = False,
) -> Staging:  # fmt: skip
    """The stage on a core of this kind."""
    is_rv32 = processor is Rv32
    writer = (rv32_core_of if is_rv32 else xtensa_core_of)(stage, STAGE_WORDS)
    asm = Rv32Assembler() if is_rv32 else XtensaAssembler()
    writer(asm)
    code = asm.assemble()

    def make(core: Processor, *args: object, **more: object) -> Staging:
        return Staging(
            core, *args, stage=core.memory.placed(code), receivers=receivers, members=members,
            on_line=on_line, **more,
        )  # fmt: skip

    return made(processor, key, BOTH, kind=make, has_rows=has_rows)


class Stages:
    """The same stage twice, and all whom it hears: the stage before (chip 1), those behind it, and
    the other members of its group."""

    def __init__(
        self, processor: type[Processor], key: bytes, receivers: Sequence[int] = (9,),
        members: Sequence[int] = (CHIP,), has_rows: bool = True, seed: int = 0,
    ) -> None:  # fmt: skip
        self.native = staging(processor, key, receivers, members, has_rows)
        self.role = Role(signer_of(key), receivers, members, BOTH, has_rows)
        self.role.handover.forget()
        self._others = [member for member in members if member != CHIP]
        self.signers = {chip: signer_of(key) for chip in (HOST, 1, *receivers, *members)}
        self.receivers, self._hears = receivers, signer_of(key)
        self.random = np.random.default_rng(seed)
        self._position = dict.fromkeys(SEQUENCES, 0)

    def expect(self, number: int) -> None:
        """Has the STEP of this number be the next."""
        self.role.step.collective.start(0, number * 2 * LAYERS & 0xFFFF)
        self.native.expect_stage(number)

    def step(
        self, number: int, wants: int = WANTS_LOGITS, source: int = 1, slot: int = 0
    ) -> bytes:
        """The STEP frame of a sequence's next position."""
        bits = int(self.random.integers(2, 31))
        residual = self.random.integers(-(1 << bits - 1), 1 << bits - 1, DIM).tolist()
        sequence_id = SEQUENCES[slot]
        position = self._position[sequence_id]
        self._position[sequence_id] += 1
        return stage_step(
            number, position, residual, wants, source, self.signers[source], sequence_id
        )

    def acknowledgement(self, number: int, source: int) -> bytes:
        """The ACK of a receiver."""
        return acknowledgement(source, number, self.signers[source])

    def contributions(self, number: int) -> list[bytes]:
        """One of each other member to the collective of this number, in any order."""
        frames = []
        for other in self.random.permutation(self._others):
            values = self.random.integers(-(1 << 20), 1 << 20, DIM).tolist()
            frames += contribution(
                int(other), number, values, self.signers[int(other)], epoch=0
            )
        return frames

    def take(self, frame: bytes) -> list[tuple[str, bytes]]:
        """Has both take in a frame, which the machine code has to take, and holds them to each
        other; what they send."""
        got = self.native.take(frame)
        verify_frame(bytearray(frame), len(frame), self._hears)
        sent = self.role.take(frame)
        assert got == (sent, 0)
        self.same()
        return sent

    def goes_either_way(self, frame: bytes) -> bool:
        """Has both take in a frame, or the role alone what the machine code leaves to it; whether
        that left nothing."""
        got, result = self.native.take(frame)
        try:
            verify_frame(bytearray(frame), len(frame), self._hears)
        except ProtocolError:
            assert result == OTHER
            return False
        sent = self.role.take(frame)
        if not result:
            assert got == sent
            self.same()
            return True
        assert result in (OTHER, FINISH) and got == sent[: len(got)]
        self.native.follow(self.role, self._hears)
        return False

    def acknowledged(self, number: int) -> None:
        """Has all receivers acknowledge a message, if there is one."""
        for receiver in self.receivers:
            if self.role.handover.is_pending():
                self.take(self.acknowledgement(number, receiver))
        assert not self.role.handover.is_pending()

    def same(self) -> None:
        """Holds what both know to each other."""
        words = self.native.ints("stage", 8)
        mine = list(self.role.handover.state)
        words[3] = words[7] = 0  # which bytecode takes notice of
        assert words == mine
        step = self.role.step
        layer, phase, _ = self.native.ints("place", 3)
        assert (layer, phase) == (step.python.layer, step.python.phase)
        assert self.native.ints("residual", DIM) == step.python.residual[0].tolist()
        held = self.native.ints("held", 2 * LAYERS)
        assert held == [n for each in SEQUENCES for n in step.caches[each]]
        assert self.native.ints("state", 6)[4:] == list(step.collective.state)[4:6]
        request = self.native._core.memory.content(self.native.places["request"], STEP_NUMBER)
        assert request == bytes(step.request)
