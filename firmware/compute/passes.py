"""Several positions of a request in one pass over a layer's matrices.

Native kernels (host/build/pass_kernels.py) multiply a matrix with several positions' activations
while they read it once. So a layer's program (firmware/compute/program.py) goes in pieces: q, k
and v of all positions, what each has by itself, and the output projection of all. Chips do so that
have the heap for it, where requests hold several positions.
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

# What the program of a group is given beside what run_program gives it: of each position where its
# activations are, its layer's values, and its place.
_AT = const(3)
_VALUES = const(7)
_PLACE = const(11)
_GIVEN = ("position", "seen", "out", "at 0", "at 1", "at 2", "at 3", "values 0", "values 1",
          "values 2", "values 3", "place 0", "place 1", "place 2", "place 3")  # fmt: skip
_APART = const(4)  # integers to a multiple of which inputs are apart, as PIE's vectors are


def _lengths(model):
    """Integers of a position: of what comes in, of matrices' rows, and of heads' means."""
    workspace, attention, feed_forward = model.workspace, model.attention, model.feed_forward
    rows = attention._sizes[3] if attention else 0
    if feed_forward:
        rows = max(rows, 2 * feed_forward._sizes[1])
    lengths = len(workspace.x), rows, len(workspace.heads)
    return [length + -length % _APART for length in lengths]


@micropython.viper
def give(given: ptr32, count: int, request: ptr8, at: int, step: int, values: ptr32, first: int):
    """Writes what the program of a group is given, of `count` positions: where their activations
    are, `step` bytes from one to the next one, their layer's values, and their places from `first`
    on."""
    at += int(request)
    while count:
        given[_AT] = at
        given[_VALUES] = int(values)
        given[_PLACE] = first
        given = ptr32(int(given) + 4)
        at += step
        first += 1
        count -= 1


def _products(count, matmul, linear, y, x, rows, y_step, x_step):
    """The calls that multiply a matrix with so many positions' inputs. matmul: the kernels for it,
    None where it has none; linear: the blocks of its Linear; steps: integers from a position to
    the next one."""
    return [
        (kernel, ("weights", count, y, x[first:], rows, at, 4 * y_step, 4 * x_step))
        for (first, _, kernel), (_, at, _) in zip(matmul, linear)
    ]


class Passes:
    """Computes a layer's parts for the positions of a request, as Attention.run and
    FeedForward.run do for one.

    words: those of each group, which host/build/machine_code/exchange_words.py names, the most
    positions first, and 0.
    """

    def __init__(self, programs, model, counts, matmul, load):
        """programs: a Programs; counts, matmul: COUNTS and MATMUL of the kernels' module, the
        former as far as requests hold so many positions; load: the kernel load_int16s."""
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
        """Positions, and the programs for so many, those of attention None where it has none."""
        before, after = self._around(count, programs, model.attention, matmul, dim)
        return count, before, after, self._feed(count, programs, model.feed_forward, matmul, dim)

    def _whole(self, group, load, inputs, dim):
        """Positions of a group, and the programs of all that they take, the loading of their
        activations included: that of attention, and of feed-forward."""
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
        """The rows of matrices of the i-th position."""
        step = self._steps[1]
        return self._buffers[1][i * step : i * step + count]

    def _attention_programs(self, programs, part, most):
        """What each position has by itself, between the products."""
        made, step = [], self._steps[2]
        for i in range(most if part else 0):
            _, head_dim, _, row_count, heads, _, _ = part._sizes
            rows, means = self._rows(i, row_count), self._buffers[2][i * step :]
            calls = attention_calls(part, rows, rows[heads * head_dim :], means)
            made.append(make_program(calls, programs.names[0]))
        return made

    def _around(self, count, programs, part, matmul, dim):
        """The programs of q, k and v, and of the output projection, None where matrices of such a
        size have no kernels."""
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
                _products(count, before, part._qkv, rows, x, row_count, rows_step, x_step),
                _products(count, after, part._o, "out", means, dim, dim, means_step),
            )
        ]

    def _feed(self, count, programs, part, matmul, dim):
        """The program of a layer's feed-forward units."""
        if not part:
            return None
        x, rows, _ = self._buffers
        x_step, rows_step, _ = self._steps
        units = part._sizes[1]
        before, after = matmul.get(dim), matmul.get(units)
        if not before or not after:
            return None
        calls = _products(count, before, part._gate_up, rows, x, 2 * units, rows_step, x_step)
        for i in range(count):
            own = self._rows(i, 2 * units)
            calls += feed_forward_calls(part, own, own[:units], own[units:])
        calls += _products(count, after, part._down, "out", rows, dim, dim, rows_step)
        return make_program(calls, programs.names[1])

    @micropython.native
    def run(self, done, attends, request, at, count, layer, position):
        """Computes the partial sums of positions of one sequence, workspace.out, whose activations
        are in the request from byte `at` on, as far as they make up groups; how many are done.
        position: of the first, where they attend; done: how many have been before."""
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
