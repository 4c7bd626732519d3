"""Answers requests of the host in machine code, from the bytes of a frame to those of its answer.

Where kernels are native, one native call does for a COMPUTE with one position of the current
sequence what firmware/links/uart.py, firmware/node.py, firmware/roles/host_reduce.py and
firmware/outbox.py do one after another and, with a key, protocol/auth.py. Everything else, faults
included, is left untouched for these modules. At each start `serve` must answer as they do, or it
is not used.
"""

import sys
from array import array
from binascii import crc32

import micropython
from uctypes import addressof

from firmware.compute.program import (
    core,
    count_frames,
    run_program,
    scoring_program,
    slots_of,
)
from protocol import cobs, frame_check
from protocol.bitpack import bits_needed, pack
from protocol.compat import const
from protocol.frame import HEADER_SIZE, HOST, LENGTH, TRAILER_SIZE, append_trailer, seal
from protocol.message_types import COMPUTE
from protocol.messages import (
    COMPUTE_DATA,
    LOGITS_DATA,
    PHASE_ATTENTION,
    PHASE_FEED_FORWARD,
    PHASE_VOCABULARY,
    REQUEST_SIZE,
)

# The words of the block; host/build/machine_code/frames.py reads this table.
_WORDS = (
    "data", "frame", "state", "capacity", "table", "chip", "answer", "boot_id", "sequence",
    "layers", "context", "positions", "dim", "x", "out", "attention", "attention_values",
    "feed_forward", "feed_forward_values", "encoded", "received", "bytes_received", "sent",
    "bytes_sent", "version", "states", "constants", "counters", "seen",
    "vocabulary", "vocabulary_values", "first_row", "exponent", "logits_end",
    "decode", "check_frame", "load_int16s", "bits_needed", "pack", "put_crc32", "encode",
    "run_program", "authenticate",
)  # fmt: skip
_SEQUENCE = const(8)
_POSITIONS = const(11)
_ATTENTION_VALUES = const(16)
_COUNTS = const(20)  # the first of four counters
_TRIED = const(0x5A5A)  # the sequence id of the trial at start, which no host has begun yet


@micropython.viper
def serve(block: ptr32, count: int) -> int:
    """Decodes `count` bytes of data, and answers the frame that ends in them.

    Returns the bytes of the answer, encoded for the line; 0 if no frame ends in the data; -1 if
    the node has to handle it. It exists in machine code only: there is no viper twin.
    """
    return -1


def install(node, programs):
    """Makes a node with a serial line try `serve` before its own `poll`, if it proves right."""
    from firmware.links.uart import UartLink

    role, outbox = node.role, node.outbox
    link = outbox.link
    if outbox.fragment or not isinstance(link, UartLink):
        return
    if outbox.signer and "protocol.hmac_pointers" not in sys.modules:
        return
    slots = slots_of(role.model)
    block, held = _block(role, programs, slots)
    if _is_right(role, block, slots):
        node.poll = _serving(node, link, block, slots)
        count_frames(node, memoryview(block)[_COUNTS : _COUNTS + 4])
        node.serving = held, slots  # references: the block has only their addresses
    for name in (
        "_block",
        "_is_right",
        "_request",
        "_scoring",
        "_WORDS",
        "_serving",
        "install",
    ):
        globals().pop(name)  # frees the heap of what is not needed again


def _serving(node, link, block, slots):
    """Returns a `poll` for the node that tries `serve` first."""
    poll, cache = node.poll, node.role.model.cache
    readinto, data, frame, state, longest = link._reading
    # Of a closure more than five values are copied onto the heap at each call.
    parts = link, readinto, data, block, link._write, link._encoded, state, poll, cache, slots

    @micropython.native
    def served():
        link, readinto, data, block, write, encoded, state, poll, cache, slots = parts
        if not link._unread:
            count = readinto(data)
            if not count:
                return False
            size = serve(block, count)
            if size > 0:
                write(encoded, size)
                if state[0] < count:
                    link._unread = count
                return True
            if not size:
                return False
            link._unread = count
        done = poll()
        positions, values = slots[cache.index]
        follow(block, cache.sequence_id, positions, values)
        return done

    return served


@micropython.viper
def follow(block: ptr32, sequence_id: int, positions: ptr32, attention_values: ptr32):
    """Tells serve the current sequence, and the positions and values of its slot."""
    block[_SEQUENCE] = sequence_id
    block[_POSITIONS] = int(positions)
    block[_ATTENTION_VALUES] = int(attention_values)


def _block(role, programs, slots):
    """Returns the block, the words that serve reads: array("I"), and the objects it points at
    that nothing else refers to."""
    outbox, model = role.outbox, role.model
    link, workspace = outbox.link, model.workspace
    _, data, frame, state, longest = link._reading
    values = array("I", [0] * len(model.layers))
    for i, layer in enumerate(model.layers):
        values[i] = addressof(layer.feed_forward_values) if model.feed_forward else 0
    # The signer is the same object in all sessions; before the first there is no sequence.
    signer = outbox.signer and outbox.signer._signer
    signing, host = sys.modules.get("protocol.hmac_pointers"), signer and len(signer._highest) - 2
    words = {
        "data": data, "frame": frame, "state": state, "capacity": longest,
        "table": frame_check._TABLE, "chip": outbox.chip_id, "answer": outbox.answer,
        "boot_id": outbox.boot_id, "sequence": 0xFFFFFFFF, "layers": len(model.layers),
        "context": role._context, "positions": model.cache.positions, "dim": role._dim,
        "x": workspace.x, "out": workspace.results, "attention": programs.attention,
        "attention_values": slots[0][1], "feed_forward": programs.feed_forward,
        "feed_forward_values": values, "encoded": link._encoded,
        "decode": core(cobs.decode), "check_frame": core(frame_check.check_frame),
        "load_int16s": core(role._load), "bits_needed": core(bits_needed), "pack": core(pack),
        "put_crc32": core(frame_check.put_crc32), "encode": core(cobs.encode),
        "run_program": core(run_program), "version": outbox.version,
        "states": signer and signer._mac._states, "constants": signer and signing.TABLE,
        "counters": signer and memoryview(signer._highest)[host:],
        "seen": signer and memoryview(signer._seen)[8 * host :],
        "authenticate": signer and core(signing.authenticate),
    }  # fmt: skip
    words.update(_scoring(model, outbox.answer))
    block = array("I", [0] * len(_WORDS))
    for i, name in enumerate(_WORDS):
        word = words.get(name) or 0
        block[i] = word & 0xFFFFFFFF if isinstance(word, int) else addressof(word)
    return block, (values, words.get("vocabulary"), words.get("vocabulary_values"))


def _scoring(model, answer):
    """Returns the words by name that replace firmware/compute/vocabulary.py; none if this chip has
    no rows, if they are too many for an answer, or if candidates are sent instead."""
    vocabulary = model.vocabulary
    if not vocabulary or vocabulary.candidates:
        return {}
    end = LOGITS_DATA + 2 * len(vocabulary.logits)
    if end + TRAILER_SIZE[3] > len(answer):
        return {}
    return {
        "vocabulary": scoring_program(model, answer),
        "vocabulary_values": array("I", [0] * 3), "logits_end": end,
        "first_row": vocabulary.first_row, "exponent": vocabulary.exponent,
    }  # fmt: skip


def _is_right(role, block, slots):
    """Returns whether serve answers as the node does: both phases of the first layer, and the
    vocabulary."""
    outbox, model = role.outbox, role.model
    link, answer = outbox.link, outbox.answer
    signer = outbox.signer and outbox.signer._signer
    _, data, _, state, _ = link._reading
    encoded, is_right = memoryview(link._encoded), True
    for phase in (PHASE_ATTENTION, PHASE_FEED_FORWARD, PHASE_VOCABULARY):
        request, length = _request(role, phase, signer)
        model.cache.select(_TRIED)
        model.cache.positions[0] = 0
        outbox.clear_answer()
        size = role.answer(request, length, answer)
        if size <= 0:
            continue  # a chip without heads or units has nothing to say
        answer[0], answer[LENGTH], answer[LENGTH + 1] = outbox.version, size & 255, size >> 8
        # Compared by checksums, because a heap that is almost full has no room for a copy.
        count = cobs.encode(answer, encoded, append_trailer(answer, size, signer), 0)
        expected = crc32(encoded[:count])
        for i in range(count):
            encoded[i] = 0
        if signer:
            signer._highest[-1] -= 1  # so that serve signs with the same counter
        outbox.clear_answer()
        model.cache.positions[0] = 0
        for i in range(4):
            state[i] = 0
        follow(block, model.cache.sequence_id, *slots[model.cache.index])
        got, line = 0, bytearray(2 * len(request))
        left = cobs.encode(request, line, len(request), 0)
        at = 0
        while left > 0 and not got:
            chunk = min(left, len(data))
            data[:chunk] = line[at : at + chunk]
            got = serve(block, chunk)
            left -= chunk
            at += chunk
        is_right = is_right and got == count and crc32(encoded[:got]) == expected
    for i in range(4):
        state[i] = 0
    if signer:
        signer.begin(b"")
    outbox.clear_answer()
    model.cache.forget()
    follow(block, model.cache.sequence_id, *slots[model.cache.index])
    return is_right


def _request(role, phase, signer):
    """Returns a COMPUTE frame for the first layer at position 0, and its payload's length."""
    outbox = role.outbox
    version, length = outbox.version, REQUEST_SIZE + 2 * role._dim
    frame = bytearray(HEADER_SIZE + length + TRAILER_SIZE[version])
    frame[8], frame[9], frame[11], frame[14] = _TRIED & 255, _TRIED >> 8, phase, 1
    for i in range(COMPUTE_DATA, HEADER_SIZE + length):
        frame[i] = i * 37 & 63  # small activations
    seal(frame, version, COMPUTE, HOST, outbox.chip_id, 1, length, signer)
    return frame, length
