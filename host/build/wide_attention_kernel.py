"""Source of the viper kernel of attention for heads whose elements do not fit in locals.

What it computes is what the docstring of host/build/attention_kernel.py's `attend` says. A query,
and a head's mean, is taken in blocks of elements, each of which passes over all positions: the
sums of scores stand in the buffer of scores meanwhile, and weights are shifted there once.
"""

from __future__ import annotations

from host.build.attention_kernel import WEIGHT
from host.build.unrolling import lines

_BLOCK = 128  # elements in locals: as many multiplications in a turn of a loop

_ATTEND = '''
@micropython.viper
def attend(
    at: int, acc: int, keys: ptr16, values: ptr16, rows: ptr32, heads: int, q: ptr32, out: ptr32,
    scores: ptr32, table: ptr16, seen: int, shift: int
):
    """out [heads, {size}]: as host/build/attention_kernel.py says of it."""
    begin = int(scores)
    end = begin + (seen << 2)
    last = int(rows) + (heads << 2)
    while int(rows) < last:
        acc = begin
        while acc < end:
            ptr32(acc)[0] = 0
            acc += 4
        place = int(keys) + rows[0] * {stride}
        many = {blocks}
{scores}
        total = 0
        largest = ptr32(begin)[0]
        at = begin
        while at < end:
            acc = ptr32(at)[0]
            if acc > largest:
                largest = acc
            at += 4
        at = begin
        while at < end:
{weight}
            at += 4
        by = 0
        total -= 1
        while total > 32767:
            total = total >> 1
            by += 1
        half = 1 << by >> 1
        total = 0
        at = begin
        while at < end:
            acc = ptr32(at)[0] + half >> by
            total = total + acc
            ptr32(at)[0] = acc
            at += 4
        half = (total >> 1) - (total << 15)
        place = int(values) + rows[0] * {stride}
        many = {blocks}
{means}
        rows = ptr32(int(rows) + 4)
'''

_SCORES = """
{loop}
    at = place
    scores = ptr32(begin)
{load}
    while int(scores) < end:
        acc = scores[0]
{multiply}
        scores[0] = acc
        at = at + {stride}
        scores = ptr32(int(scores) + 4)
    place += {width}
    q = ptr32(int(q) + {q_width})
    many -= 1
"""

_MEANS = """
{loop}
    at = place
    scores = ptr32(begin)
{clear}
    while int(scores) < end:
        acc = scores[0]
        if acc:
{multiply}
        at = at + {stride}
        scores = ptr32(int(scores) + 4)
    acc = int(out)
{divide}
    place += {width}
    out = ptr32(acc + {q_width})
    many -= 1
"""


def wide_attention_kernel(size: int) -> str:
    """The source of `attend` for heads of this size, of any number of elements."""
    blocks, rest = divmod(size, _BLOCK)
    parts = [(_BLOCK, "while many:")] * bool(blocks) + [(rest, "if 1:")] * bool(rest)
    return _ATTEND.format(
        size=size,
        stride=2 * size,
        blocks=blocks,
        weight=WEIGHT.format(index=0).strip("\n"),
        scores="\n".join(_scores(count, size, loop) for count, loop in parts),
        means="\n".join(_means(count, size, loop) for count, loop in parts),
    )


def _scores(count: int, size: int, loop: str) -> str:
    """Adds to all scores what a block of `count` elements contributes."""
    return _indented(_SCORES.format(
        loop=loop,
        load=lines(4, (f"h{i} = q[{i}]" for i in range(count))),
        multiply=lines(8, (f"acc = ptr16(at)[{i}] * h{i} + acc" for i in range(count))),
        stride=2 * size, width=2 * count, q_width=4 * count,
    ))  # fmt: skip


def _means(count: int, size: int, loop: str) -> str:
    """Writes the means of a block of `count` elements."""
    return _indented(_MEANS.format(
        loop=loop,
        clear=lines(4, (f"h{i} = 0" for i in range(count))),
        multiply=lines(12, (f"h{i} = ptr16(at)[{i}] * acc + h{i}" for i in range(count))),
        divide=lines(4, (f"ptr32(acc)[{i}] = (h{i} + half) // total" for i in range(count))),
        stride=2 * size, width=2 * count, q_width=4 * count,
    ))  # fmt: skip


def _indented(text: str) -> str:
    return "\n".join(" " * 8 + line for line in text.strip("\n").split("\n"))
