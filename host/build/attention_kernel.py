"""Generates the viper kernel of attention, unrolled for a head size.

All heads of a chip are computed in one call, because a call from bytecode takes as long as several
positions. The values that loops need most are in the first two parameters, which mpy-cross keeps
in registers; there an integer serves as a pointer, with a cast where it is used. Locals h0, h1,
... are first the query and later the sums of weighted values: with more than some 250 locals,
viper generates wrong code on Xtensa.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from host.build.unrolling import PRODUCTS, lines, per_turn, summed, turns

# The parts of a head's work in order. Kernels that stop after an earlier part serve only to count
# instructions.
PARTS = ("scores", "softmax", "mean")

_ATTEND = '''
@micropython.viper
def attend(
    at: int, acc: int, keys: ptr16, values: ptr16, rows: ptr32, heads: int, q: ptr32, out: ptr32,
    scores: ptr32, table: ptr16, seen: int, shift: int
):
    """out [heads, {size}]: for each head the mean, half-up, of the first `seen` values under the
    softmax of its scores.

    keys: u16 [rows, {size}], key + the limit of keys + 1; values: value + 2**15; rows [heads]: at
    which of them those of each head begin. q [heads, {size}]; |q.k| < 2**30. scores [seen] is
    overwritten. table u16 [512]: 2**(-i / 512) in units of 2**-15; a weight is
    2**((score - largest) / 2**(shift + 9)) * 2**15.
    """
    begin = int(scores)
    end = begin + (seen << 2)
    last = int(rows) + (heads << 2)
    while int(rows) < last:
{parts}
        rows = ptr32(int(rows) + 4)
'''

# Keys are stored with an offset, which adds the same number to all scores of a head: neither their
# differences nor their order change, and they still fit 32 bits.
_SCORES = """
        scores = ptr32(begin)
        at = int(keys) + rows[0] * {stride}
        acc = int(q)
{load}
        q = ptr32(acc + {q_stride})
        largest = 1
        largest = largest << 31
        single = at + (seen & {others}) * {stride}
        stop = at + seen * {stride}
{loops}
"""

_SCORES_TURN = """
        {header}
{multiply}
            at = at + {stride}
            scores = ptr32(int(scores) + {scores_stride})
"""

_SCORE = """
{multiply}
            scores[{index}] = acc
            if acc > largest:
                largest = acc
"""

_SOFTMAX = """
        total = 0
        at = begin
        if seen & 1:
{one}
            at += 4
        while at < end:
{one}
{other}
            at += 8
"""

# Turns a score into a weight, and adds that to the total; wide heads do this too.
WEIGHT = """
            acc = largest - ptr32(at)[{index}] >> shift
            if acc < 8192:
                acc = table[acc & 511] >> (acc >> 9)
                total = total + acc
            else:
                acc = 0
            ptr32(at)[{index}] = acc
"""

# Weights are first shifted right until their sum has about 15 bits. If those of all positions of a
# turn are 0, nothing is multiplied: that is the case in a third of the turns at position 128 of
# stories260K.
_MEAN = """
        by = 0
        total -= 1
        while total > 32767:
            total = total >> 1
            by += 1
        half = 1 << by >> 1
        total = 0
        single = begin + ((seen & {others}) << 2)
        acc = begin
        place = int(values) + rows[0] * {stride}
{clear}
{loops}
        half = (total >> 1) - (total << 15)
        acc = int(out)
{divide}
        out = ptr32(acc + {out_stride})
"""

_MEAN_TURN = """
        {header}
            after = acc + {weights_stride}
            at = half
{load}
            if acc:
                total = total + acc
                at = place
{multiply}
            place += {stride}
            acc = after
"""


def attention_kernel(
    head_dim: int, parts: Iterable[str] = PARTS, products: int = PRODUCTS
) -> str:
    """Returns the source of `attend` for heads of this size; parts: the first of PARTS; products:
    as for kernel_source."""
    made = {"scores": _scores, "softmax": _softmax, "mean": _mean}
    text = "\n".join(made[part](head_dim, products).strip("\n") for part in parts)
    return _ATTEND.format(size=head_dim, parts=text)


def _scores(size: int, most: int) -> str:
    return _SCORES.format(
        stride=2 * size,
        q_stride=4 * size,
        others=per_turn(size, most) - 1,
        load=lines(8, (f"h{i} = ptr32(acc)[{i}]" for i in range(size))),
        loops=turns(size, most, "at < single", "at < stop", partial(_scores_turn, size)),
    )


def _scores_turn(size: int, positions: int, header: str) -> str:
    def score(position: int) -> str:
        first = position * size
        sums = (f" * h{i}" + (" + acc" if i else "") for i in range(size))
        products = (f"acc = ptr16(at)[{first + i}]{term}" for i, term in enumerate(sums))
        return _SCORE.format(multiply=lines(12, products), index=position).strip("\n")

    return _SCORES_TURN.format(
        header=header,
        multiply="\n".join(score(position) for position in range(positions)),
        stride=2 * size * positions,
        scores_stride=4 * positions,
    )


def _softmax(size: int, most: int) -> str:
    one, other = (WEIGHT.format(index=index).strip("\n") for index in (0, 1))
    return _SOFTMAX.format(one=one, other=other)


def _mean(size: int, most: int) -> str:
    return _MEAN.format(
        stride=2 * size,
        out_stride=4 * size,
        others=per_turn(size, most) - 1,
        clear=lines(8, (f"h{i} = 0" for i in range(size))),
        loops=turns(size, most, "acc < single", "acc < end", partial(_mean_turn, size)),
        divide=lines(8, (f"ptr32(acc)[{i}] = (h{i} + half) // total" for i in range(size))),
    )


def _mean_turn(size: int, positions: int, header: str) -> str:
    """Returns code that sums up several positions in `acc`, which is in a register, and holds the
    weight of one position."""
    names = [f"w{p}" for p in range(positions)] if positions > 1 else ["acc"]
    load = [f"{name} = ptr32(acc)[{p}] + at >> by" for p, name in enumerate(names)]
    if positions > 1:
        load.append(f"acc = {summed(names)}")
    return _MEAN_TURN.format(
        header=header,
        load=lines(12, load),
        multiply=lines(16, (line for i in range(size) for line in _weighted(i, size, names))),
        stride=2 * size * positions,
        weights_stride=4 * positions,
    )


def _weighted(element: int, size: int, weights: list[str]) -> Iterable[str]:
    """Returns code that adds the weighted values of several positions to the sum of one
    element."""
    last = len(weights) - 1
    for p, weight in enumerate(weights):
        to = f"h{element}" if p == last else "acc"
        plus = "acc" if p else f"h{element}"
        yield f"{to} = ptr16(at)[{p * size + element}] * {weight} + {plus}"
