"""Frames that no member sent: replayed, forged, and malformed with a right checksum."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from bench.faults.cases import PROMPT, STEPS, Case
from bench.faults.runs import run_text
from bench.virtual.cluster import VirtualCluster
from host.errors import ClusterError
from host.simulation.radio import FakeRadio
from host.wire.session import HostAuthenticator
from protocol.crc32 import crc32
from protocol.frame import (
    BROADCAST,
    DST,
    HEADER_SIZE,
    HOST,
    SRC,
    TYPE,
    ProtocolError,
    verify_frame,
)
from protocol.message_types import DISCOVERY, READY
from protocol.session import ChipAuthenticator

_ATTACKER = bytes.fromhex("0266666666aa")
_COPIES = 60  # malformed messages with each that a chip sends


def count_accepted(case: Case, attempts: int, seed: int) -> tuple[int, int]:
    """Returns how many of so many frames, half of them replayed and half forged, chips and host
    accept as authentic and new; and how many were tried.

    DISCOVERY and READY, which have no counter, are not replayed here: chips answer them and change
    nothing (tests/virtual/test_replays.py).
    """
    random = Random(seed)
    with case.open(seed=seed) as cluster:
        frames = _recorded(cluster)
        assert run_text(cluster).is_equal
        for _ in range(10):
            cluster.world.step()  # what is on its way arrives
        signers = {chip.chip: chip.node.outbox.signer for chip in cluster.chips}
        signers[HOST] = cluster.signer
        replayed = [frame for frame in frames if frame[TYPE] not in (DISCOVERY, READY)]
        accepted = tried = 0
        while tried < attempts:
            frame = bytearray(random.choice(replayed))
            if tried % 2:
                for _ in range(random.randint(1, 4)):
                    frame[random.randrange(len(frame))] ^= random.randint(1, 255)
            for node, signer in signers.items():
                # A broadcast is for chips: the host never sees it.
                if frame[DST] == node or (frame[DST] == BROADCAST and node != HOST):
                    tried += 1
                    accepted += _is_accepted(signer, frame)
    return accepted, tried


def _recorded(cluster: VirtualCluster) -> list[bytes]:
    """Returns a list to which all frames sent from now on, in both directions, are added."""
    frames: list[bytes] = []
    carry, transmit = cluster.world.carry, cluster.world.radio.transmit

    def recording_carry(put: Callable[[bytes], object], frame: bytes, is_lossy: bool) -> None:
        frames.append(bytes(frame))
        carry(put, frame, is_lossy)

    def recording_transmit(sender: object, destination: bytes, payload: bytes) -> None:
        frames.append(bytes(payload))
        transmit(sender, destination, payload)  # type: ignore[arg-type]

    cluster.world.carry = recording_carry  # type: ignore[method-assign, assignment]
    cluster.world.radio.transmit = recording_transmit  # type: ignore[method-assign, assignment]
    return frames


def _is_accepted(signer: ChipAuthenticator | HostAuthenticator, frame: bytearray) -> bool:
    try:
        verify_frame(frame, len(frame), signer)
    except ProtocolError:
        return False
    return True


def run_malformed(case: Case, count: int, seed: int) -> tuple[int, dict[str, int]]:
    """Returns the number of malformed messages with a right checksum that the host received, at
    least `count`, and the errors that they caused, by name, other than ClusterError.

    With each message of a chip come some variants, with other bytes, types or lengths.
    """
    random, given = Random(seed), 0
    strange: dict[str, int] = {}
    while given < count:
        seed += 1
        try:
            with case.open(seed=seed, timeout=2.5) as cluster:
                spoil = _Spoiler(cluster, random)
                try:
                    run_text(cluster)
                finally:
                    given += spoil.given
        except ClusterError:
            pass
        except Exception as error:  # what must not come
            name = f"{type(error).__name__}: {error}"
            strange[name] = strange.get(name, 0) + 1
    return given, strange


def survives_replay(case: Case, number: int) -> bool:
    """Returns whether a text is the reference's if a chip restarts while all DISCOVERYs so far are
    replayed, 500 per second, half of them with another MAC; `number` determines which chip and
    when."""
    random = Random(f"{case}/{number}")
    position = random.randrange(len(PROMPT) + 1, STEPS)
    restarted = random.randrange(case.chips)
    with case.open(seed=number) as cluster:
        frames = _recorded(cluster)
        for _ in range(3):  # sessions that are over
            cluster.coordinator.rekey()
            cluster.executor.connect(2.5)
        station = cluster.world.radio.join(_ATTACKER, 1, lambda *_: None)

        def replay() -> None:
            heard = [frame for frame in frames if frame[TYPE] == DISCOVERY]
            frames[:] = heard
            frame = bytearray(random.choice(heard))
            frame[-1] ^= random.randrange(2)
            FakeRadio.transmit(cluster.world.radio, station, b"\xff" * 6, bytes(frame))
            cluster.world.later(2, replay)

        def before(at: int) -> None:
            if at == position:
                replay()
                cluster.chips[restarted].restart(random.choice((50, 2_500)))

        return run_text(cluster, before).is_equal


class _Spoiler:
    """Sends malformed messages to the host before each message of a chip; given: how many."""

    def __init__(self, cluster: VirtualCluster, random: Random) -> None:
        self.given = 0
        self._random = random
        self._arrive = cluster.transport.arrive
        cluster.transport.arrive = self._arrive_spoiled

    def _arrive_spoiled(self, source: int, frame: bytes) -> None:
        if frame[SRC] == source:
            for _ in range(_COPIES):
                self._arrive(source, self._spoiled(frame))
                self.given += 1
        self._arrive(source, frame)

    def _spoiled(self, frame: bytes) -> bytes:
        random, spoiled = self._random, bytearray(frame[:-4])
        what = random.random()
        if what < 0.2:
            spoiled[TYPE] = random.choice((2, 0x13, 0x22, 0x24, 0x41, 0x50, 0x61, 0xFF, 0x77))
        if what < 0.4:
            spoiled = spoiled[: random.randrange(HEADER_SIZE, len(spoiled) + 1)]
        elif what < 0.6:
            spoiled += random.randbytes(random.randint(1, 40))
        for _ in range(random.randint(0 if what < 0.6 else 1, 4)):
            if len(spoiled) > HEADER_SIZE:
                at = random.randrange(HEADER_SIZE, len(spoiled))
                spoiled[at] = random.choice((0, 1, 255, random.randrange(256)))
        if random.random() < 0.05:
            spoiled[SRC] = random.randrange(255)  # a stranger's
        length = len(spoiled) - HEADER_SIZE
        spoiled[6:8] = length.to_bytes(2, "little")
        return bytes(spoiled + crc32(spoiled, len(spoiled)).to_bytes(4, "little"))
