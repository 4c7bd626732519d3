"""A chip's message loop: takes requests from its link, answers them, reports its errors."""

import gc

from firmware.share import BadRequest, NeedKV
from protocol.compat import const, micropython
from protocol.fields import u16
from protocol.fragment import Reassembler, fragments
from protocol.frame import (
    HEADER_SIZE,
    HOST,
    LENGTH,
    SEQUENCE,
    SRC,
    TRAILER_SIZE,
    TYPE,
    VERSION,
    ProtocolError,
    append_trailer,
    opened,
    write_header,
)
from protocol.frame_check import put_crc32
from protocol.message_types import COMPUTE, DISCOVERY, ERROR, FRAGMENT, READY, STATISTICS
from protocol.messages import (
    BAD_REQUEST,
    CHIP_NONCE_SIZE,
    FAULT,
    HASH_SIZE,
    LAYER,
    NEED_KV,
    POSITION,
    REQUEST_SIZE,
    STATE_READY,
    answer_buffer,
    error_payload,
    is_answered,
    ready_payload,
    statistics_payload,
)

RELEASE = "0.1.0"

# Constants of protocol/ on the way of a request, where they would be looked up each time: in their
# order BROADCAST, VERSION, TYPE, DST, LENGTH, HEADER_SIZE, REQUEST_SIZE.
_BROADCAST = const(255)
_VERSION = const(0)
_TYPE = const(1)
_DST = const(3)
_LENGTH = const(6)
_HEADER = const(8)
_REQUEST = const(7)

# READY, STATISTICS and ERROR with the longest text; what a chip without a share has room for.
CONTROL_PAYLOAD = const(224)
_REASSEMBLIES = const(1)
_SESSION_NONCE_SIZE = const(16)  # what a DISCOVERY begins with, see protocol/session.py


class Node:
    """One chip on its link.

    Machine code (`native`) is made where a request comes through and bytecode's frame, of more
    than eleven words, would be an allocation: finding room takes thousands of instructions.

    share and shard may be None with a `fault` text: such a chip has failed to start, and all
    that it does is to say why. With a signer (protocol.session.ChipAuthenticator) the node speaks
    version 3, else version 2.
    """

    firmware = RELEASE  # or, more exactly, the text with which the chip was flashed

    def __init__(self, chip_id, link, boot_id, shard=None, share=None, signer=None, fault=""):
        self._chip_id = chip_id
        self._link = link
        self._boot_id = boot_id
        self._shard = shard
        self._share = share
        self._signer = signer
        self._fault = fault
        self._session_nonce = b""
        self._version = 3 if signer else 2
        self._overhead = HEADER_SIZE + TRAILER_SIZE[self._version]
        self._control = bytearray(self._overhead + CONTROL_PAYLOAD)
        # The type of message that comes most, on which all speed depends, and what takes it.
        self._frequent, self._on_frequent = COMPUTE, self._on_compute
        self._longest = link.mtu - self._overhead  # payload in one frame
        self._answer = self._reassembler = self._fragment = None
        if shard:
            # Asked for again until the next request is there: the host asks one at a time.
            self._answer = answer_buffer(shard.answer_size)
            self._answer[SRC] = chip_id
            if self._overhead + max(shard.request_size, shard.answer_size) > link.mtu:
                self._reassembler = Reassembler(_REASSEMBLIES, shard.request_size)
                self._fragment = bytearray(link.mtu)
        self._sent = self._received = self._bytes_sent = self._bytes_received = 0
        self._dropped = self._resent = self._busy = 0

    @micropython.native
    def poll(self):
        """Handles one received frame; False if there was none."""
        link = self._link
        length = link.receive()
        if length == 0:
            self._on_silence()
            return False
        frame = link.frame
        try:
            if length > _DST and (frame[_DST] == _BROADCAST or frame[_DST] == self._chip_id):
                self._received += 1
                self._bytes_received += length
                length = opened(frame, length, self._signer)
                if frame[_TYPE] == self._frequent:
                    self._on_frequent(frame, length)
                else:
                    self._handle(frame, length)
        except ProtocolError:
            self._dropped += 1
        return True

    def _on_silence(self):
        """What there is to do as long as nothing comes."""

    def report(self, text):
        """Tells the host of a fault that belongs to no request, if there is a session to do so."""
        try:
            self._send_error(HOST, 0, FAULT, 0, 0, text)
        except ProtocolError:
            pass

    def _handle(self, frame, length):
        kind = frame[TYPE]
        if kind == FRAGMENT:
            length = self._reassembler.accept(frame, length) if self._reassembler else 0
            if length == 0:
                return
            frame = self._reassembler.message
            kind = frame[TYPE]
        if kind == DISCOVERY:
            self._on_discovery(frame, length)
        elif kind == STATISTICS:
            self._on_statistics(frame, length)
        else:
            self._on_work(kind, frame, length)

    def _on_work(self, kind, frame, length):
        """Takes a message that belongs to the model's work."""
        if kind == COMPUTE:
            self._on_compute(frame, length)

    @micropython.native
    def _on_compute(self, frame, length):
        answer = self._answer
        if answer is None or length < _REQUEST:
            self._is_settled(frame, length)
            return
        try:
            size = self._share.answer(frame, length, answer)
        except Exception as error:
            self._send_failure(frame, error)
            return
        if size > 0:
            self._send_answer(answer, size)
        elif size < 0:
            self._send_kept()

    @micropython.native
    def _is_settled(self, request, length):
        """Whether nothing need be computed: because there is no share, which is told, or because
        the answer is still there, which is sent again."""
        if length < REQUEST_SIZE:
            raise ProtocolError("no request is named")
        if self._share is None:
            self._send_error(request[SRC], u16(request, SEQUENCE), FAULT, 0, 0, self._fault)
            return True
        if is_answered(request, self._answer):
            self._send_kept()
            return True
        return False

    def _send_kept(self):
        self._resent += 1
        self._send(self._answer, u16(self._answer, LENGTH))

    def _room(self):
        """The buffer for an answer; what it held is forgotten."""
        self._answer[VERSION] = 0
        return self._answer

    @micropython.native
    def _send_answer(self, answer, size):
        """Keeps and sends the frame that was begun in the buffer by begin_answer, and given its
        type and payload."""
        answer[_VERSION] = self._version
        answer[_LENGTH] = size & 255
        answer[_LENGTH + 1] = size >> 8
        if self._signer or size > self._longest:
            self._send(answer, size)
        else:  # as _send does, without a call for each of the steps: an answer is for the host
            size += _HEADER
            put_crc32(answer, size)
            size += 4
            self._link.send(answer, size)
            self._sent += 1
            self._bytes_sent += size

    def _send_failure(self, frame, error):
        code, layer, position = FAULT, frame[LAYER], u16(frame, POSITION)
        text = "%s: %s" % (type(error).__name__, error)
        if isinstance(error, NeedKV):
            code, (layer, position), text = NEED_KV, error.args, ""
        elif isinstance(error, BadRequest):
            code = BAD_REQUEST
        self._send_error(frame[SRC], u16(frame, SEQUENCE), code, layer, position, text)

    def _on_discovery(self, frame, length):
        """A host starts, or wants to know whether this chip still is what it was."""
        state = self._signer.state_after(frame, length) if self._signer else STATE_READY
        sequence = u16(frame, SEQUENCE)
        # What went wrong can be told as soon as there is a session to sign it in.
        if self._share is None and state == STATE_READY:
            self._send_error(frame[SRC], sequence, FAULT, 0, 0, self._fault)
            return
        if state == STATE_READY:
            nonce = min(length, _SESSION_NONCE_SIZE)
            self._enter(bytes(frame[HEADER_SIZE : HEADER_SIZE + nonce]))
        self._send_control(READY, frame[SRC], sequence, self._ready(state))

    def _enter(self, session_nonce):
        """In a session of another host run, what was kept for the last one is of no use."""
        if session_nonce != self._session_nonce:
            self._session_nonce = session_nonce
            self._room()
            self._share.forget()

    def _ready(self, state):
        gc.collect()
        return ready_payload(
            self._boot_id,
            state,
            self._signer.nonce if self._signer else bytes(CHIP_NONCE_SIZE),
            *self._holdings(),
            gc.mem_alloc(),
            gc.mem_free(),
            self.firmware,
        )

    def _holdings(self):
        """Model hash, shard's digest, heads, units, rows, context and bytes of the share, zeros
        without one."""
        shard = self._shard
        if shard is None:
            return bytes(HASH_SIZE), bytes(HASH_SIZE), 0, 0, 0, 0, 0
        layout = shard.layout
        return (
            shard.model_hash,
            shard.digest,
            len(layout["heads"]),
            layout["units"],
            layout["rows"],
            layout["context"],
            shard.bytes,
        )

    def _on_statistics(self, frame, length):
        """The counters; a payload of one non-zero byte asks to collect garbage first."""
        if length and frame[HEADER_SIZE]:
            gc.collect()
        payload = statistics_payload(
            gc.mem_alloc(),
            gc.mem_free(),
            self._sent,
            self._received,
            self._bytes_sent,
            self._bytes_received,
            self._dropped + self._link.dropped,
            self._resent,
            self._busy,
        )
        sequence = u16(frame, SEQUENCE)
        self._send_control(STATISTICS, frame[SRC], sequence, payload)

    def _send_error(self, dst, sequence, code, layer, position, text):
        payload = error_payload(code, layer, position, text)
        self._send_control(ERROR, dst, sequence, payload)

    def _send_control(self, kind, dst, sequence, payload):
        frame = self._control
        length = len(payload)
        frame[HEADER_SIZE : HEADER_SIZE + length] = payload
        write_header(frame, self._version, kind, self._chip_id, dst, sequence, length)
        self._send(frame, length)

    @micropython.native
    def _send(self, frame, length):
        """Ends and sends a frame whose header and payload stand, in fragments if need be."""
        if length > self._longest:
            for size in fragments(frame, length, self._link.mtu, self._fragment, self._signer):
                self._put(self._fragment, size)
        elif self._signer:
            self._put(frame, append_trailer(frame, length, self._signer))
        else:
            length += HEADER_SIZE
            put_crc32(frame, length)
            self._put(frame, length + 4)

    @micropython.native
    def _put(self, frame, size):
        self._link.send(frame, size)
        self._sent += 1
        self._bytes_sent += size
