"""What the generators of kernels share: loops written out, several rows or positions a turn."""

from __future__ import annotations

from collections.abc import Callable, Iterable

# Multiplications in one turn of a loop over rows or positions: more would save little, and code
# takes memory. And where the code is only to be there in case.
PRODUCTS, FEWEST_PRODUCTS = 64, 1


def per_turn(products: int, most: int) -> int:
    """Returns how many rows or positions of so many products go into a turn, which has `most` of
    these if it has several: a power of two."""
    several = 1
    while 2 * several * products <= most:
        several *= 2
    return several


def turns(
    products: int, most: int, single: str, whole: str, turn: Callable[[int, str], str]
) -> str:
    """Two loops over rows or positions of so many products each.

    First one by one what does not fill a turn of `per_turn`, while `single` holds, then in such
    turns while `whole` holds. turn(count, header) gives a loop's code.
    """
    several = per_turn(products, most)
    made = turn(several, f"while {whole}:")
    if several > 1:
        made = turn(1, f"while {single}:") + made
    return made.replace("\n\n", "\n").strip("\n")


def summed(names: Iterable[str]) -> str:
    """Returns the expression that adds them up."""
    return "(" + " + ".join(names) + ")"


def lines(indent: int, texts: Iterable[str]) -> str:
    """Returns the texts as lines, indented by so many spaces."""
    return "\n".join(" " * indent + text for text in texts)
