"""Adds up partial sums with other chips without bytecode between a contribution and one's own.

Where kernels are native, one native call does what firmware/node.py, protocol/auth.py,
protocol/collective.py and firmware/roles/step.py do one after another for a CONTRIBUTION that
brings what is missing: it verifies the frame, adds its elements to the sum and, where that is now
whole, adds it to the residual stream, computes this chip's sums of the next phase and writes the
frame that contributes them, which bytecode sends. All else goes their way: STEPs, answers,
repairs, pieces that came before, what contradicts itself, sums too long for a frame. `exchange`
leaves it as it found it. At each start it has to write what they do.
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

# The words of the block, which host/build/machine_code/exchange_words.py reads here.
_WORDS = (
    "received", "bytes_received", "sent", "bytes_sent", "member_of", "state", "frame", "place",
    "places", "phases", "residual", "x", "out", "dim", "layers", "capacity", "members", "me",
    "passes", "bits", "chip", "version", "table", "states", "constants", "highest", "seen",
    "counter", "total", "own", "round", "total_1", "own_1", "round_1", "spare", "spare_1",
    "spare_2", "check_frame", "add_unpacked", "add_rescaled", "norm", "run_program", "contribute",
    "_clear", "bits_needed", "pack", "put_crc32", "authenticate",
)  # fmt: skip
# What exchange gives beside lengths of frames.
_OTHER = const(-1)
_PIECES = const(-3)
_ENTER = const(-1)  # in the place of a frame's length
_PHASE_WORDS = const(8)
_PLACE_WORDS = const(3)
_TRIED = const(0x5A5A)  # a sequence that no host has begun yet


@micropython.viper
def exchange(block: ptr32, frame: ptr8, length: int) -> int:
    """Takes in a frame of so many bytes, if any, and goes on; as machine_code/exchange.py has it.
    Machine code alone does: there is no viper twin."""
    return -1


class _Received:
    """Has in the place of a node's link the one frame that is not taken in here."""

    frame = None
    length = 0

    def receive(self):
        """As a link's."""
        length, self.length = self.length, 0
        return length


def _exchanging(node, block, due):
    """The node's poll with exchange before it."""
    role, link, received = node.role, node.outbox.link, _Received()
    node._polled = (received,) + node._polled[1:]
    # Together, for the reason that firmware/compute/serve.py gives.
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
    """Has a node whose chip keeps the residual stream exchange natively."""
    role, outbox = node.role, node.outbox
    step = role.step
    if not step.collective.is_narrow:
        return
    if outbox.signer and "protocol.hmac_pointers" not in sys.modules:
        return
    block, places, slots, held = _block(role, programs)
    due = [0]  # what exchange gave a frame that came, for `advance`
    ways = _Usual(step), _Native(step, outbox, block, places, slots, due)
    passes = programs.passes
    rows = 1, passes.words[0] if passes else 1
    digests = [[_digest(role, way, count) for count in rows] for way in ways]
    if digests[0] == digests[1]:
        step.advance, step._contribute = ways[1].advance, ways[1].contribute
        node.poll = _exchanging(node, block, due)
        count_frames(node, memoryview(block)[:4])
        node.exchanging = held  # to which the block has but addresses
    for name in (
        "_block", "_phases", "_Usual", "_digest", "_step_frame", "_exchanging", "_Received",
        "_WORDS", "install",
    ):  # fmt: skip
        globals().pop(name)  # what is not needed again gives its heap back


class _Usual:
    """A step's way without machine code."""

    def __init__(self, step):
        self.advance, self.contribute = step.advance, step._contribute
        self._collective = step.collective

    def take(self, frame, size):
        """Takes in a frame of another member; whether the step has come to its end."""
        size -= HEADER_SIZE + TRAILER_SIZE[frame[VERSION]]
        return self._collective.take(frame, size) and self.advance()


class _Native:
    """What takes the places of a step's `advance` and `_contribute`."""

    def __init__(self, step, outbox, block, places, slots, due):
        self._parts = block, step.collective._frame, due, step.advance
        self._rows = step, places, slots
        self._outbox, self._collective = outbox, step.collective

    def contribute(self):
        """Computes and sends the sums of the phase that a step begins with."""
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
        """As Step.advance."""
        block, own, due, finish = self._parts
        size = due[0] or exchange(block, own, 0)
        due[0] = 0
        while size > 0 or size == _PIECES:
            self._send(size)
            size = exchange(block, own, 0)
        return finish() if size else False

    def take(self, frame, size):
        """As _Usual.take."""
        block, _, due, _ = self._parts
        due[0] = exchange(block, frame, size)
        if due[0] == _OTHER:
            due[0] = 0
            raise RuntimeError("exchange takes no contribution")
        return due[0] and self.advance()


def _block(role, programs):
    """The words that exchange reads, and what they point at."""
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
    """The words of each phase: where the multipliers of its sum lie, and its shift; the gain of
    the norm before it, and the norm's numbers; its program, 0 where this chip has none; and its
    values, where they are not a row's own."""
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
    """That of all that a step of so many rows sends, and of the residual stream in the end, where
    the others' contributions are the chip's own; -1 where they are not taken."""
    step, outbox = role.step, role.outbox
    version, signer = outbox.version, outbox.signer and outbox.signer._signer
    others = [chip for chip in step.collective._members if chip != outbox.chip_id]
    broadcast, sent, total = outbox._broadcast, [], 0
    outbox._broadcast = lambda frame, size: sent.append(bytearray(memoryview(frame)[:size]))
    step.advance, step._contribute = way.advance, way.contribute
    if signer:
        signer.begin(b"")
        outbox.signer.session = signer  # or nothing would be signed before the first session
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
    """A STEP for positions from 0 on, and its payload's length; its residual stream has 8 bits."""
    size = rows * step.residual.dim
    frame = bytearray(STEP_DATA + size)
    put_u16(frame, SEQUENCE_ID, _TRIED)
    frame[LAYER], frame[COUNT], frame[STEP_BITS] = step.first_layer, rows, 8
    for i in range(size):
        frame[STEP_DATA + i] = i * 37 & 255
    return frame, STEP_DATA + size - HEADER_SIZE
