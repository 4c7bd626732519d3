"""Proves at each start that exchanges in machine code send what a chip's other way does.

A step of a sequence that no host has begun is taken through both, frame by frame: its answer and
the residual stream in the end are compared too. This module leaves the heap when that is done.
"""

from array import array
from binascii import crc32

from firmware.compute.results import OTHER, PIECES
from protocol.cobs import decode, encode, encoded_size
from protocol.compat import const
from protocol.fields import put_u16, u16
from protocol.frame import (
    BROADCAST,
    HEADER_SIZE,
    HOST,
    LENGTH,
    SRC,
    TRAILER_SIZE,
    TYPE,
    VERSION,
    append_trailer,
    seal,
)
from protocol.message_types import CONTRIBUTION, STEP
from protocol.messages import (
    COUNT,
    LAYER,
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
_NUMBER = const(3)  # of its first collective


def is_right(role, native, line, several, gives_logits):
    """Whether exchange goes the usual way.

    native: what firmware/compute/exchange.py puts in its place; line: the module of serial lines,
    if this chip has one; several: rows of the largest pass; gives_logits: whether answers have
    logits.
    """
    ways = [_Usual(role), _Native(role, native, native.run)]
    if line:
        ways.append(_OnLine(role, native, line.take_line))
    steps = [(1, WANTS_LOGITS if gives_logits else WANTS_NOTHING)]
    if native.slots:  # or answers are bytecode's
        steps.append((1, WANTS_BEST))
    if several > 1:
        steps.append((several, WANTS_BEST if native.slots else WANTS_NOTHING))
    digests = [[_digest(role, way, *step) for step in steps] for way in ways]
    return all(digest == digests[0] for digest in digests)


class _Usual:
    """A step's way without machine code."""

    def __init__(self, role):
        self._step = role.step
        self.advance, self.contribute = role.step.advance, role.step._contribute

    def begin(self, frame, length):
        """Begins the step of a STEP with so many bytes of payload, for which caches are ready."""
        self._step.begin(frame, length, _TRIED, _NUMBER)

    def take(self, frame, size):
        """Takes in a frame of another member."""
        size -= HEADER_SIZE + TRAILER_SIZE[frame[VERSION]]
        if self._step.collective.take(frame, size):
            self.advance()


class _Native:
    """The way of `exchange`; a STEP of several positions begins as ever."""

    def __init__(self, role, native, exchange):
        self._exchange = exchange
        self._native, self._usual = native, _Usual(role)
        self.advance, self.contribute = native.advance, native.contribute

    def begin(self, frame, length):
        """As _Usual.begin."""
        native = self._native
        if frame[COUNT] == 1 and native.slots:
            native.follow()
            self.take(frame, HEADER_SIZE + length + TRAILER_SIZE[frame[VERSION]])
        else:
            self._usual.begin(frame, length)

    def take(self, frame, size):
        """As _Usual.take."""
        native = self._native
        native.due[0] = self._exchange(native.block, frame, size)
        if native.due[0] == OTHER:
            native.due[0] = 0
            raise RuntimeError("exchange does not take this frame")
        if native.due[0]:
            self.advance()


class _OnLine(_Native):
    """The same way, from and to a serial line."""

    def __init__(self, role, native, take_line):
        super().__init__(role, native, take_line)
        self._outbox = role.outbox

    def take(self, frame, size):
        """As _Usual.take."""
        data = self._outbox.link._reading[1]
        coded = bytearray(encoded_size(size))
        size = encode(frame, coded, size, 0)
        for at in range(0, size, len(data)):
            count = min(size - at, len(data))
            data[:count] = coded[at : at + count]
            self._take(count)

    def _take(self, count):
        """Takes in so many bytes of data."""
        native, encoded = self._native, self._outbox.link._encoded
        got = self._exchange(native.block, count)
        while got:
            if got > 0:
                self._send(encoded, got)
            elif got == OTHER:
                raise RuntimeError("exchange does not take this line")
            elif got <= PIECES:  # or COMPUTE
                native.send(got)
            else:
                self.advance()
            got = self._exchange(native.block, count)

    def _send(self, encoded, count):
        """Passes on what goes out; an answer is kept anyhow."""
        frame, outbox = bytearray(count), self._outbox
        size = decode(encoded, frame, array("i", [0] * 4), count, count)
        if frame[TYPE] == CONTRIBUTION:
            outbox._broadcast(frame, size)
        elif frame[:size] != outbox.answer[:size]:
            raise RuntimeError("exchange sends another answer than it keeps")


def _digest(role, way, rows, wants):
    """That of all that a step of so many rows sends, and of the residual stream in the end, where
    the others' contributions are the chip's own; -1 where they are not taken."""
    step, outbox = role.step, role.outbox
    version, signer = outbox.version, outbox.signer and outbox.signer._signer
    others = [chip for chip in step.collective._members if chip != outbox.chip_id]
    broadcast, send, sent, total = outbox._broadcast, outbox._send, [], 0
    outbox._broadcast = lambda frame, size: sent.append(bytearray(memoryview(frame)[:size]))
    outbox._send = lambda frame, size: None
    step.advance, step._contribute = way.advance, way.contribute
    if signer:
        signer.begin(b"")
        outbox.signer.session = signer  # or nothing would be signed before the first session
    _forget(role)
    try:
        step.collective.start(_TRIED, _NUMBER)
        step.model.cache.select(_TRIED)
        way.begin(*_step_frame(outbox, step, rows, wants))
        if not others:
            step.advance()
        while not step.is_idle():
            frames = list(sent)
            sent.clear()
            for frame in frames:
                total = crc32(frame, total)
            for chip in others:
                for frame in frames:
                    frame[SRC] = chip
                    length = len(frame) - HEADER_SIZE - TRAILER_SIZE[version]
                    way.take(frame, append_trailer(frame, length, signer))
        total = crc32(_answer(outbox, step, signer), total)
        return crc32(step.residual.values[: rows * step.residual.dim], total)
    except RuntimeError:
        return -1
    finally:
        del step.advance, step._contribute
        outbox._broadcast, outbox._send = broadcast, send
        _forget(role)
        if signer:
            outbox.signer.session = None
            signer.begin(b"")


def _forget(role):
    """Leaves nothing of a step, nor an answer."""
    role.step.forget()
    role.outbox.clear_answer()


def _answer(outbox, step, signer):
    """The frame of the step's answer, written here where that was not done."""
    answer = outbox.answer
    length = u16(answer, LENGTH)
    if not answer[VERSION]:
        length = step.write_answer(answer, outbox.boot_id)
        answer[VERSION] = outbox.version
        put_u16(answer, LENGTH, length)
        append_trailer(answer, length, signer)
    return memoryview(answer)[: HEADER_SIZE + length + TRAILER_SIZE[outbox.version]]


def _step_frame(outbox, step, rows, wants):
    """A STEP of the host for positions from 0 on, and its payload's length; its residual stream
    has 8 bits."""
    signer = outbox.signer and outbox.signer._signer
    size = rows * step.residual.dim
    frame = bytearray(STEP_DATA + size + TRAILER_SIZE[outbox.version])
    put_u16(frame, SEQUENCE_ID, _TRIED)
    put_u16(frame, STEP_NUMBER, _NUMBER)
    frame[LAYER], frame[COUNT], frame[STEP_BITS] = step.first_layer, rows, 8
    frame[STEP_WANTS] = wants
    for i in range(size):
        frame[STEP_DATA + i] = i * 37 & 255
    length = STEP_DATA + size - HEADER_SIZE
    seal(frame, outbox.version, STEP, HOST, BROADCAST, 1, length, signer)
    return frame, length
