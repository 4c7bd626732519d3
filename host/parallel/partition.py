"""Divides a model: makes a plan from a model, a number of chips and a Parallelism."""

from __future__ import annotations

from collections.abc import Sequence

from host.errors import ModelError
from host.model.outline import Divisible
from host.parallel.parallelism import HOST_REDUCE, UART, Link, Parallelism, check_ring
from host.parallel.plan import MAX_CHIPS, Plan, Resources
from host.parallel.strategies import find_strategy

_UNBOUNDED = 1 << 40  # bytes of heap, if there is no bound


def partition(
    model: Divisible,
    chips: int,
    context: int | None = None,
    *,
    parallelism: Parallelism = HOST_REDUCE,
    link: Link = UART,
    heap: int | Sequence[int] | None = None,
    speeds: Sequence[int] | None = None,
    uart_heap: int | Sequence[int] | None = None,
    flash: Sequence[int] = (),
    strict: bool = False,
) -> Plan:
    """Returns the plan of a model on `chips` chips.

    context: positions, None for all that the model allows; heap: bytes of the heap of every chip,
    or a sequence with one for each, None for no bound; speeds: of each chip, as clocks or in any
    other unit, None if all are alike; uart_heap: as `heap`, but over serial lines, to advise these
    if the radio leaves too little, None for no such advice; flash: bytes of each chip's partition
    for weights, 0 if they lie in its heap, empty if they do on all chips; strict: whether heads,
    KV heads and units must be divisible by `chips`.

    Raises ModelError for an impossible count, context, heap or speed, ParallelError for an unknown
    strategy and for a remainder if `strict`, and DoesNotFit if the heaps are too small.
    """
    if link.is_ring:
        check_ring(parallelism, chips, model.config.layers)
    if not 1 <= chips <= MAX_CHIPS:
        raise ModelError(f"chips must be 1 to {MAX_CHIPS}, got {chips}")
    resources = Resources(
        _list_heaps(heap, chips),
        _list_speeds(speeds, chips),
        link,
        context,
        None if uart_heap is None else _list_heaps(uart_heap, chips),
        tuple(flash),
    )
    return find_strategy(parallelism).partition(model, parallelism, resources, strict=strict)


def _list_heaps(heap: int | Sequence[int] | None, chips: int) -> tuple[int, ...]:
    if heap is None or isinstance(heap, int):
        return (_UNBOUNDED if heap is None else heap,) * chips
    if len(heap) != chips:
        raise ModelError(f"{len(heap)} heaps for {chips} chips: give one, or one for each")
    return tuple(heap)


def _list_speeds(speeds: Sequence[int] | None, chips: int) -> tuple[int, ...]:
    if speeds is None:
        return (1,) * chips
    if len(speeds) != chips or min(speeds) < 1:
        raise ModelError(f"speeds {list(speeds)}: give {chips}, all above 0")
    return tuple(speeds)
