"""Takes in contributions of other chips, and computes this chip's next one, in machine code.

Where kernels are native, one native call does for a CONTRIBUTION what firmware/node.py,
protocol/auth.py, protocol/collective.py and firmware/roles/step.py do one after another: it
verifies the frame and adds its elements to the sum; when the sum is complete, it adds that to the
residual stream, computes this chip's partial sums of the next phase, and writes the frame that
contributes them, which bytecode sends. Everything else is left untouched for these modules: STEPs,
answers, repairs, pieces that came before, malformed frames, sums too long for a frame. At each
start `exchange` must produce the same as they do, or it is not used.
"""

import sys
from array import array
from binascii import crc32

import micropython
from uctypes import addressof

from firmware.compute.program import core, count_frames, run_program, slots_of
from protocol import bitpack, frame_check, sums
from protocol.bitunpack import add_unpacked
from protocol.compat import const
from protocol.fields import put_u16
from protocol.frame import HEADER_SIZE, SRC, TRAILER_SIZE, VERSION, append_trailer
from protocol.messages import COUNT, LAYER, SEQUENCE_ID, STEP_BITS, STEP_DATA
from protocol.shard_layout import (
    ATTENTION_GAIN,
    DOWN_MULTIPLIERS,
    FEED_FORWARD_GAIN,
    O_MULTIPLIERS,
)

# The words of the block; host/build/machine_code/exchange_words.py reads this table.
_WORDS = (
    "received", "bytes_received", "sent", "bytes_sent", "member_of", "state", "frame", "place",
    "places", "phases", "residual", "x", "out", "dim", "layers", "capacity", "members", "me",
    "passes", "bits", "chip", "version", "table", "states", "constants", "highest", "seen",
    "counter", "total", "own", "round", "total_1", "own_1", "round_1", "spare", "spare_1",
    "spare_2", "check_frame", "add_unpacked", "add_rescaled", "norm", "run_program", "contribute",
    "_clear", "bits_needed", "pack", "put_crc32", "authenticate",
)  # fmt: skip
# What `exchange` returns besides lengths of frames.
_OTHER = const(-1)
_PIECES = const(-3)
_ENTER = const(-1)  # given in place of a frame's length: begin a step
_PHASE_WORDS = const(8)
_PLACE_WORDS = const(3)
_TRIED = const(0x5A5A)  # the sequence id of the trial at start, which no host has begun yet


@micropython.viper
def exchange(block: ptr32, frame: ptr8, length: int) -> int:
    """Takes in a frame of `length` bytes, 0 for none, and goes on with the step.

    Returns the bytes of this chip's next frame, 0 if there is nothing to send, or a code from
    above. It exists in machine code only, made by host/build/machine_code/exchange.py.
    """
    return -1


class _Received:
    """Stands for a node's link, and holds the one frame that `exchange` has left to the node."""

    frame = None
    length = 0

    def receive(self):
        """Returns the frame's length, as a link's `receive` does; 0 once it was taken."""
        length, self.length = self.length, 0
        return length


def _exchanging(node, block, due):
    """Returns a `poll` for the node that tries `exchange` first; due: as in `install`."""
    role, link, received = node.role, node.outbox.link, _Received()
    node._polled = (received,) + node._polled[1:]
    # In one tuple, for the reason given in firmware/compute/serve.py.
    parts = link, role, block, received, node._poll, due, role.proceed

    @micropython.native
    def exchanged():
        link, role, block, received, poll, due, proceed = parts
        length = link.receive()
        if not length:
            role.on_idle()
            return False
        frame = link.frame
        size = exchange(block, frame, length)
        if size == _OTHER:
            received.frame, received.length = frame, length
            return poll()
        if size:
            due[0] = size
            proceed()
        return True

    return role.timed(exchanged)


def install(node, programs):
    """Makes a node whose chip keeps the residual stream use `exchange`, if it proves right."""
    role, outbox = node.role, node.outbox
    step = role.step
    if not step.collective.is_narrow:
        return
    if outbox.signer and "protocol.hmac_pointers" not in sys.modules:
        return
    block, places, slots, held = _block(role, programs)
    due = [0]  # what exchange returned for a frame that came; `advance` reads it
    ways = _Usual(step), _Native(step, outbox, block, places, slots, due)
    passes = programs.passes
    rows = 1, passes.words[0] if passes else 1
    digests = [[_digest(role, way, count) for count in rows] for way in ways]
    if digests[0] == digests[1]:
        step.advance, step._contribute = ways[1].advance, ways[1].contribute
        node.poll = _exchanging(node, block, due)
        count_frames(node, memoryview(block)[:4])
        node.exchanging = held  # a reference: the block has only their addresses
    for name in (
        "_block", "_phases", "_Usual", "_digest", "_step_frame", "_exchanging", "_Received",
        "_WORDS", "install",
    ):  # fmt: skip
        globals().pop(name)  # frees the heap of what is not needed again


class _Usual:
    """How a step goes on without machine code, for comparison."""

    def __init__(self, step):
        self.advance, self.contribute = step.advance, step._contribute
        self._collective = step.collective

    def take(self, frame, size):
        """Takes in another member's frame of `size` bytes; returns whether the step has ended."""
        size -= HEADER_SIZE + TRAILER_SIZE[frame[VERSION]]
        return self._collective.take(frame, size) and self.advance()


class _Native:
    """Replaces a step's `advance` and `_contribute` by ones that call `exchange`."""

    def __init__(self, step, outbox, block, places, slots, due):
        self._parts = block, step.collective._frame, due, step.advance
        self._rows = step, places, slots
        self._outbox, self._collective = outbox, step.collective

    def contribute(self):
        """Computes and sends the partial sums of a step's first phase."""
        step, places, slots = self._rows
        cache, rows, at = step.model.cache, step._rows, 0
        for i in range(step.place[2]):
            cache.select(rows[2 * i])
            _, _, positions, values = slots[cache.index]
            places[at], places[at + 1], places[at + 2] = rows[2 * i + 1], positions, values
            at += 3
        block, own, _, _ = self._parts
        self._send(exchange(block, own, _ENTER))

    def _send(self, size):
        if size > 0:
            self._outbox._broadcast(self._collective._frame, size)
        elif size == _PIECES:
            self._collective.send_pieces()

    def advance(self):
        """Goes on with the step, as Step.advance does; returns whether it has ended."""
        block, own, due, finish = self._parts
        size = due[0] or exchange(block, own, 0)
        due[0] = 0
        while size > 0 or size == _PIECES:
            self._send(size)
            size = exchange(block, own, 0)
        return finish() if size else False

    def take(self, frame, size):
        """Takes in another member's frame of `size` bytes; returns whether the step has ended.

        Raises RuntimeError if `exchange` does not take it.
        """
        block, _, due, _ = self._parts
        due[0] = exchange(block, frame, size)
        if due[0] == _OTHER:
            due[0] = 0
            raise RuntimeError("exchange takes no contribution")
        return due[0] and self.advance()


def _block(role, programs):
    """Returns the block, the words that exchange reads: array("I"), and what it points at.

    These are the places of positions; for each slot its positions, values, and their addresses;
    and objects that nothing else refers to.
    """
    outbox, step = role.outbox, role.step
    model, residual, collective = step.model, step.residual, step.collective
    norms = sys.modules["firmware.compute.norms"]
    phases = _phases(step, programs)
    places = array("I", [0] * (_PLACE_WORDS * residual.positions))
    slots = [
        (positions, values, addressof(positions), addressof(values))
        for positions, values in slots_of(model)
    ]
    signer = outbox.signer and outbox.signer._signer
    signing = sys.modules.get("protocol.hmac_pointers")
    words = {
        "member_of": collective._member_of, "state": collective.state,
        "frame": collective._frame, "place": step.place, "places": places, "phases": phases,
        "residual": residual.values, "x": model.workspace.x, "out": model.workspace.results,
        "dim": residual.dim, "layers": len(model.layers), "capacity": collective._capacity,
        "passes": programs.passes and programs.passes.words,
        "members": len(collective._members), "me": collective._me, "bits": collective._bits,
        "chip": outbox.chip_id, "version": outbox.version,
        "add_unpacked": core(add_unpacked), "add_rescaled": core(norms.add_rescaled),
        "norm": core(norms.norm), "run_program": core(run_program),
        "contribute": core(sums.contribute), "_clear": core(sums._clear),
        "bits_needed": core(bitpack.bits_needed), "pack": core(bitpack.pack),
    }  # fmt: skip
    for suffix, each in zip(("", "_1"), collective._rounds):
        for name, value in (("total", each.total), ("own", each.own), ("round", each.state)):
            words[name + suffix] = value
    if signer:
        words.update({
            "states": signer._mac._states, "constants": signing.TABLE,
            "highest": signer._highest, "seen": signer._seen,
            "counter": memoryview(signer._highest)[len(signer._highest) - 1 :],
            "authenticate": core(signing.authenticate),
        })  # fmt: skip
    else:
        words.update({
            "table": frame_check._TABLE, "check_frame": core(frame_check.check_frame),
            "put_crc32": core(frame_check.put_crc32),
        })  # fmt: skip
    block = array("I", [0] * len(_WORDS))
    for i, name in enumerate(_WORDS):
        word = words.get(name) or 0
        block[i] = word & 0xFFFFFFFF if isinstance(word, int) else addressof(word)
    return block, places, slots, (places, phases, words["counter"] if signer else None)


def _phases(step, programs):
    """Returns the words of each phase, _PHASE_WORDS each.

    These are the address of its sum's multipliers, and the shift; the address of the gain of the
    norm before it, and the norm's three numbers; its program, 0 if this chip has none; and the
    program's values, 0 if each row has its own.
    """
    model, dim = step.model, step.residual.dim
    phases = array("I", [0] * (2 * _PHASE_WORDS * len(model.layers)))
    at = 0
    for layer in model.layers:
        begin = addressof(layer.norms)
        attention = programs.attention if model.attention else None
        feed_forward = programs.feed_forward if model.feed_forward else None
        for multipliers, shift, gain, norm, program, values in (
            (O_MULTIPLIERS, layer.o_shift, ATTENTION_GAIN, layer.attention_norm, attention, None),
            (DOWN_MULTIPLIERS, layer.down_shift, FEED_FORWARD_GAIN, layer.feed_forward_norm,
             feed_forward, feed_forward and layer.feed_forward_values),
        ):  # fmt: skip
            words = (
                begin + 2 * multipliers * dim, shift, begin + 2 * gain * dim, norm[0], norm[1],
                norm[2], program and addressof(program), values and addressof(values),
            )  # fmt: skip
            for word in words:
                phases[at] = word or 0
                at += 1
    return phases


def _digest(role, way, rows):
    """Runs a step of `rows` positions in which the other members contribute what this chip does.

    way: a _Usual or _Native. Returns the CRC-32 of all frames sent and of the final residual
    stream, or -1 if a contribution was refused.
    """
    step, outbox = role.step, role.outbox
    version, signer = outbox.version, outbox.signer and outbox.signer._signer
    others = [chip for chip in step.collective._members if chip != outbox.chip_id]
    broadcast, sent, total = outbox._broadcast, [], 0
    outbox._broadcast = lambda frame, size: sent.append(bytearray(memoryview(frame)[:size]))
    step.advance, step._contribute = way.advance, way.contribute
    if signer:
        signer.begin(b"")
        outbox.signer.session = signer  # before the first session nothing else would be signed
    step.forget()
    try:
        request, length = _step_frame(step, rows)
        step.begin(request, length, _TRIED, 3)
        finished = not others and step.advance()
        while not finished:
            frames = list(sent)
            sent.clear()
            for frame in frames:
                total = crc32(frame, total)
            for chip in others:
                for frame in frames:
                    frame[SRC] = chip
                    length = len(frame) - HEADER_SIZE - TRAILER_SIZE[version]
                    finished = way.take(frame, append_trailer(frame, length, signer))
        return crc32(step.residual.values[: rows * step.residual.dim], total)
    except RuntimeError:
        return -1
    finally:
        del step.advance, step._contribute
        outbox._broadcast = broadcast
        step.forget()
        if signer:
            signer.begin(b"")
            outbox.signer.session = None


def _step_frame(step, rows):
    """Returns a STEP frame for positions from 0 on, with 8 bits an element, and its payload's
    length."""
    size = rows * step.residual.dim
    frame = bytearray(STEP_DATA + size)
    put_u16(frame, SEQUENCE_ID, _TRIED)
    frame[LAYER], frame[COUNT], frame[STEP_BITS] = step.first_layer, rows, 8
    for i in range(size):
        frame[STEP_DATA + i] = i * 37 & 255
    return frame, STEP_DATA + size - HEADER_SIZE
