"""What kernel generators have in common: unrolled loops, with several rows or positions in a
turn."""

from __future__ import annotations

from collections.abc import Callable, Iterable

# Multiplications in one turn of a loop over rows or positions: more would save little, and code
# takes memory. The second number is for code that is only a fallback.
PRODUCTS, FEWEST_PRODUCTS = 64, 1


def per_turn(products: int, most: int) -> int:
    """Returns how many rows or positions of `products` products go into a turn: a power of two,
    for `most` products if there are several."""
    several = 1
    while 2 * several * products <= most:
        several *= 2
    return several


def turns(
    products: int, most: int, single: str, whole: str, turn: Callable[[int, str], str]
) -> str:
    """Returns two loops over rows or positions of `products` products each.

    The first takes one at a time, while `single` holds, until the rest fills turns of `per_turn`;
    the second takes such turns while `whole` holds. turn(count, header) returns the code of a
    loop.
    """
    several = per_turn(products, most)
    made = turn(several, f"while {whole}:")
    if several > 1:
        made = turn(1, f"while {single}:") + made
    return made.replace("\n\n", "\n").strip("\n")


def summed(names: Iterable[str]) -> str:
    """Returns the expression of their sum."""
    return "(" + " + ".join(names) + ")"


def lines(indent: int, texts: Iterable[str]) -> str:
    """Returns the texts as lines, indented by `indent` spaces."""
    return "\n".join(" " * indent + text for text in texts)
