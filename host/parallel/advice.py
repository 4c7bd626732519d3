"""Advises what to do if a model does not fit: how many chips, or how many positions, are enough.

All advice was tried: a plan made with it fits, on boards with the padding of matrices too
(padding.py).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence

from host.parallel.plan import MAX_CHIPS
from host.parallel.refusal import Advice
from host.parallel.shape import Shape

_LEAST_USEFUL = 16  # positions: with fewer, a model has hardly any text to continue


def find_largest_context(below: int, fits: Callable[[int], bool]) -> int:
    """Returns the largest context, smaller than `below`, that fits; 0 if there is none."""
    return bisect_left(range(1, below), True, key=lambda context: not fits(context))


def useful_context(context: int) -> int | None:
    """Returns the context if it is large enough to be advised, else None."""
    return context if context >= _LEAST_USEFUL else None


def find_nearest_count(
    chips: int, fits: Callable[[int], bool], tried: Iterable[int] = range(1, MAX_CHIPS + 1)
) -> int | None:
    """Returns the number of chips nearest to `chips`, of those to try, with which it fits.

    Not only too few but also too many chips may not fit, because each receives from all others.
    Returns None if none of the numbers fits.
    """
    others = sorted(set(tried) - {chips}, key=lambda count: (abs(count - chips), -count))
    return next(filter(fits, others), None)


def describe_shortage(shape: Shape, heaps: Sequence[int], missing: int) -> str:
    """Returns a text on the missing memory; missing: bytes."""
    alike = len(set(heaps)) == 1
    sizes = ", ".join(str(heap // 1024) for heap in (heaps[:1] if alike else heaps))
    if shape.flash:  # the missing bytes may be of either
        alike_rooms = len(set(shape.flash)) == 1
        rooms = ", ".join(str(room // 1024) for room in shape.flash[: 1 if alike_rooms else None])
        return (
            f"{shape.chips} chip{'s' if shape.chips > 1 else ''} with {sizes} KB of heap and"
            f" {rooms} KB of flash for weights {'are' if shape.chips > 1 else 'is'} too small for"
            f" the model with a context of {shape.context}"
        )
    return (
        f"{shape.chips} chip{'s' if shape.chips > 1 else ''} with {sizes} KB of heap"
        f" {'are' if shape.chips > 1 else 'is'} {-(-missing // 1024)} KB short of the model"
        f" with a context of {shape.context}"
    )


def make_advice(
    problem: str,
    *,
    is_alike: bool,
    enough: int | None,
    context: int,
    tried: int = MAX_CHIPS,
    uart_helps: bool = False,
) -> Advice:
    """Returns the advice for a model that does not fit.

    problem: what is wrong; is_alike: whether all heaps are equal, so that numbers of chips up to
    `tried` were tried; enough: the number of chips that is enough, None if none; context: the
    positions that fit, 0 if none; uart_helps: whether a serial line per chip would leave enough
    heap.
    """
    most = f" up to {tried}" if tried < MAX_CHIPS else ""
    otherwise = f", and no number of chips{most} would do: use boards with more heap"
    if not is_alike:
        otherwise = ": use more boards, or boards with more heap"
    return Advice(problem, enough, useful_context(context), otherwise, uart_helps)
