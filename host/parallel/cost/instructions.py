"""How many instructions a chip executes for a token, modelled from counts of emulated chips.

The counts are those of `python -m bench`, of whole chips with stories260K's shapes and of kernels
by themselves; tests/host/test_latency.py holds the model to them. Collecting garbage is left out.
"""

from __future__ import annotations

from dataclasses import dataclass

from host.parallel.cost.traffic import Count, frame_sizes, receivers, route
from host.parallel.plan import Plan
from host.parallel.synchronization import Message, Synchronization
from protocol.frame import HOST
from protocol.messages import PHASE_ATTENTION, PHASE_VOCABULARY


@dataclass(frozen=True)
class KernelCosts:
    """Instructions per unit of work in machine code."""

    matrix: float  # multiply-accumulate
    attention: float  # multiply-accumulate of scores and means
    attention_head: float  # beside those, a head of a layer
    softmax: float  # position of a head
    row: float  # element of q, k, v, gate, up or logit: rescaled, turned, stored, gated
    norm: float  # element
    add_rescaled: float  # element
    packed: float  # element of a partial sum that is packed
    unpacked: float  # and of one that is added from a contribution


# rv32imc: fitted to the whole chips' counts by phase; norm, add_rescaled and unpacked are those
# kernels by themselves, at 64 elements of 24 bits. xtensawin: what the kernels by themselves take
# there over what they take on rv32imc, times that.
KERNELS = {
    "rv32imc": KernelCosts(6.385, 5.4, 1_500, 26.0, 77, 123, 69, 79, 79),
    "xtensawin": KernelCosts(8.43, 7.1, 1_970, 28.7, 90, 146, 78, 88, 93),
}
# Between kernels, the same on all processors: fitted to the whole chips' counts on a serial line.
_SYNCHRONIZATION = 11_000  # calls from the message's type down to kernels, activations widened
_FRAME = 9_700  # a frame sent or received, whatever its length
_LINE_BYTE = 32  # COBS and CRC-32 in both directions
# ESP-NOW's send and irecv on a C3's stock firmware, counted by others, and the loop of an emulated
# gateway: what relaying takes beside the bytes on its line.
_RELAY = 16_100 + 4_900 + 8_300
# What an exchange among chips takes beside its kernels and frames, of each chip, to contribute,
# and for each contribution: fitted to whole chips that all-reduce.
_EXCHANGE, _CONTRIBUTING, _CONTRIBUTED = 35_000, 32_000, 5_000
# HMAC-SHA256 over 200 bytes, counted there too, and what else signing took of an emulated chip in
# place of CRC-32.
_SIGNED_FRAME = 11_800 + 12_900


def matrix_speed(mpy_arch: str, clock_mhz: int) -> int:
    """Multiply-accumulates per millisecond at a cycle an instruction, by which work is dealt."""
    return round(1000 * clock_mhz / KERNELS[mpy_arch].matrix)


def chip_instructions(
    plan: Plan,
    chip: int,
    each: Synchronization,
    position: int,
    kernels: KernelCosts,
    rows: int = 1,
) -> float:
    """What chip `chip` executes for one synchronization of so many rows at a position."""
    return (
        rows * _work(plan, chip, each, position, kernels)
        + rows * _combining(plan, chip, each, kernels)
        + sum(_carrying(plan, chip, message) for message in (*each.requests, *each.answers))
    )


def _work(
    plan: Plan, chip: int, each: Synchronization, position: int, kernels: KernelCosts
) -> float:
    """The phase itself, for one position."""
    shard, dim = plan.shards[chip], plan.config.dim
    sizes = plan.local_sizes(shard)
    if each.phase == PHASE_VOCABULARY:
        rows = macs = len(shard.rows)
        macs *= dim
    elif each.phase == PHASE_ATTENTION:
        rows = sizes.q_size + 2 * sizes.kv_size
        macs = dim * (rows + sizes.q_size)
    else:
        rows = 2 * sizes.intermediate
        macs = dim * 3 * sizes.intermediate
    if not rows or chip not in plan.group(each.layer):
        return 0
    work = _SYNCHRONIZATION + kernels.matrix * macs + kernels.row * rows
    if each.phase != PHASE_VOCABULARY:
        work += kernels.packed * dim
    if each.phase == PHASE_ATTENTION:
        seen = position + 1
        a_head = kernels.attention_head + kernels.softmax * seen
        work += sizes.heads * a_head + kernels.attention * 2 * sizes.q_size * seen
    return work


def _combining(plan: Plan, chip: int, each: Synchronization, kernels: KernelCosts) -> float:
    """What a chip does to the residual stream in the host's place."""
    if not plan.strategy.keeps_residual or chip not in plan.group(each.layer):
        return 0
    dim = plan.config.dim
    work = kernels.norm * dim
    if each.phase == PHASE_VOCABULARY:
        return work
    others = {message.source for message in each.answers} - {chip}
    work += _EXCHANGE + (_CONTRIBUTING if others else 0) + kernels.add_rescaled * dim
    return work + (_CONTRIBUTED + kernels.unpacked * dim) * len(others)


def _carrying(plan: Plan, chip: int, message: Message) -> float:
    """Sending or receiving a message, and passing it on."""
    way, sizes = route(plan, message), frame_sizes(plan, message.payload)
    count = Count(len(sizes), sum(sizes))
    on_own_line = chip in way.to_chips or chip in way.from_chips
    instructions = _LINE_BYTE * count.bytes if on_own_line else 0.0
    if chip == message.source or chip in receivers(plan, message):
        instructions += count.frames * (_FRAME + (_SIGNED_FRAME if plan.link.signed else 0))
    gateway = plan.link.has_radio and chip == 0
    if gateway and way.on_air and HOST in (message.source, message.destination):
        instructions += count.frames * _RELAY
    return instructions
