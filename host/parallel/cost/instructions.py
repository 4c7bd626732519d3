"""How many instructions a chip executes for a token, modelled from counts of emulated chips.

The counts are those of `python -m bench`, of whole chips with stories260K's shapes and of kernels
by themselves; tests/host/test_instructions.py compares the model with them. Garbage collection is
left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from host.parallel.assignment import LocalSizes
from host.parallel.cost.kernel_costs import (
    BYTECODE,
    IN_BLOCKS,
    IN_BYTECODE,
    ON_LINES,
    ON_RADIO,
    SERVED_SIGNED,
    SIGNED_AT,
    Calls,
    KernelCosts,
)
from host.parallel.cost.reading import count_weights, flash_bytes_of, phase_bytes
from host.parallel.cost.traffic import Count, count_frames, receivers, route
from host.parallel.parallelism import ALL_REDUCED
from host.parallel.plan import Plan, Shard
from host.parallel.synchronization import (
    FINISHED_ATTENTION,
    FINISHED_FEED_FORWARD,
    GATHERED_HEADS,
    GATHERED_UNITS,
    Message,
    Synchronization,
)
from protocol.frame import BROADCAST, HOST
from protocol.messages import PHASE_ATTENTION, PHASE_FEED_FORWARD, PHASE_VOCABULARY

# To relay a frame, besides the bytes on its line: ESP-NOW's send and irecv on a C3's stock
# firmware (counted by others), and the loop of an emulated gateway.
_RELAY = 16_100 + 4_900 + 8_300
# To pass a frame on in a ring, besides its bytes: assumed to be that of receiving one, and a
# UART's write on a C3's stock firmware (counted by others).
_PASSED = BYTECODE.frame + 6_600
# A block that is read from flash: calls in bytecode, counted on emulated chips, and of the driver,
# assumed; calls for each position that it is multiplied with; the blocks that are not full in a
# phase; and for each row's sum that it is copied, estimated.
DRIVER = 3_000
_BLOCK, _PRODUCT, _BLOCKS_BEGUN, _MOVED = 12_000 + DRIVER, 2_500, 2, 8
# To copy an element of what all chips contributed to where it is used
# (firmware/roles/all_gather.py): counted in the source.
_TAKEN_ROW = 12
# Phases of all-gather: of activations, and of the residual stream.
GATHERED = frozenset({GATHERED_HEADS, GATHERED_UNITS})
FINISHED = frozenset({FINISHED_ATTENTION, FINISHED_FEED_FORWARD})


def chip_instructions(
    plan: Plan,
    chip: int,
    each: Synchronization,
    position: int,
    kernels: KernelCosts,
    rows: int = 1,
    frames: Sequence[tuple[Message, Count]] | None = None,
) -> float:
    """Returns the instructions of a chip for one synchronization of `rows` positions.

    frames: count_frames of its messages, which are the same for all chips.
    """
    if frames is None:
        frames = count_frames(plan, (*each.requests, *each.answers))
    is_served = rows == 1 and _is_served(plan, each, kernels)
    kernels = replace(kernels, calls=_choose_calls(plan, each, kernels, rows))
    together, passes = count_passes(plan, chip, each, kernels, rows)
    passed = replace(kernels, matrix=kernels.passed)
    return (
        (rows - together) * _work(plan, chip, each, position, kernels, is_served)
        + together * _work(plan, chip, each, position, passed, is_served)
        + _handle_blocks(plan, chip, each, kernels, rows, passes)
        + rows * _combining(plan, chip, each, kernels)
        + sum(
            _carrying(plan, chip, message, count, kernels, is_served)
            for message, count in frames
        )
    )


def message_instructions(
    plan: Plan, chip: int, message: Message, kernels: KernelCosts
) -> float:
    """Returns the instructions of a chip that sends a message, receives it or passes it on."""
    [(_, count)] = count_frames(plan, [message])
    kernels = replace(kernels, calls=_exchange_calls(plan, kernels) or kernels.calls)
    return _carrying(plan, chip, message, count, kernels, False)


def count_passes(
    plan: Plan, chip: int, each: Synchronization, kernels: KernelCosts, rows: int
) -> tuple[int, int]:
    """Returns how many of the rows are computed together with others, and the number of passes
    over the weights for all rows (firmware/compute/passes.py and several.py)."""
    together = passes = 0
    # Kernels multiply a block with one row after another.
    if plan.block(chip) and not kernels.is_placed:
        apart = each.phase == PHASE_VOCABULARY or not plan.stage_of(chip).shape.together
        return 0, rows if apart else 1
    if each.phase in (PHASE_ATTENTION, PHASE_FEED_FORWARD) and not plan.config.groups:
        for count in kernels.passes:
            groups = (rows - together) // count
            passes, together = passes + groups, together + groups * count
    return together, passes + rows - together


def _work(
    plan: Plan,
    chip: int,
    each: Synchronization,
    position: int,
    kernels: KernelCosts,
    is_served: bool,
) -> float:
    """Returns the instructions of the phase itself, for one position."""
    shard = plan.shards[chip]
    sizes = plan.local_sizes(shard)
    weights = count_weights(plan, chip, each)
    sent = 0 if each.phase == PHASE_VOCABULARY else plan.config.dim
    rows = _count_rows(shard, sizes, each.phase)
    if not rows or chip not in plan.group(each.layer):
        return 0
    calls = kernels.calls
    work = (calls.served or 0) if is_served else calls.synchronization
    for name, count in weights.items():
        work += count * (kernels.grouped if name in plan.config.grouped else kernels.matrix)
    # Finished rows are rescaled and added to the residual stream at the same time.
    work += (kernels.add_rescaled if each.phase in FINISHED else kernels.row) * rows
    if each.phase in GATHERED | FINISHED:
        sent = count_parts(each.phase, shard, sizes)
    work += kernels.packed * sent
    if each.phase in (PHASE_ATTENTION, GATHERED_HEADS):
        seen = position + 1
        a_position = kernels.softmax + kernels.shifted * plan.config.int8_kv
        a_head = kernels.attention_head + a_position * seen
        work += sizes.heads * a_head + kernels.attention * 2 * sizes.q_size * seen
    return work


def _count_rows(shard: Shard, sizes: LocalSizes, phase: int) -> int:
    """Returns the rows of a phase's first matrices: those whose sums are rescaled one by one."""
    if phase == PHASE_VOCABULARY:
        return len(shard.rows)
    if phase in (PHASE_ATTENTION, GATHERED_HEADS):
        return sizes.q_size + 2 * sizes.kv_size
    return len(shard.elements) if phase in FINISHED else 2 * sizes.intermediate


def _handle_blocks(
    plan: Plan,
    chip: int,
    each: Synchronization,
    kernels: KernelCosts,
    rows: int,
    passes: int,
) -> float:
    """Returns what dividing matrices into blocks takes, which are read `passes` times and
    multiplied with `rows` positions."""
    size, block, shard = phase_bytes(plan, chip, each), plan.block(chip), plan.shards[chip]
    if not size or not block:
        return 0
    if kernels.is_placed:
        blocks = size // block + _BLOCKS_BEGUN
        columns = rows * kernels.block_column * plan.config.dim
        return blocks * (passes * kernels.block + columns)
    sums = _count_rows(shard, plan.local_sizes(shard), each.phase) + plan.config.dim
    work = rows * (_PRODUCT * (size // block + _BLOCKS_BEGUN) + _MOVED * sums)
    if read := flash_bytes_of(plan, chip, each):
        chunk = plan.buffers(chip)[1] or block
        work += passes * _BLOCK * (read // chunk + _BLOCKS_BEGUN)
    return work


def _is_served(plan: Plan, each: Synchronization, kernels: KernelCosts) -> bool:
    """Returns whether a chip answers in one native call."""
    link = plan.link
    is_other = link.has_radio or plan.strategy.keeps_residual or plan.slots > 1
    is_other = is_other or link.is_ring or _is_read(plan, kernels)
    return not is_other and kernels.calls.served is not None


def _combining(plan: Plan, chip: int, each: Synchronization, kernels: KernelCosts) -> float:
    """Returns the instructions of a chip that keeps the residual stream in place of the host."""
    if not plan.strategy.keeps_residual or chip not in plan.group(each.layer):
        return 0
    config = plan.config
    dim = config.dim
    work = kernels.norm * (0 if each.phase in FINISHED else dim)
    calls = kernels.calls
    if each.phase == PHASE_VOCABULARY:
        return work + calls.stepped
    others = {message.source for message in each.answers} - {chip}
    work += calls.exchange + (calls.contributing if others else 0)
    taken = calls.contributed * len(others)
    if each.phase in GATHERED | FINISHED:
        heads = each.phase in (GATHERED_HEADS, FINISHED_ATTENTION)
        wide = config.heads * config.head_dim if heads else config.hidden_dim
        whole = dim if each.phase in FINISHED else wide
        return work + taken + (kernels.unpacked + _TAKEN_ROW) * whole
    work += kernels.add_rescaled * dim
    return work + taken + kernels.unpacked * dim * len(others)


def count_parts(phase: int, shard: Shard, sizes: LocalSizes) -> int:
    """Returns the elements that a chip contributes to a collective of all-gather, at one
    position."""
    if phase == GATHERED_HEADS:
        return sizes.q_size
    return sizes.intermediate if phase == GATHERED_UNITS else len(shard.elements)


def _choose_calls(
    plan: Plan, each: Synchronization, kernels: KernelCosts, rows: int
) -> Calls:
    """Returns what is between the kernels of a synchronization of so many positions. There are
    programs for phases only, on chips with one sequence at a time."""
    calls, is_gathered = kernels.calls, each.phase in GATHERED | FINISHED
    native = None if is_gathered else _exchange_calls(plan, kernels)
    if native and (rows == 1 or native is IN_BYTECODE):
        return native
    if plan.slots > 1 or each.phase == PHASE_VOCABULARY or _is_read(plan, kernels):
        calls = replace(calls, synchronization=BYTECODE.synchronization)
    if is_gathered:  # all-gather's two exchanges are always bytecode
        return replace(BYTECODE, synchronization=calls.synchronization)
    return calls


def _exchange_calls(plan: Plan, kernels: KernelCosts) -> Calls | None:
    """Returns what is between kernels if chips take in and write frames of one position in native
    calls, else None."""
    exchanges = plan.strategy.keeps_residual and plan.parallelism.exchange == ALL_REDUCED
    is_staged, is_read = len(plan.stages) > 1, _is_read(plan, kernels)
    has_programs = kernels.takes_steps and (plan.slots == 1 or is_staged)
    if kernels.calls.served is None or not (exchanges and has_programs):
        return None
    if kernels.lacks_psram and is_read and not is_staged:
        return IN_BYTECODE
    calls = ON_RADIO if plan.link.has_radio else ON_LINES
    if is_read:  # and not by stages
        return None if is_staged else IN_BLOCKS[calls]
    return calls


def _is_read(plan: Plan, kernels: KernelCosts) -> bool:
    """Returns whether a chip has matrices that it reads into buffers, and therefore no
    programs."""
    return bool(plan.shape.flash) and not kernels.is_placed


def _is_contribution(message: Message) -> bool:
    """Returns whether a message has a chip's partial sums for the others."""
    return message.source != HOST and message.destination == BROADCAST


def _carrying(
    plan: Plan, chip: int, message: Message, count: Count, kernels: KernelCosts, is_served: bool
) -> float:
    """Returns the instructions to send, receive or pass on messages like this one; for those that
    are served natively, only those for their bytes. count: the frames of all such messages."""
    path, calls = route(plan, message), kernels.calls
    on_own_line = chip in path.to_chips or chip in path.from_chips
    if plan.link.is_ring and chip not in (message.source, message.destination):
        return (calls.line_byte * count.bytes + _PASSED * count.frames) * on_own_line
    on_own_line = on_own_line or (plan.link.is_ring and chip == message.source)
    instructions = calls.line_byte * count.bytes if on_own_line else 0.0
    if chip == message.source or chip in receivers(plan, message):
        is_taken = is_served or (_is_contribution(message) and calls.takes_contributions)
        signed = SERVED_SIGNED if is_served else calls.signed
        instructions += 0 if is_taken else count.frames * calls.frame
        if plan.link.signed:
            longer = count.bytes - SIGNED_AT * count.frames
            instructions += count.frames * signed + kernels.signed_byte * longer
    gateway = plan.link.has_radio and chip == 0
    if gateway and path.on_air and HOST in (message.source, message.destination):
        instructions += count.frames * _RELAY
    return instructions
