"""Computes several positions of a request in one pass over a layer's matrices.

Native kernels (host/build/pass_kernels.py) read a matrix once and multiply it with the activations
of several positions. So a layer's program (firmware/compute/program.py) is divided: q, k and v of
all positions, then attention of each position by itself, then the output projection of all. It is
used where requests hold several positions, on chips that have the heap for it.
"""

from array import array

import micropython
from uctypes import addressof

from firmware.compute.program import (
    attention_calls,
    feed_forward_calls,
    make_program,
    run_program,
)
from protocol.compat import const
from protocol.fields import int32s

# What the program of a group is given besides what run_program fills in: for each position the
# address of its activations, its layer's values, and the position in its sequence.
_AT = const(3)
_VALUES = const(7)
_PLACE = const(11)
_GIVEN = ("position", "seen", "out", "at 0", "at 1", "at 2", "at 3", "values 0", "values 1",
          "values 2", "values 3", "place 0", "place 1", "place 2", "place 3")  # fmt: skip
_APART = const(4)  # inputs begin at multiples of so many integers, as PIE's vectors must


def _lengths(model):
    """Returns a position's integers: of its activations, of matrices' rows, and of heads'
    means."""
    workspace, rows = model.workspace, 0
    if model.attention:
        _, _, _, rows, _, _, _ = model.attention._sizes
    if model.feed_forward:
        _, units, _ = model.feed_forward._sizes
        rows = max(rows, 2 * units)
    lengths = len(workspace.x), rows, len(workspace.heads)
    return [length + -length % _APART for length in lengths]


@micropython.viper
def give(given: ptr32, count: int, request: ptr8, at: int, step: int, values: ptr32, first: int):
    """Fills in what the program of a group is given for its `count` positions.

    That is: the addresses of their activations, `step` bytes apart from byte `at` of the request
    on, their layer's values, and the positions from `first` on.
    """
    at += int(request)
    while count:
        given[_AT] = at
        given[_VALUES] = int(values)
        given[_PLACE] = first
        given = ptr32(int(given) + 4)
        at += step
        first += 1
        count -= 1


def _products(model, index, count, matmul, linear, y, x, rows, y_step, x_step):
    """Returns the calls that multiply a matrix with the inputs x of `count` positions, into y.

    index: the number of the matrix in a layer; matmul: the kernels for its blocks of columns;
    linear: the blocks of its Linear; y_step, x_step: integers from one position to the next.
    """
    steps = 4 * y_step, 4 * x_step
    parts = [(kernel, x[first:]) for first, _, kernel in matmul]
    if model.blocks:
        return model.blocks.products(index, linear, y, rows, parts, count, steps)
    return [
        (kernel, ("weights", count, y, part, rows, at) + steps)
        for (kernel, part), (_, at, _) in zip(parts, linear)
    ]


class Passes:
    """Computes a layer's partial sums for several positions of a request, as Attention.run and
    FeedForward.run do for one.

    Positions are taken in groups, of the sizes for which there are kernels. words: the words of
    each group as host/build/machine_code/exchange_words.py names them, the largest group first;
    then 0.
    """

    def __init__(self, programs, model, counts, matmul, load):
        """programs: a Programs; counts, matmul: COUNTS and MATMUL of the kernels' module, without
        counts larger than a request has positions; load: the kernel load_int16s."""
        workspace, most = model.workspace, counts[0]
        self._steps = steps = _lengths(model)
        self._buffers = x, _, _ = [int32s(most * step) for step in steps]
        dim = len(workspace.x)
        inputs = [x[i * steps[0] :] for i in range(most)]
        self._own = own = self._attention_programs(programs, model.attention, most)
        self._groups = groups = [
            self._group(count, programs, model, matmul, dim) for count in counts
        ]
        whole = [self._whole(group, load, inputs, dim) for group in groups]
        given = array("I", [0] * len(_GIVEN))
        self._parts = dim, workspace.out, whole, given
        self._addresses = array("I", [addressof(program) for program in own])
        self.words = words = array("I", [0] * (8 * len(groups) + 1))
        for i, group in enumerate(groups):
            words[8 * i] = group[0]
            for k in range(1, 4):
                words[8 * i + k] = addressof(group[k]) if group[k] else 0
            words[8 * i + 4], words[8 * i + 5] = addressof(x), 4 * steps[0]
            words[8 * i + 6] = addressof(self._addresses)

    def _group(self, count, programs, model, matmul, dim):
        """Returns a group: `count`, and the programs before and after attention and of the
        feed-forward units, each None where there is none."""
        before, after = self._around(count, programs, model, matmul, dim)
        return count, before, after, self._feed(count, programs, model, matmul, dim)

    def _whole(self, group, load, inputs, dim):
        """Returns the group's count, and the whole programs of attention and of feed-forward,
        which begin with loading the activations; None where there is none."""
        count, before, after, feed = group
        loads = [(load, ("at %d" % k, 0, 0, inputs[k], dim)) for k in range(count)]
        attending = [(run_program, (before, "values 0", 0, "out"))]
        for k in range(count if before else 0):
            own = self._own[k], "values %d" % k, "place %d" % k, "out"
            attending.append((run_program, own))
        attending.append((run_program, (after, "values 0", 0, "out")))
        feeding = [(run_program, (feed, "values 0", 0, "out"))]
        return (
            count,
            make_program(loads + attending, _GIVEN) if before else None,
            make_program(loads + feeding, _GIVEN) if feed else None,
        )

    def _rows(self, i, count):
        """Returns the buffer for the i-th position's results of matrices, int32 [count]."""
        _, step, _ = self._steps
        _, rows, _ = self._buffers
        return rows[i * step : i * step + count]

    def _attention_programs(self, programs, part, most):
        """Returns for each position the program of its attention between the products."""
        made, (_, _, step) = [], self._steps
        for i in range(most if part else 0):
            _, head_dim, _, row_count, heads, _, _ = part._sizes
            _, _, means = self._buffers
            rows = self._rows(i, row_count)
            calls = attention_calls(part, rows, rows[heads * head_dim :], means[i * step :])
            made.append(make_program(calls, programs.names[0]))
        return made

    def _around(self, count, programs, model, matmul, dim):
        """Returns the programs of q, k and v, and of the output projection of `count` positions;
        None for both where matrices of their size have no kernels."""
        part = model.attention
        if not part:
            return None, None
        x, rows, means = self._buffers
        x_step, rows_step, means_step = self._steps
        _, head_dim, _, row_count, heads, _, _ = part._sizes
        before, after = matmul.get(dim), matmul.get(heads * head_dim)
        if not before or not after:
            return None, None
        return [
            make_program(calls, programs.names[0])
            for calls in (
                _products(
                    model, 0, count, before, part._qkv, rows, x, row_count, rows_step, x_step
                ),
                _products(model, 1, count, after, part._o, "out", means, dim, dim, means_step),
            )
        ]

    def _feed(self, count, programs, model, matmul, dim):
        """Returns the program of a layer's feed-forward units for `count` positions, or None."""
        part = model.feed_forward
        if not part:
            return None
        x, rows, _ = self._buffers
        x_step, rows_step, _ = self._steps
        _, units, _ = part._sizes
        before, after = matmul.get(dim), matmul.get(units)
        if not before or not after:
            return None
        gate_up = part._gate_up
        calls = _products(
            model, 2, count, before, gate_up, rows, x, 2 * units, rows_step, x_step
        )
        for i in range(count):
            own = self._rows(i, 2 * units)
            calls += feed_forward_calls(part, own, own[:units], own[units:])
        calls += _products(model, 3, count, after, part._down, "out", rows, dim, dim, rows_step)
        return make_program(calls, programs.names[1])

    @micropython.native
    def run(self, done, attends, request, at, count, layer, position):
        """Computes the partial sums of positions of one sequence, workspace.out, in whole groups.

        Their activations are in the request from byte `at` on. position: the first one's, where
        they attend; done: how many positions of the request are done already; count: how many it
        has. Returns how many are done now: fewer than `count` where the rest make no group.
        """
        dim, out, groups, given = self._parts
        step = 2 * dim
        values = layer.attention_values if attends else layer.feed_forward_values
        for several, attending, feeding in groups:
            program = attending if attends else feeding
            while program and count - done >= several:
                give(given, several, request, at + done * step, step, values, position + done)
                run_program(program, given, 0, out[done])
                done += several
        return done
