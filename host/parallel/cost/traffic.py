"""What a generated token puts on the links: synchronizations, frames and bytes, by formula.

As host/cluster/ and firmware/ send it while nothing is lost: the frames in one's text, the ways
that they take, and what each end counts. tests/system/test_traffic.py holds this to counts on
running federations. What depends on numbers is how many bits partial sums take
(protocol/bitpack.py); without `width`, it is as many as the widest sum that there can be.

On UART each chip has a line of its own, and the host passes on what chips send to each other. On
ESP-NOW the host reaches all through the line of chip 0, which repeats on the air what is not for
itself alone, as a broadcast; chips answer it, and it passes that on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from host.parallel.heap import RESIDUAL_BITS
from host.parallel.plan import Plan
from protocol.bitpack import packed_size
from protocol.collective import CONTRIBUTION_FIELDS
from protocol.fragment import FRAGMENT_FIELDS, fragment_room
from protocol.frame import BROADCAST, HEADER_SIZE, HOST, MAX_FRAME, TRAILER_SIZE
from protocol.message_types import ACK, BEST, COMPUTE, CONTRIBUTION, LOGITS, PARTIAL, STEP
from protocol.messages import (
    BEST_END,
    BOOT_ID,
    COMPUTE_DATA,
    LOGITS_DATA,
    PARTIAL_DATA,
    PHASE_ATTENTION,
    PHASE_FEED_FORWARD,
    PHASE_VOCABULARY,
    STEP_DATA,
)

# Bits of the widest element that a chip sends, of a layer, a phase, a chip, a range of elements.
Width = Callable[[int, int, int, range], int]


@dataclass(frozen=True)
class Message:
    """One message. payload: bytes; destination: a chip, HOST or BROADCAST."""

    kind: int
    source: int
    destination: int
    payload: int


@dataclass(frozen=True)
class Synchronization:
    """A time that chips wait for one another: what the host sends, and after the phase's work,
    what chips send."""

    layer: int
    phase: int
    requests: tuple[Message, ...]
    answers: tuple[Message, ...]


@dataclass(frozen=True)
class Route:
    """Where a message goes: lines by chip, towards the chips and from them; and the air, as a
    broadcast or to one station."""

    to_chips: tuple[int, ...] = ()
    from_chips: tuple[int, ...] = ()
    on_air: bool = False
    is_broadcast: bool = False


@dataclass(frozen=True)
class Count:
    """Frames, and their bytes without what a link adds: COBS, or the radio's headers."""

    frames: int = 0
    bytes: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(self.frames + other.frames, self.bytes + other.bytes)

    def __mul__(self, times: int) -> Count:
        return Count(self.frames * times, self.bytes * times)


@dataclass(frozen=True)
class Traffic:
    """A token's. sent, received, relayed: by the host, as its Transport counts; lines, air: on
    all serial lines and on the radio; chips_sent, chips_received: as each chip's STATISTICS."""

    synchronizations: int
    sent: Count
    received: Count
    relayed: Count
    lines: Count
    air: Count
    chips_sent: tuple[Count, ...]
    chips_received: tuple[Count, ...]


def traffic(plan: Plan, token: Iterable[Synchronization]) -> Traffic:
    """All that a token's synchronizations put on the links."""
    synchronizations = tuple(token)
    sent = received = relayed = lines = air = Count()
    chips_sent, chips_received = [Count()] * plan.chips, [Count()] * plan.chips
    for message in (m for each in synchronizations for m in (*each.requests, *each.answers)):
        way, sizes = route(plan, message), frames(plan, message.payload)
        count = Count(len(sizes), sum(sizes))
        lines += count * (len(way.to_chips) + len(way.from_chips))
        air += count * way.on_air
        if message.source == HOST:
            sent += count * len(way.to_chips)
        else:
            chips_sent[message.source] += count
            if message.destination == HOST:
                received += count
            else:
                relayed += count * len(way.to_chips)
        for chip in receivers(plan, message):
            chips_received[chip] += count
    # A stage of one chip waits for nobody from its first layer to its last.
    waits = [each for each in synchronizations if not plan.stages or each.requests or each.answers]
    return Traffic(
        len(waits), sent, received, relayed, lines, air, tuple(chips_sent), tuple(chips_received)
    )  # fmt: skip


def token_synchronizations(
    plan: Plan,
    *,
    greedy: bool = True,
    width: Width | None = None,
    residual_bits: int = RESIDUAL_BITS,
    residual: Callable[[int], int] = lambda layer: RESIDUAL_BITS,
) -> tuple[Synchronization, ...]:
    """Those of one token that is generated, in order.

    greedy: whether chips that combine answer with their best token or with all logits; width:
    None for sums as wide as the plan provides for; residual_bits: of the token's embedding;
    residual: of the residual stream as it enters a stage's first layer.
    """
    if width is None:

        def width(layer: int, phase: int, chip: int, elements: range) -> int:
            return plan.shape.bits

    if plan.stages:
        return _by_stages(plan, greedy, width, residual_bits, residual)
    if plan.combine == "chips":
        return _by_chips(plan, greedy, width, residual_bits)
    return _by_host(plan, width)


def frames(plan: Plan, payload: int) -> tuple[int, ...]:
    """Bytes of each frame in which a message with so much payload goes."""
    version, mtu = _link(plan)
    around = HEADER_SIZE + TRAILER_SIZE[version]
    if around + payload <= mtu:
        return (around + payload,)
    room = fragment_room(version, mtu)
    whole, rest = divmod(payload, room)
    around += FRAGMENT_FIELDS
    return (around + room,) * whole + ((around + rest,) if rest else ())


def route(plan: Plan, message: Message) -> Route:
    """The way of a message."""
    source, destination = message.source, message.destination
    if plan.shape.mtu is None:
        return Route(
            to_chips=receivers(plan, message), from_chips=() if source == HOST else (source,)
        )
    if source == HOST:
        return Route(to_chips=(0,), on_air=destination != 0, is_broadcast=True)
    if destination == HOST:
        return Route(from_chips=(0,), on_air=source != 0)
    return Route(on_air=True, is_broadcast=True)


def receivers(plan: Plan, message: Message) -> tuple[int, ...]:
    """The chips that take in a message."""
    if message.destination == HOST:
        return ()
    if message.destination == BROADCAST:
        return tuple(chip for chip in range(plan.chips) if chip != message.source)
    return (message.destination,)


def _link(plan: Plan) -> tuple[int, int]:
    """The frames' version, and the longest one in bytes."""
    return 3 if plan.shape.signed else 2, plan.shape.mtu or MAX_FRAME


def _phases(plan: Plan) -> Iterable[tuple[int, int]]:
    """Layer and phase of all partial sums, in order."""
    for layer in range(plan.config.layers):
        yield layer, PHASE_ATTENTION
        yield layer, PHASE_FEED_FORWARD


def owners(plan: Plan, phase: int) -> list[int]:
    """The chips that have a part in a phase."""
    part = {PHASE_ATTENTION: "heads", PHASE_FEED_FORWARD: "units", PHASE_VOCABULARY: "rows"}[phase]
    return [share.chip for share in plan.shares if getattr(share, part)]


def _to(chips: list[int]) -> int:
    """The destination of what is for these chips (Coordinator's rule)."""
    return BROADCAST if len(chips) > 1 else chips[0]


def _logits(plan: Plan, chip: int) -> int:
    return LOGITS_DATA - HEADER_SIZE + 2 * len(plan.shares[chip].rows)


def _by_host(plan: Plan, width: Width) -> tuple[Synchronization, ...]:
    """A COMPUTE to all and a PARTIAL of each, for each phase of each layer; LOGITS at the end."""
    dim = plan.config.dim
    request = COMPUTE_DATA - HEADER_SIZE + 2 * dim

    def answer(layer: int, phase: int, chip: int) -> Message:
        if phase == PHASE_VOCABULARY:
            return Message(LOGITS, chip, HOST, _logits(plan, chip))
        packed = packed_size(dim, width(layer, phase, chip, range(dim)))
        return Message(PARTIAL, chip, HOST, PARTIAL_DATA - HEADER_SIZE + packed)

    def asked(layer: int, phase: int) -> Synchronization:
        chips = owners(plan, phase)
        answers = tuple(answer(layer, phase, chip) for chip in chips)
        compute = Message(COMPUTE, HOST, _to(chips), request)
        return Synchronization(layer, phase, (compute,), answers)

    return tuple(asked(*each) for each in (*_phases(plan), (0, PHASE_VOCABULARY)))


def _by_chips(
    plan: Plan, greedy: bool, width: Width, residual_bits: int
) -> tuple[Synchronization, ...]:
    """A STEP to all, each chip's CONTRIBUTIONs to all others for each phase of each layer, and
    at the end each chip's answer."""
    chips = list(range(plan.chips))
    step = _step(plan, HOST, chips, residual_bits)
    exchanges = [
        Synchronization(
            layer, phase, () if at else (step,), _contributions(plan, layer, phase, width)
        )
        for at, (layer, phase) in enumerate(_phases(plan))
    ]
    with_rows = owners(plan, PHASE_VOCABULARY)
    answers = tuple(
        _scored(plan, chip, greedy) if chip in with_rows else _acknowledged(chip, HOST)
        for chip in chips
    )
    return (*exchanges, Synchronization(0, PHASE_VOCABULARY, (), answers))


def _by_stages(
    plan: Plan,
    greedy: bool,
    width: Width,
    residual_bits: int,
    residual: Callable[[int], int],
) -> tuple[Synchronization, ...]:
    """A STEP from stage to stage and in each group CONTRIBUTIONs; then the answers to the host.
    All but CONTRIBUTIONs are acknowledged."""
    token = []
    sender = HOST
    for stage in plan.stages:
        chips = list(stage.chips)
        bits = residual(stage.layers.start) if stage.layers.start else residual_bits
        taken = (_step(plan, sender, chips, bits), *(_acknowledged(c, sender) for c in chips))
        for layer in stage.layers:
            for phase in (PHASE_ATTENTION, PHASE_FEED_FORWARD):
                sent = _contributions(plan, layer, phase, width)
                token.append(Synchronization(layer, phase, taken, sent))
                taken = ()
        sender = chips[0]
    with_rows = owners(plan, PHASE_VOCABULARY)
    answers = [_scored(plan, chip, greedy) for chip in with_rows]
    answers += [_acknowledged(HOST, chip) for chip in with_rows]
    last = plan.stages[-1].layers[-1]
    return (*token, Synchronization(last, PHASE_VOCABULARY, (), tuple(answers)))


def _step(plan: Plan, source: int, chips: list[int], bits: int) -> Message:
    """One position's."""
    packed = packed_size(plan.config.dim, bits)
    return Message(STEP, source, _to(chips), STEP_DATA - HEADER_SIZE + packed)


def _scored(plan: Plan, chip: int, greedy: bool) -> Message:
    """The answer of a chip that has rows of the vocabulary."""
    if greedy:
        return Message(BEST, chip, HOST, BEST_END - HEADER_SIZE)
    return Message(LOGITS, chip, HOST, _logits(plan, chip))


def _acknowledged(source: int, destination: int) -> Message:
    return Message(ACK, source, destination, BOOT_ID + 2 - HEADER_SIZE)


def _contributions(plan: Plan, layer: int, phase: int, width: Width) -> tuple[Message, ...]:
    """What chips send one another, in pieces as protocol/collective.py has them: a chip with no
    part in a phase sends an empty one."""
    group = plan.group(layer)
    if len(group) == 1:
        return ()
    dim = plan.config.dim
    version, mtu = _link(plan)
    room = mtu - HEADER_SIZE - TRAILER_SIZE[version] - CONTRIBUTION_FIELDS
    with_part = owners(plan, phase)
    sent = []
    for chip in group:
        count = dim if chip in with_part else 0
        bits = width(layer, phase, chip, range(count)) if count else 1
        most = room * 8 // bits
        for first in range(0, max(count, 1), most):
            packed = packed_size(min(most, count - first), bits)
            sent.append(Message(CONTRIBUTION, chip, BROADCAST, CONTRIBUTION_FIELDS + packed))
    return tuple(sent)
