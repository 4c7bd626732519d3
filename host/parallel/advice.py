"""What to do where a model does not fit: how many chips, or how many positions, would."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import replace

from host.parallel.plan import MAX_CHIPS
from host.parallel.shape import Shape

_LEAST_USEFUL = 16  # positions: with fewer a model has hardly anything to go on from


def find_largest_context(shape: Shape, fits: Callable[[Shape], bool]) -> int:
    """The most positions below the shape's with which it fits, 0 where there are none."""
    contexts = range(1, shape.context)
    return bisect_left(
        contexts, True, key=lambda context: not fits(replace(shape, context=context))
    )


def describe_shortage(
    shape: Shape,
    heaps: Sequence[int],
    missing: int,
    enough: int | None,
    context: int,
    *,
    most: int = MAX_CHIPS,
    uart_helps: bool = False,
) -> str:
    """What is missing, and what would do.

    missing: bytes; enough: so many chips, where all are alike, of `most` that were tried;
    context: so many positions, 0 for none; uart_helps: whether a serial line per chip would leave
    more heap.
    """
    alike = len(set(heaps)) == 1
    sizes = ", ".join(str(heap // 1024) for heap in (heaps[:1] if alike else heaps))
    text = (
        f"{shape.chips} chip{'s' if shape.chips > 1 else ''} with {sizes} KB of heap"
        f" {'are' if shape.chips > 1 else 'is'} {-(-missing // 1024)} KB short of the model"
        f" with a context of {shape.context}"
    )
    less = f", or --context {context}" if context >= _LEAST_USEFUL else ""
    if enough:
        return f"{text}: {enough} chips would do{less}"
    if uart_helps:
        less += ", or try --link uart"  # the radio takes memory for itself
    if not alike:
        return f"{text}: use more boards, or boards with more heap{less}"
    tried = f" up to {most}" if most < MAX_CHIPS else ""
    return f"{text}, and no number of chips{tried} would do: use boards with more heap{less}"
