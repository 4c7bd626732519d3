"""STEPs and acknowledgements taken in by a stage's machine code, beside its role in Python."""

from __future__ import annotations

import pytest

from firmware.roles.handover import MISSING, NUMBER, PENDING
from host.wire.framing import encode_frame
from protocol.auth import LAST_COUNTER
from protocol.frame import (
    BROADCAST,
    DST,
    HEADER_SIZE,
    HOST,
    LENGTH,
    SEQUENCE,
    SRC,
    TYPE,
    append_trailer,
)
from protocol.message_types import ACK, CONTRIBUTION, REPAIR
from protocol.messages import (
    COUNT,
    LAYER,
    POSITION,
    SEQUENCE_ID,
    SEVERAL_RUNS,
    STEP_BITS,
    STEP_DATA,
    STEP_NUMBER,
    STEP_WANTS,
    WANTS_BEST,
    WANTS_LOGITS,
    WANTS_NOTHING,
)
from tests.bench.exchanged import CHIP, CONTEXT, DIM, ENDED, FINISH, LAYERS, OTHER
from tests.bench.keys import KEY
from tests.bench.stage_pairs import Stages, staging
from tests.bench.staged import stage_step
from tests.bench.test_native_exchange import signer_of
from tests.bench.test_native_steps import line_core

NEXT = ((9,), (3, 5, 9), (HOST,))
STEPS = [
    (WANTS_LOGITS, HOST, 0), (WANTS_BEST, 1, 1), (WANTS_NOTHING, 1, 1), (WANTS_LOGITS, 1, 0),
    (WANTS_BEST, HOST, 0),
]  # fmt: skip


@pytest.mark.parametrize("receivers", NEXT, ids=["a chip", "a group", "the host"])
def test_a_stage_hands_over_what_its_role_does(processor, key, receivers) -> None:
    """STEPs of two sequences, of the host and of a chip, and over the end of numbers."""
    stages = Stages(processor, key, receivers)
    stages.expect(0xFFFD)
    for at, (wants, source, slot) in enumerate(STEPS):
        number = 0xFFFD + at & 0xFFFF
        sent = stages.take(stages.step(number, wants, source, slot))
        has_output = receivers != (HOST,) or wants != WANTS_NOTHING
        assert [frame[TYPE] == ACK for _, frame in sent] == [True, False][: 1 + has_output]
        assert sent[0][0] == ("host" if source == HOST else "all")
        stages.acknowledged(number)


# Of this chip (2) in a group: the first, whose output all others have too, and another.
@pytest.mark.parametrize("members", [(2, 4), pytest.param((7, 2, 4), marks=pytest.mark.verify)],
                         ids=["first", "second"])  # fmt: skip
@pytest.mark.parametrize("receivers", NEXT[1:], ids=["a group", "the host"])
@pytest.mark.parametrize(
    "has_rows", [True, pytest.param(False, marks=pytest.mark.verify)], ids=["rows", "no rows"]
)
def test_a_group_hands_over_what_its_role_does(
    processor, key, receivers, members, has_rows
) -> None:
    stages = Stages(processor, key, receivers, members, has_rows, seed=3)
    stages.expect(1)
    for at, (wants, source, slot) in enumerate(STEPS[1:3]):
        sent = stages.take(stages.step(at + 1, wants, source, slot))
        assert [frame[TYPE] for _, frame in sent] == [ACK, CONTRIBUTION]
        for phase in range(2 * LAYERS):
            for frame in stages.contributions((at + 1) * 2 * LAYERS + phase):
                sent = stages.take(frame)
        answers = receivers == (HOST,) and has_rows and wants != WANTS_NOTHING
        hands_over = receivers != (HOST,) and members[0] == CHIP
        assert len(sent) == (answers or hands_over)
        stages.acknowledged(at + 1)


@pytest.mark.parametrize(
    "seed", [1, *(pytest.param(seed, marks=pytest.mark.verify) for seed in range(2, 12))]
)
def test_whatever_is_lost_and_sent_again_goes_as_by_the_role(processor, key, seed) -> None:
    """Messages that come again, late acknowledgements, and a STEP that waits meanwhile: what the
    machine code leaves alone goes to the role, whose state it then has."""
    receivers = NEXT[seed % 3]
    stages = Stages(processor, key, receivers, seed=seed)
    stages.expect(1)
    random, state, taken, late = stages.random, stages.role.handover.state, 0, []
    for number in range(1, 9):
        while state[PENDING]:
            for receiver in receivers:
                stages.goes_either_way(stages.acknowledgement(state[NUMBER], receiver))
        step = stages.step(number, (WANTS_LOGITS, WANTS_BEST)[number & 1], 1, number % 2)
        frames = [step, *late]
        if random.random() < 0.3:
            frames.append(step)  # whose counter was seen, where frames are signed
        late = []
        for receiver in receivers:
            acknowledgement = stages.acknowledgement(number, receiver)
            (late if random.random() < 0.3 else frames).append(acknowledgement)
        for frame in frames:
            taken += stages.goes_either_way(frame)
    assert taken >= 8


WRONG = [
    {COUNT: 2}, {COUNT: 0}, {STEP_WANTS: SEVERAL_RUNS}, {LAYER: 0}, {SEQUENCE_ID: 0x24},
    {SEQUENCE_ID + 1: 1}, {STEP_NUMBER: 6}, {STEP_NUMBER: 4}, {SEQUENCE: 6}, {POSITION: 1},
    {POSITION: CONTEXT}, {POSITION + 1: 1}, {STEP_BITS: 0}, {STEP_BITS: 33}, {STEP_BITS: 31},
    {SRC: BROADCAST}, {TYPE: REPAIR}, {LENGTH: 9},
]  # fmt: skip


def test_other_steps_are_left_to_the_node(processor, key) -> None:
    """Those of several positions or sequences, other layers, an unknown sequence, a number
    that is not the next, positions that the cache does not reach, wrong lengths."""
    stages = Stages(processor, key)
    stages.expect(5)
    step = stages.step(5)
    before = stages.native.memory()
    for fields in WRONG:
        frame = bytearray(step) + bytes(12)
        for place, value in fields.items():
            frame[place] = value
        length = frame[LENGTH] | frame[LENGTH + 1] << 8
        size = append_trailer(frame, length, stages.signers[1])
        assert stages.native.take(bytes(frame[:size])) == ([], OTHER), fields
        assert stages.native.memory() == before
    again = stage_step(5, 0, [7] * DIM, WANTS_BEST, 1, stages.signers[1])
    assert stages.native.take(again)[1] == 0


def test_frames_for_other_chips_are_ignored(processor, key) -> None:
    stages = Stages(processor, key)
    stages.expect(5)
    before = stages.native.memory()
    for frame in (stages.step(5), stages.acknowledgement(5, 9)):
        foreign = bytearray(frame)
        foreign[DST] = CHIP + 1
        append_trailer(foreign, len(frame) - HEADER_SIZE - (12 if key else 4), stages.signers[1])
        assert stages.native.take(bytes(foreign)) == ([], 0)
    assert stages.native.memory() == before


def test_damaged_forged_and_unknown_frames_are_left_to_the_node(processor, key) -> None:
    stages = Stages(processor, key)
    stages.expect(5)
    step = stages.step(5)
    before = stages.native.memory()
    for place in (0, 1, *range(4, len(step), 7)):  # 3 and its like: for another chip
        damaged = bytearray(step)
        damaged[place] ^= 1 << place % 8
        assert stages.native.take(bytes(damaged)) == ([], OTHER)
    for length in (1, 11, len(step) - 1):
        assert stages.native.take(step[:length]) == ([], OTHER)
    if key:  # of a chip that the cluster does not have
        for chip in (10, 11, 100, 253):
            foreign = stage_step(5, 0, [7] * DIM, WANTS_BEST, chip, signer_of(key))
            assert stages.native.take(foreign) == ([], OTHER)
    assert stages.native.memory() == before
    stages.take(step)


def test_acknowledgements_of_nothing_are_left_to_the_node(processor, key) -> None:
    """Before anything was handed over, of another message, and again."""
    stages = Stages(processor, key, (3, 5, 9))
    stages.expect(5)

    def is_left(number: int, source: int) -> bool:
        before = stages.native.memory()
        result = stages.native.take(stages.acknowledgement(number, source))
        return result == ([], OTHER) and stages.native.memory() == before

    assert is_left(0, 3)
    stages.take(stages.step(5))
    assert is_left(4, 3) and is_left(6, 3)
    for source in (3, 1, 3, 9):  # 1 is no receiver
        stages.take(stages.acknowledgement(5, source))
    assert stages.role.handover.state[MISSING] == 0b010
    stages.take(stages.acknowledgement(5, 5))
    assert is_left(5, 5)


@pytest.mark.parametrize("words", [{"MADE_MS": 7}, {"PENDING": 60}])
def test_what_waits_is_for_the_node(processor, words) -> None:
    """An output, and a STEP."""
    stages = Stages(processor, b"")
    stages.expect(5)
    stages.take(stages.step(5))
    stages.native.stage_words(**words)
    before = stages.native.memory()
    for frame in (stages.step(6), stages.acknowledgement(5, 9)):
        assert stages.native.take(frame) == ([], OTHER)
    assert stages.native.memory() == before


def test_a_step_that_waits_is_not_overtaken(processor) -> None:
    """The group's step has ended, but bytecode is to hand over its output, and to begin the other
    step."""
    stages = Stages(processor, b"", (9,), (2, 4))
    stages.expect(1)
    stages.take(stages.step(1))
    stages.native.stage_words(PENDING=60)
    for phase in range(2 * LAYERS):
        (frame,) = stages.contributions(2 * LAYERS + phase)
        sent, result = stages.native.take(frame)
    assert (sent, result) == ([], FINISH)
    assert stages.native.ints("place", 2) == [LAYERS, ENDED]
    assert stages.native.run(b"", 0) == FINISH


def test_an_output_that_is_too_long_for_a_frame_is_left_to_the_node(processor) -> None:
    size = STEP_DATA - HEADER_SIZE
    for room, result in ((size + DIM * 30 // 8, 0), (size + 8, FINISH)):
        stages = Stages(processor, b"")
        stages.expect(1)
        stages.native.write("state", *stages.native.ints("state", 6), 8 * (room - 9))
        frame = stage_step(1, 0, [5] * DIM, WANTS_BEST, 1)
        sent, got = stages.native.take(frame)
        assert got == result and len(sent) == (1 if result else 2)


def test_a_stage_without_counters_leaves_its_frames_to_the_node(processor) -> None:
    """Those of a STEP, and of its output behind the last acknowledgement."""
    for counter, sent in ((LAST_COUNTER, 0), (LAST_COUNTER - 1, 1)):
        stages = Stages(processor, KEY)
        stages.expect(5)
        stages.native.write("counter", counter)
        before = stages.native.memory()
        got, result = stages.native.take(stages.step(5))
        assert (len(got), result) == (sent, FINISH if sent else OTHER)
        assert (stages.native.memory() == before) == (not sent)
        assert stages.native.ints("counter", 1) == [LAST_COUNTER]


def test_on_a_line_all_goes_to_the_line(processor, key) -> None:
    """`take_line` decodes what comes, and encodes acknowledgement and output."""
    stages = Stages(processor, key)
    line = staging(processor, key, (9,), on_line=True)
    code = line_core(line)
    stages.expect(1)
    line.expect_stage(1)
    for number, source in ((1, HOST), (2, 1)):
        step = stages.step(number, source=source)
        expected = stages.take(step)
        written, data, result = [], encode_frame(step), 1
        while result:
            result = line.take_line(code, data)
            if result:
                written.append(line.encoded(result))
        assert written == [encode_frame(frame) for _, frame in expected]
        acknowledgement = stages.acknowledgement(number, 9)
        stages.take(acknowledgement)
        assert line.take_line(code, encode_frame(acknowledgement)) == 0
        assert line.memory() == stages.native.memory()
