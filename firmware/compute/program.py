"""Programs of native kernels: all that a chip computes in a layer, in one call.

They exist where kernels are native (firmware/kernel_choice.py). The machine code of a native
kernel has, behind its first four bytes, a core that takes the address of its arguments as 32-bit
words. A program is a list of calls of such cores, with their arguments. `run_program` fills in the
arguments that differ between layers and positions, and makes the calls one after another. The
result is that of firmware/compute/attention.py and feed_forward.py, which call each kernel from
bytecode.
"""

import gc
import sys
from array import array

import micropython
from uctypes import addressof

from protocol.compat import const
from protocol.message_types import STATISTICS
from protocol.messages import LOGITS_DATA

_CORE = const(4)  # bytes of machine code before a kernel's core
# Bytes of heap that must be free: for programs and making them, firmware/node.py and transient
# objects; for each layer; and in each layer for each slot, where there are several.
_ROOM = const(16_384)
_LAYER_ROOM = const(320)
_SLOT_ROOM = const(112)
# Bytes that passes of several positions take besides their kernels and buffers, and the most
# positions for which there are buffers.
_PASSES_ROOM = const(5_000)
_PASS = const(4)
_IN_BLOCKS = "no programs: weights are read in blocks"
# The arguments that run_program fills in at each run. All others are attributes of a layer;
# "gating 1" is the element 1 of its attribute `gating`.
_GIVEN = ("position", "seen", "out")


@micropython.viper
def run_program(program: ptr32, values: ptr32, position: int, out: ptr32):
    """Runs a program at a position. It exists in machine code only: there is no viper twin.

    program: the number of words to fill in; for each its address, and the offset in bytes of its
    value in `values`; then the calls, each a core's address, the bytes of its arguments, and the
    arguments; then 0. values: position, position + 1 and out, which this function sets, then the
    layer's values.
    """


@micropython.viper
def _code(function: int) -> int:
    """Returns the address of a function's machine code; function: its id (mp_obj_fun_bc_t)."""
    return ptr32(function)[3]


def core(function):
    """Returns the address of a native kernel's core."""
    return _code(id(function)) + _CORE


def make_program(calls, names):
    """Returns the program, array("I"), that makes calls (function, arguments) in order.

    An argument is an integer, a buffer, or one of `names`: then it is filled in at each run, from
    the element of `values` at the name's index.
    """
    words, filled = [], []
    for function, arguments in calls:
        words += [core(function), 4 * len(arguments)]
        for argument in arguments:
            if isinstance(argument, str):
                filled.append((len(words), 4 * names.index(argument)))
                argument = 0
            elif not isinstance(argument, int):
                argument = addressof(argument)
            words.append(argument)
    words.append(0)
    begin = 1 + 2 * len(filled)
    program = array("I", [0] * (begin + len(words)))
    program[0] = len(filled)
    for i, (place, offset) in enumerate(filled):
        program[1 + 2 * i] = addressof(program) + 4 * (begin + place)
        program[2 + 2 * i] = offset
    for i, word in enumerate(words):
        program[begin + i] = word & 0xFFFFFFFF
    return program


def layer_values(layer, names):
    """Returns the values of a layer for `names`, array("I"); those of _GIVEN are 0 as yet."""
    values = array("I", [0] * len(names))
    for i, name in enumerate(names):
        if name not in _GIVEN:
            name, _, place = name.partition(" ")
            value = getattr(layer, name)
            if place:
                value = value[int(place)]
            values[i] = value if isinstance(value, int) else addressof(value)
    return values


def products(model, index, linear, y, rows):
    """Returns the calls that multiply with a matrix, into y [rows].

    index: its number in a layer, -1 for the vocabulary's; linear: the blocks of its Linear.
    """
    if model.blocks:
        return model.blocks.products(index, linear, y, rows)
    weights = "weights" if index >= 0 else model.vocabulary._weights
    return [(matvec, (weights, 0, y, x, rows, at)) for matvec, at, x in linear]


def _attention(model):
    """Returns the kernel calls of Attention.run."""
    part = model.attention
    rows, kv, _, _, means = part._buffers
    dim, _, _, row_count, _, _, _ = part._sizes
    calls = products(model, 0, part._qkv, rows, row_count)
    calls += attention_calls(part, rows, kv, means)
    return calls + products(model, 1, part._o, "out", dim)


def attention_calls(part, rows, kv, means):
    """Returns the calls between the products; rows: q, k and v; kv: k and v alone; means: gets the
    heads' means."""
    rope_row, rescale, rotate, cache_rows, attend = part._kernels
    _, head_dim, pairs, _, heads, kv_heads, context = part._sizes
    _, _, row, scores, _ = part._buffers
    exp_table, rope_table, first = part._tables
    return [
        (rope_row, (rope_table, 0, "position", row, pairs)),
        (rescale, (rows, 0, "weights", 0, "qkv_scales", 3)),
        (rotate, (rows, 0, row, pairs, "qkv_scales", 2)),
        (cache_rows, (kv, "keys", "values", "position", kv_heads, head_dim, context, "key_zero")),
        (attend, (0, 0, "keys", "values", first, heads, rows, means, scores, exp_table, "seen",
                  "score_shift")),
    ]  # fmt: skip


def _feed_forward(model):
    """Returns the kernel calls of FeedForward.run."""
    part = model.feed_forward
    dim, units, _ = part._sizes
    rows, gates, up, _ = part._buffers
    calls = products(model, 2, part._gate_up, rows, 2 * units)
    calls += feed_forward_calls(part, rows, gates, up)
    return calls + products(model, 3, part._down, "out", dim)


def feed_forward_calls(part, rows, gates, up):
    """Returns the calls between the products; rows: gates, then up, as one buffer."""
    rescale, gate = part._kernels
    _, units, multipliers_at = part._sizes
    _, _, _, table = part._buffers
    return [
        (rescale, (rows, 0, "weights", multipliers_at, "gate_up_scales", 2)),
        (gate, (gates, 0, up, table, units, "gating 0", "gating 1", "gating 2")),
    ]


def scoring_program(model, answer=None):
    """Returns the program that computes the logits of workspace.x, as Vocabulary.run does, and
    writes them into the frame buffer `answer`, if it is given."""
    vocabulary = model.vocabulary
    logits, weights, kernels = vocabulary.logits, vocabulary._weights, vocabulary._kernels
    rows = len(logits)
    calls = products(model, -1, vocabulary._classifier.blocks, logits, rows)
    calls.append((kernels.rescale, (logits, 0, weights, 0, vocabulary._scale, 1)))
    if answer:
        calls.append((kernels.store_int16s, (logits, 0, LOGITS_DATA, answer, rows)))
    return make_program(calls, ())


def _names(calls):
    """Returns the names among the arguments of calls, those of _GIVEN first."""
    names = list(_GIVEN)
    for _, arguments in calls:
        names += [name for name in arguments if isinstance(name, str) and name not in names]
    return names


def slots_of(model):
    """Returns for each slot its positions array, and an array of the layers' value addresses."""
    slots = []
    for index, (_, positions) in enumerate(model.cache._slots):
        places = array("I", [0] * len(model.layers))
        for i, layer in enumerate(model.layers):
            layer.select(index)
            values = getattr(layer, "attention_values", None)  # none where there is no program
            places[i] = values and addressof(values) or 0
        slots.append((positions, places))
    return slots


def count_frames(node, counts):
    """Adds the frames that machine code handled to what STATISTICS reports.

    counts: its counters, array of frames received, bytes received, frames sent, bytes sent.
    """
    outbox, handlers = node.outbox, node.role.handlers
    on_statistics = handlers[STATISTICS]

    def with_native(frame, length):
        node._received += counts[0]
        node._bytes_received += counts[1]
        outbox.sent += counts[2]
        outbox.bytes_sent += counts[3]
        for i in range(4):
            counts[i] = 0
        on_statistics(frame, length)

    for i in range(4):
        counts[i] = 0
    handlers[STATISTICS] = with_native


class Programs:
    """The programs that do what Attention.run and FeedForward.run do.

    attention, feed_forward: a program each, None where the chip has no such part.
    """

    def __init__(self, model):
        """Makes the programs, and gives each layer its `attention_values` and
        `feed_forward_values`; the former differ between slots, which have other caches."""
        layers = model.layers
        self.attention = self.feed_forward = None
        self.names = [(), ()]  # the names that are filled into each of the two
        if model.attention:
            calls = _attention(model)
            names = _names(calls)
            self.names[0] = names
            self.attention = make_program(calls, names)
            for layer in layers:
                caches = layer.caches
                for i in range(len(caches) if caches else 1):
                    layer.select(i)
                    layer.attention_values = values = layer_values(layer, names)
                    if caches:
                        caches[i] = layer.keys, layer.values, values
                layer.select(0)
        if model.feed_forward:
            calls = _feed_forward(model)
            names = _names(calls)
            self.names[1] = names
            self.feed_forward = make_program(calls, names)
            for layer in layers:
                layer.feed_forward_values = layer_values(layer, names)

    @micropython.native
    def attend(self, layer, position, out):
        """Does what Attention.run does."""
        run_program(self.attention, layer.attention_values, position, out)

    @micropython.native
    def feed(self, layer, out):
        """Does what FeedForward.run does."""
        run_program(self.feed_forward, layer.feed_forward_values, 0, out)


def _passes(model, programs, load):
    """Returns the Passes of a chip whose requests hold several positions and that has the heap for
    them, else None.

    load(room): returns the module of their kernels, if its file has at most `room` bytes, and the
    class Passes.
    """
    workspace = model.workspace
    integers = len(workspace.x) + len(workspace.rows) + len(workspace.heads)
    gc.collect()
    room = gc.mem_free() - _ROOM - _PASSES_ROOM - 4 * _PASS * integers
    loaded = load(room)
    if not loaded:
        return None
    kernels, make_passes = loaded
    counts = [count for count in kernels.COUNTS if count <= len(workspace.out)]
    load_int16s = sys.modules["firmware.compute.kernels"].load_int16s
    return make_passes(programs, model, counts, kernels.MATMUL, load_int16s) if counts else None


def _why_not(model, placed):
    """Returns "" if there can be programs, else why not; makes a Placed of the model's Blocks."""
    layers = model.layers
    room = _LAYER_ROOM + _SLOT_ROOM * len(layers[0].caches or ())
    gc.collect()
    if gc.mem_free() < _ROOM + room * len(layers):
        return "no room for programs"
    if model.blocks:
        if not model.blocks.kernels:
            return _IN_BLOCKS
        model.blocks = placed.Placed(model)
    return ""


def _install(role, model, programs):
    """Has a chip run programs."""
    if model.attention:
        model.attention.run = programs.attend
    if model.feed_forward:
        model.feed_forward.run = programs.feed
    if hasattr(role, "answer"):  # it keeps references to the functions replaced here
        role.all = programs.passes or role.all
        role._attend = model.attention and programs.attend
        role._feed_forward = model.feed_forward and programs.feed


def start(node, load_passes=None):
    """Makes a node's chip run programs, and exchange or answer natively where it can.

    Returns "", or why it runs no programs: then this module and those that need it are unloaded,
    unless bytecode computes between native exchanges (exchange_blocks.py). load_passes: the `load`
    of _passes; None for a chip without passes.
    """
    role = node.role
    model = role.model if hasattr(role, "model") else role.step.model
    placed = sys.modules.get("firmware.compute.placed")
    why = _why_not(model, placed)
    programs = None if why else Programs(model)
    if programs and model.blocks and not placed.is_right(model, programs):
        why = "programs are wrong"
        programs = None
    in_blocks = why == _IN_BLOCKS and not hasattr(role, "handover")
    in_blocks = in_blocks and "firmware.compute.exchange" in sys.modules
    if why:
        model.blocks = None
        for name in (
            "placed", "serve", "program", "exchange", "exchange_stage", "exchange_line",
        )[: 2 if in_blocks else 6]:  # fmt: skip
            if sys.modules.pop("firmware.compute." + name, None):
                delattr(sys.modules["firmware.compute"], name)
        if not in_blocks:
            return why
    if programs:
        programs.passes = load_passes and _passes(model, programs, load_passes)
        del programs.names
        _install(role, model, programs)
    for name in ("serve", "exchange"):
        module = sys.modules.get("firmware.compute." + name)
        if module:
            module.install(node, programs)
    model.blocks = None
    if programs and (hasattr(node, "exchanging") or hasattr(role, "answer") and programs.passes):
        model.all = None  # several positions are not computed in bytecode any more
    for name in (
        "start", "_why_not", "_install", "products", "make_program", "layer_values", "_attention",
        "_feed_forward", "_names", "_passes", "attention_calls", "feed_forward_calls", "slots_of",
        "count_frames", "scoring_program",
    ):  # fmt: skip
        globals().pop(name)  # what is not needed again gives its heap back
    return why
