"""Proves at each start that a stage in machine code sends what firmware/roles/pipeline.py does.

STEPs of a sequence that no host has begun are taken through both, with all contributions and
acknowledgements, frame by frame; what the stage knows in the end is compared too. This module
leaves the heap when that is done.
"""

from array import array
from binascii import crc32

from firmware.compute.results import OTHER
from protocol.cobs import decode, encode, encoded_size
from protocol.compat import const
from protocol.fields import put_u16
from protocol.frame import BROADCAST, HEADER_SIZE, HOST, LENGTH, TRAILER_SIZE, TYPE, seal
from protocol.message_types import ACK, CONTRIBUTION, STEP
from protocol.messages import (
    ACK_SIZE,
    COUNT,
    LAYER,
    POSITION,
    SEQUENCE_ID,
    STEP_BITS,
    STEP_DATA,
    STEP_NUMBER,
    STEP_WANTS,
    WANTS_BEST,
    WANTS_LOGITS,
    WANTS_NOTHING,
)

_TRIED = const(0x5A5A)  # a sequence that no host has begun yet
# Words of firmware/roles/handover.py.
_HANDED = const(3)
_BEGUN = const(7)


def is_right(role, native, line, several, gives_logits):
    """Whether a stage goes the usual way.

    native: what firmware/compute/exchange.py puts in its place; line: the module of serial lines,
    if this chip has one; several: rows of the largest pass; gives_logits: whether answers have
    logits.
    """
    scores = WANTS_LOGITS if gives_logits else WANTS_BEST
    steps = [(1, WANTS_BEST), (1, scores), (1, WANTS_NOTHING)]
    if several > 1:
        steps.append((several, WANTS_BEST))
    ways = [_Way(role, native), _Native(role, native)]
    if line:
        ways.append(_OnLine(role, native, line.take_line))
    try:
        digests = [_digest(role, way, steps) for way in ways]
    except RuntimeError:
        return False
    return all(digest == digests[0] for digest in digests)


class _Way:
    """A stage's way without machine code. sent: frames that it has sent, without trailers."""

    def __init__(self, role, native):
        self.role, self._native = role, native
        self.advance, self.contribute = role.step.advance, role.step._contribute

    def take(self, frame, size):
        """Takes in a frame of so many bytes."""
        length = frame[LENGTH] | frame[LENGTH + 1] << 8
        self.role.handlers[frame[TYPE]](frame, length)


class _Native(_Way):
    """The way of `stage`; a STEP of several positions begins as ever."""

    def __init__(self, role, native):
        super().__init__(role, native)
        self._usual = super().take
        self.advance, self.contribute = native.advance, native.contribute

    def take(self, frame, size):
        """As _Way.take."""
        native = self._native
        size = native.run(native.block, frame, size)
        if size == OTHER:
            self._leave(frame)
        elif size:
            native.due[0] = size
            native.proceed()

    def _leave(self, frame):
        if frame[TYPE] != STEP or frame[COUNT] == 1:
            raise RuntimeError("stage does not take this frame")
        self._usual(frame, 0)


class _OnLine(_Native):
    """The same way, from and to a serial line."""

    def __init__(self, role, native, take_line):
        super().__init__(role, native)
        self._take_line = take_line

    def take(self, frame, size):
        """As _Way.take."""
        data, coded = self.role.outbox.link._reading[1], bytearray(encoded_size(size))
        size = encode(frame, coded, size, 0)
        for at in range(0, size, len(data)):
            count = min(size - at, len(data))
            data[:count] = coded[at : at + count]
            self._take(frame, count)

    def _take(self, frame, count):
        native, link = self._native, self.role.outbox.link
        got = self._take_line(native.block, count)
        while got:
            if got > 0:
                made = bytearray(got)
                size = decode(link._encoded, made, array("i", [0] * 4), got, got)
                self.role.outbox._broadcast(made, size)
            elif got == OTHER:
                state = link._reading[3]
                state[0] = state[1] = state[2] = state[3] = 0
                self._leave(frame)
                return
            else:
                self.role.proceed()
            got = self._take_line(native.block, count)


def _digest(role, way, steps):
    """That of all that a stage sends and knows when it has taken steps of so many rows that want
    something, where the others' contributions are its own."""
    step, outbox, handover = role.step, role.outbox, role.handover
    signer = outbox.signer and outbox.signer._signer
    send, broadcast, sent, total = outbox._send, outbox._broadcast, [], 0
    outbox._send = outbox._broadcast = lambda frame, size: sent.append(
        bytearray(memoryview(frame)[:size])
    )
    step.advance, step._contribute = way.advance, way.contribute
    if signer:
        signer.begin(b"")
        outbox.signer.session = signer  # or nothing would be signed before the first session
    _forget(role)
    try:
        step.collective.start(0, 2 * len(step.model.layers))
        step.model.cache.select(_TRIED)
        way._native.follow()
        position = 0
        for at, (rows, wants) in enumerate(steps):
            number = at + 1
            frame, length = _step_frame(step, rows, position, wants, number)
            source = (1 if outbox.chip_id == 0 else 0) if at & 1 else HOST
            _come(way, frame, STEP, source, number, length, signer)
            position += rows
            while True:
                for frame in sent:
                    total = crc32(frame, total)
                frames = [frame for frame in sent if frame[TYPE] == CONTRIBUTION]
                sent.clear()
                if step.is_idle() or not frames:
                    break
                _contribute(way, frames, signer)
            for receiver in handover.receivers if handover.is_pending() else ():
                frame = bytearray(HEADER_SIZE + ACK_SIZE + TRAILER_SIZE[3])
                _come(way, frame, ACK, receiver, number, ACK_SIZE, signer)
        handover.state[_HANDED] = handover.state[_BEGUN] = 0  # which only machine code notes
        total = crc32(handover.state, total)
        return crc32(step.residual.values[: rows * step.residual.dim], total)
    finally:
        del step.advance, step._contribute
        outbox._send, outbox._broadcast = send, broadcast
        _forget(role)
        way._native.follow()
        if signer:
            outbox.signer.session = None
            signer.begin(b"")


def _forget(role):
    """Leaves nothing of a step, nor what came of it."""
    role.forget()
    role.outbox.clear_answer()


def _come(way, frame, kind, source, number, length, signer):
    """Has a frame of `length` bytes of payload come from a chip or the host."""
    version = way.role.outbox.version
    way.take(frame, seal(frame, version, kind, source, BROADCAST, number, length, signer))


def _contribute(way, frames, signer):
    """Has all other members of the group contribute the same."""
    outbox = way.role.outbox
    for chip in way.role.step.collective._members:
        for frame in frames if chip != outbox.chip_id else ():
            length, number = frame[LENGTH] | frame[LENGTH + 1] << 8, frame[4] | frame[5] << 8
            _come(way, frame, CONTRIBUTION, chip, number, length, signer)


def _step_frame(step, rows, position, wants, number):
    """A STEP of so many positions without its header, and its payload's length; its residual
    stream has 8 bits."""
    size = rows * step.residual.dim
    frame = bytearray(STEP_DATA + size + TRAILER_SIZE[3])
    put_u16(frame, SEQUENCE_ID, _TRIED)
    put_u16(frame, POSITION, position)
    put_u16(frame, STEP_NUMBER, number)
    frame[LAYER], frame[COUNT], frame[STEP_BITS] = step.first_layer, rows, 8
    frame[STEP_WANTS] = wants
    for i in range(size):
        frame[STEP_DATA + i] = i * 37 & 255
    return frame, STEP_DATA + size - HEADER_SIZE
