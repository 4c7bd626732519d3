"""A chip's message loop: receives and verifies frames, and dispatches them to the chip's role."""

import gc

from protocol.compat import const, micropython
from protocol.fields import u16
from protocol.fragment import LEAST_MTU, Reassembler
from protocol.frame import (
    BROADCAST,
    DST,
    HEADER_SIZE,
    HOST,
    SEQUENCE,
    SRC,
    TYPE,
    ProtocolError,
    verify_frame,
)
from protocol.message_types import DISCOVERY, FRAGMENT, READY, STATISTICS
from protocol.messages import (
    CHIP_NONCE_SIZE,
    FAULT,
    STATE_READY,
    encode_ready,
    encode_statistics,
)
from protocol.session import SESSION_NONCE_SIZE

RELEASE = "0.1.0"
_REASSEMBLIES = const(1)


class Role:
    """What a chip does with messages that concern the model; the base of firmware/roles/*.

    `make_role(outbox, weights, kernels)` of each module there returns one.

    handlers: for each message type that the role handles, a function of a verified frame and its
    payload's length; the node adds its own. frequent: the type among them that comes most often.
    fault: why the chip cannot work, or "". busy_ms: milliseconds at work for STATISTICS, if the
    role measures it. holdings(): defined by every role, returns model hash, shard digest, heads,
    units, rows, context and bytes of the shard.
    """

    fault = ""
    busy_ms = 0
    frequent = -1  # none

    def timed(self, poll):
        """Returns the node's `poll`, wrapped in what the role measures."""
        return poll

    def on_idle(self):
        """Called whenever no frame has come."""

    def keep_sender(self):
        """Called when the last received frame is a DISCOVERY: its sender leads to the host."""

    def forget(self):
        """Drops what belongs to the last session, because the host has begun another."""

    def limit(self, room):
        """Called when frames may have at most `room` bytes of payload from now on."""


class Node:
    """One chip on its link, with a role.

    If the outbox has a signer only frames of version 3 are accepted, else only those of version 2.
    """

    firmware = RELEASE  # on a flashed chip: the version flashed, "\0", and which kernels run

    def __init__(self, outbox, role, request_size=0):
        """outbox: a firmware.outbox.Outbox; role: a Role; request_size: bytes of the longest
        request's payload."""
        self.outbox = outbox
        self.role = role
        handlers = role.handlers
        handlers[DISCOVERY], handlers[STATISTICS] = self._on_discovery, self._on_statistics
        self._reassembler = None
        if outbox.fragment:
            self._reassembler = Reassembler(_REASSEMBLIES, request_size)
            handlers[FRAGMENT] = self._on_fragment
        self._session_nonce = b""
        self._received = self._bytes_received = self._dropped = 0
        # In one tuple: unpacking it takes no longer than looking up one attribute. The most
        # frequent type, on which all speed depends, is dispatched without a look-up in a dict.
        frequent = role.frequent
        self._polled = (
            outbox.link, outbox.chip_id, outbox.signer, frequent, handlers.get(frequent), handlers,
        )  # fmt: skip
        self.poll = role.timed(self._poll)

    @property
    def fault(self):
        """Why the chip cannot work, or ""."""
        return self.role.fault

    @micropython.native  # for the reason given in firmware/outbox.py
    def _poll(self):
        """Handles one received frame; returns False if there was none."""
        link, chip_id, signer, frequent, on_frequent, handlers = self._polled
        length = link.receive()
        if length == 0:
            self.role.on_idle()
            return False
        frame = link.frame
        try:
            if length > DST and (frame[DST] == BROADCAST or frame[DST] == chip_id):
                self._received += 1
                self._bytes_received += length
                length = verify_frame(frame, length, signer)
                kind = frame[TYPE]
                if kind == frequent:
                    on_frequent(frame, length)
                elif kind in handlers:
                    handlers[kind](frame, length)
        except ProtocolError:
            self._dropped += 1
        return True

    def report(self, text, code=FAULT):
        """Reports a fault that belongs to no request, if there is a session to sign it in."""
        try:
            self.outbox.send_error(HOST, 0, code, text=text)
        except ProtocolError:
            pass

    def _on_fragment(self, frame, length):
        length = self._reassembler.accept(frame, length)
        if length:
            message = self._reassembler.message
            handler = self.role.handlers.get(message[TYPE])
            if handler:
                handler(message, length)

    def _on_discovery(self, frame, length):
        """Answers a host that begins a session, or that checks whether this chip is still in
        it."""
        if frame[SRC] != HOST:
            return
        outbox, role = self.outbox, self.role
        signer = outbox.signer
        state = signer.state_after(frame, length) if signer else STATE_READY
        sequence = u16(frame, SEQUENCE)
        if state == STATE_READY:
            end = HEADER_SIZE + min(length, SESSION_NONCE_SIZE)
            nonce = bytes(frame[HEADER_SIZE:end])
            is_new = nonce != self._session_nonce
            self._session_nonce = nonce
            # With a key, any frame but the one that began the session may be a replay.
            if is_new or not signer:
                role.keep_sender()
            # A fault at start can be reported now that there is a session to sign it in.
            if role.fault:
                outbox.send_error(frame[SRC], sequence, FAULT, text=role.fault)
                return
            if is_new:
                outbox.clear_answer()
                role.forget()
                gc.collect()  # it takes long, so a replayed frame must not cause it
            mtu = outbox.link.mtu
            room = outbox.room(mtu) if is_new else outbox.max_payload
            if length == SESSION_NONCE_SIZE + 2:
                # Within a session frames never get longer, so that a replay changes nothing.
                mtu = min(mtu, max(LEAST_MTU, u16(frame, end)))
            room = min(room, outbox.room(mtu))
            if room != outbox.max_payload:
                outbox.limit(mtu)
                role.limit(room)
        outbox.send_control(READY, frame[SRC], sequence, self._ready(state), outbox.link.answer)

    def _ready(self, state):
        signer = self.outbox.signer
        return encode_ready(
            self.outbox.boot_id,
            state,
            signer.nonce if signer else bytes(CHIP_NONCE_SIZE),
            *self.role.holdings(),
            gc.mem_alloc(),
            gc.mem_free(),
            self.outbox.link.mtu,
            self.firmware,
        )

    def _on_statistics(self, frame, length):
        """Sends the counters; a payload of one non-zero byte asks to collect garbage first.

        Only the host is answered: two chips would take each other's answers for requests.
        """
        if frame[SRC] != HOST:
            return
        if length and frame[HEADER_SIZE]:
            gc.collect()
        outbox = self.outbox
        payload = encode_statistics(
            gc.mem_alloc(),
            gc.mem_free(),
            outbox.sent,
            self._received,
            outbox.bytes_sent,
            self._bytes_received,
            self._dropped + outbox.link.dropped,
            outbox.resent,
            self.role.busy_ms,
        )
        outbox.send_control(STATISTICS, frame[SRC], u16(frame, SEQUENCE), payload)
