"""Generates the viper kernel of attention for heads with more elements than fit in locals.

It computes what the docstring of `attend` in host/build/attention_kernel.py says. A query, and a
head's mean, is divided into blocks of elements, and each block passes over all positions:
meanwhile the sums of scores are in the buffer of scores, where weights are shifted once.

Int8 caches have such kernels for heads of all sizes (host/build/int8_kernels.py): a row's shift is
applied to its score, and to its weight, instead of to its elements.
"""

from __future__ import annotations

from host.build.attention_kernel import WEIGHT
from host.build.unrolling import lines, summed

_BLOCK = 128  # elements in locals: as many multiplications in a turn of a loop

_ATTEND = '''
@micropython.viper
def {name}(
    at: int, acc: int, keys: {ptr}, values: {ptr}, rows: ptr32, heads: int, q: ptr32, out: ptr32,
    scores: ptr32, table: ptr16, seen: int, shift: int
):
    """out [heads, {size}]: as {source} says of it."""
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
{largest}
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
{weigh}
        place = int(values) + rows[0] * {stride}
        many = {blocks}
{means}
        rows = ptr32(int(rows) + 4)
'''

_LARGEST = """
largest = ptr32(begin)[0]
at = begin
while at < end:
    acc = ptr32(at)[0]
    if acc > largest:
        largest = acc
    at += 4
"""

_WEIGH = """
at = begin
while at < end:
    acc = ptr32(at)[0] + half >> by
    total = total + acc
    ptr32(at)[0] = acc
    at += 4
half = (total >> 1) - (total << 15)
"""

# Shifts stand behind all rows of a cache, of which the last of `rows` is the number.
_SHIFTED_LARGEST = """
largest = 1
largest = largest << 31
at = begin
place = int(keys) + ptr32(last)[0] * {stride} + rows[0]
while at < end:
    acc = ptr32(at)[0] << ptr8(place)[0]
    ptr32(at)[0] = acc
    if acc > largest:
        largest = acc
    place += 1
    at += 4
"""

_SHIFTED_WEIGH = """
bias = 0
at = begin
place = int(values) + ptr32(last)[0] * {stride} + rows[0]
while at < end:
    acc = ptr32(at)[0] + half >> by
    total = total + acc
    acc = acc << ptr8(place)[0]
    bias = bias + acc
    ptr32(at)[0] = acc
    place += 1
    at += 4
half = (total >> 1) - (bias << 7)
"""

_SCORES = """
{loop}
    at = place
    scores = ptr32(begin)
{load}
    while int(scores) < end:
        acc = scores[0]{bias}
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


def wide_attention_kernel(size: int, is_int8: bool = False) -> str:
    """Returns the source of `attend` for heads of this size, of any number of elements, or of
    `attend_int8`."""
    blocks, rest = divmod(size, _BLOCK)
    parts = [(_BLOCK, "while many:")] * bool(blocks) + [(rest, "if 1:")] * bool(rest)
    stride = size if is_int8 else 2 * size
    return _ATTEND.format(
        name="attend_int8" if is_int8 else "attend",
        ptr="ptr8" if is_int8 else "ptr16",
        source="host/build/int8_kernels.py" if is_int8 else "host/build/attention_kernel.py",
        size=size,
        stride=stride,
        blocks=blocks,
        weight=WEIGHT.format(index=0).strip("\n"),
        scores="\n".join(_scores(count, stride, loop, is_int8) for count, loop in parts),
        largest=_indented((_SHIFTED_LARGEST if is_int8 else _LARGEST).format(stride=stride)),
        weigh=_indented((_SHIFTED_WEIGH if is_int8 else _WEIGH).format(stride=stride)),
        means="\n".join(_means(count, stride, loop, is_int8) for count, loop in parts),
    )


def _scores(count: int, stride: int, loop: str, is_int8: bool) -> str:
    """Returns code that adds the products of a block of `count` elements to all scores."""
    pointer, width = ("ptr8", count) if is_int8 else ("ptr16", 2 * count)
    load = [f"h{i} = q[{i}]" for i in range(count)]
    if is_int8:
        load.append(f"bias = {summed(f'h{i}' for i in range(count))} << 7")
    return _indented(_SCORES.format(
        loop=loop,
        load=lines(4, load),
        bias=" - bias" if is_int8 else "",
        multiply=lines(8, (f"acc = {pointer}(at)[{i}] * h{i} + acc" for i in range(count))),
        stride=stride, width=width, q_width=4 * count,
    ))  # fmt: skip


def _means(count: int, stride: int, loop: str, is_int8: bool) -> str:
    """Returns code that computes the means of a block of `count` elements."""
    pointer, width = ("ptr8", count) if is_int8 else ("ptr16", 2 * count)
    return _indented(_MEANS.format(
        loop=loop,
        clear=lines(4, (f"h{i} = 0" for i in range(count))),
        multiply=lines(12, (f"h{i} = {pointer}(at)[{i}] * acc + h{i}" for i in range(count))),
        divide=lines(4, (f"ptr32(acc)[{i}] = (h{i} + half) // total" for i in range(count))),
        stride=stride, width=width, q_width=4 * count,
    ))  # fmt: skip


def _indented(text: str) -> str:
    return "\n".join(" " * 8 + line for line in text.strip("\n").split("\n"))
