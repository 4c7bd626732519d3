"""Finishes, signs, fragments, sends and counts the frames that leave a chip.

Functions that every request or answer passes through are `native`: a bytecode function whose frame
has more than eleven words allocates it on the heap, and finding room there takes thousands of
instructions.
"""

from protocol.compat import const, micropython
from protocol.fields import u16
from protocol.fragment import LEAST_MTU, fragments
from protocol.frame import (
    HEADER_SIZE,
    LENGTH,
    MAX_PAYLOAD,
    SEQUENCE,
    SRC,
    TRAILER_SIZE,
    VERSION,
    append_trailer,
    write_header,
)
from protocol.frame_check import put_crc32
from protocol.message_types import ERROR
from protocol.messages import (
    BAD_REQUEST,
    FAULT,
    LAYER,
    NEED_KV,
    POSITION,
    encode_error,
    make_answer_buffer,
)

# Bytes of payload of READY, STATISTICS and ERROR at most: all that a chip without a shard sends.
CONTROL_PAYLOAD = const(224)


class BadRequest(Exception):
    """A request contradicts this chip's shard."""


class NeedKV(Exception):
    """The KV cache lacks positions before the one requested; args: layer, positions held."""


class Outbox:
    """Sends one chip's frames.

    answer: the buffer of the last answer, kept for retransmission: the host asks for one answer at
    a time, and retries until it has it; None if the chip has no shard. max_payload: bytes of one
    frame's payload; fragment: the buffer for fragments, None if no message needs them. sent,
    bytes_sent: counts of frames and of their bytes; resent: of answers sent again.
    """

    def __init__(self, chip_id, link, boot_id, signer=None, request_size=0, answer_size=0):
        """signer: a protocol.session.ChipAuthenticator for frames of version 3, None for version
        2; request_size, answer_size: bytes of the longest payloads, 0 without a shard."""
        self.chip_id = chip_id
        self.link = link
        self.boot_id = boot_id
        self.signer = signer
        self.version = 3 if signer else 2
        self.control = bytearray(HEADER_SIZE + CONTROL_PAYLOAD + TRAILER_SIZE[self.version])
        self.answer = self.fragment = None
        if answer_size:
            self.answer = make_answer_buffer(answer_size)
            self.answer[SRC] = chip_id
            # The host may tell chips on the radio that others take only short frames.
            least = min(link.mtu, LEAST_MTU) if hasattr(link, "radio") else link.mtu
            longest = max(request_size, answer_size)
            if longest > self.room(least):
                self.fragment = bytearray(link.mtu if longest > self.room(link.mtu) else least)
        self.sent = self.bytes_sent = self.resent = 0
        # Bound once: a bound method is an allocation.
        self._send, self._broadcast = link.send, link.broadcast
        self.limit(link.mtu)

    def limit(self, mtu):
        """Limits frames to `mtu` bytes: those of the link, or fewer."""
        self.max_payload = room = self.room(mtu)
        # In one tuple: unpacking it takes no longer than looking up one attribute.
        self._answering = self.answer, self.version, self.signer, room, self._send

    def room(self, mtu):
        """Returns the most bytes of payload in a frame of at most `mtu` bytes."""
        return min(MAX_PAYLOAD, mtu - HEADER_SIZE - TRAILER_SIZE[self.version])

    def clear_answer(self):
        """Forgets the kept answer, and returns its buffer for the next one."""
        self.answer[VERSION] = 0
        return self.answer

    @micropython.native
    def send_answer(self, size):
        """Finishes, keeps and sends the answer in `answer`, with `size` bytes of payload.

        begin_answer must have begun it, and its type must be set.
        """
        answer, version, signer, max_payload, send = self._answering
        answer[VERSION] = version
        answer[LENGTH] = size & 255
        answer[LENGTH + 1] = size >> 8
        if signer or size > max_payload:
            self._transmit(answer, size, send)
        else:  # what _transmit does, without its calls
            size += HEADER_SIZE
            put_crc32(answer, size)
            size += 4
            send(answer, size)
            self.sent += 1
            self.bytes_sent += size

    def resend_answer(self):
        """Sends the kept answer again."""
        self.resent += 1
        self._transmit(self.answer, u16(self.answer, LENGTH), self._send)

    def send_control(self, kind, dst, sequence, payload, send=None):
        """Sends a short message to the host; send: the link's function for it, if not its
        usual."""
        frame = self.control
        length = len(payload)
        frame[HEADER_SIZE : HEADER_SIZE + length] = payload
        write_header(frame, self.version, kind, self.chip_id, dst, sequence, length)
        self._transmit(frame, length, send or self._send)

    def send_error(self, dst, sequence, code, layer=0, position=0, text=""):
        """Sends an ERROR; see protocol/messages.py."""
        self.send_control(ERROR, dst, sequence, encode_error(code, layer, position, text))

    def send_failure(self, request, error):
        """Sends an ERROR that says why a request failed; error: the exception."""
        code, layer, position = FAULT, request[LAYER], u16(request, POSITION)
        text = "%s: %s" % (type(error).__name__, error)
        if isinstance(error, NeedKV):
            code, (layer, position), text = NEED_KV, error.args, ""
        elif isinstance(error, BadRequest):
            code = BAD_REQUEST
        self.send_error(request[SRC], u16(request, SEQUENCE), code, layer, position, text)

    def send(self, frame, length):
        """Finishes a frame with header and `length` bytes of payload, and sends it to the host."""
        self._transmit(frame, length, self._send)

    def broadcast(self, frame, length):
        """Finishes a frame with header and `length` bytes of payload, and sends it to all
        chips."""
        self._transmit(frame, length, self._broadcast)

    @micropython.native
    def _transmit(self, frame, length, send):
        """Finishes and sends a frame, in fragments if it is too long for one."""
        if length > self.max_payload:
            mtu = self.max_payload + HEADER_SIZE + TRAILER_SIZE[self.version]
            for size in fragments(frame, length, mtu, self.fragment, self.signer):
                send(self.fragment, size)
                self.sent += 1
                self.bytes_sent += size
            return
        if self.signer:
            length = append_trailer(frame, length, self.signer)
        else:
            length += HEADER_SIZE
            put_crc32(frame, length)
            length += 4
        send(frame, length)
        self.sent += 1
        self.bytes_sent += length
