"""The words that exchange.py's machine code reads: what is where, and the kernels that it calls.

This module leaves the heap when they are written down.
"""

import sys
from array import array

from uctypes import addressof

from firmware.compute.program import core, run_program, scoring_program
from protocol import bitpack, bitunpack, frame_check, sums
from protocol.compat import const
from protocol.fields import int32s
from protocol.frame import TRAILER_SIZE
from protocol.messages import LOGITS_DATA
from protocol.shard_layout import (
    ATTENTION_GAIN,
    DOWN_MULTIPLIERS,
    FEED_FORWARD_GAIN,
    O_MULTIPLIERS,
)

# Their names, which host/build/machine_code/exchange_words.py reads here.
_WORDS = (
    "received", "bytes_received", "sent", "bytes_sent", "member_of", "state", "frame", "place",
    "places", "phases", "residual", "x", "out", "dim", "layers", "capacity", "members", "me",
    "passes", "bits", "chip", "version", "table", "states", "constants", "highest", "seen",
    "counter", "total", "own", "round", "total_1", "own_1", "round_1", "spare", "spare_1",
    "spare_2", "check_frame", "add_unpacked", "add_rescaled", "norm", "run_program", "contribute",
    "_clear", "bits_needed", "pack", "put_crc32", "authenticate",
    # Of STEPs and their answers.
    "sequence", "positions", "attention_values", "host", "first_layer", "context", "request",
    "rows", "answer", "boot_id", "logit_rows", "logits", "logits_end", "first_row", "exponent",
    "unpack", "best", "store_int16s",
    # Of a serial line (exchange_line.py).
    "data", "line_frame", "line_state", "line_state_0", "line_state_1", "line_state_2",
    "line_state_3", "longest", "encoded", "decode", "encode", "exchange",
)  # fmt: skip
_PHASE_WORDS = const(8)
_NOBODY = const(0xFFFFFFFF)
_BY_BYTECODE = const(1)  # in place of an address


def make_block(role, programs, places, slots, exchange, line, of_stages):
    """The words that exchange reads; what they point at and nothing else holds; and whether it
    answers with logits. programs: None where layers and answers are left to bytecode; places:
    what it goes by of a step's rows; slots: slots_of the model; line, of_stages: the modules of
    serial lines and of stages, where this chip has one, or is one."""
    outbox, step = role.outbox, role.step
    model, residual, collective = step.model, step.residual, step.collective
    norms = sys.modules["firmware.compute.norms"]
    phases = _phases(step, programs)
    signer = outbox.signer and outbox.signer._signer
    signing = sys.modules.get("protocol.hmac_pointers")
    words = {
        "member_of": collective._member_of, "state": collective.state,
        "frame": collective._frame, "place": step.place, "places": places, "phases": phases,
        "residual": residual.values, "x": model.workspace.x, "out": model.workspace.results,
        "dim": residual.dim, "layers": len(model.layers), "capacity": collective._capacity,
        "passes": programs and programs.passes and programs.passes.words,
        "members": len(collective._members), "me": collective._me, "bits": collective._bits,
        "chip": outbox.chip_id, "version": outbox.version, "sequence": _NOBODY,
        "add_unpacked": core(bitunpack.add_unpacked), "add_rescaled": core(norms.add_rescaled),
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
            "host": signer._chips, "authenticate": core(signing.authenticate),
        })  # fmt: skip
    else:
        words.update({
            "table": frame_check._TABLE, "check_frame": core(frame_check.check_frame),
            "put_crc32": core(frame_check.put_crc32),
        })  # fmt: skip
    words.update(_answering(role, phases, programs))
    names = _WORDS
    if line:
        words.update(line.words(outbox.link))
        words["exchange"] = core(of_stages.stage if of_stages else exchange)
    if of_stages:
        names += of_stages._WORDS
        words.update(of_stages.words(role, slots, exchange, line))
        words["answer"] = 0  # until `stage` wants one
    elif not programs:
        words["answer"] = _BY_BYTECODE
    block = array("I", [0] * len(names))
    for i, name in enumerate(names):
        word = words.get(name) or 0
        block[i] = word & 0xFFFFFFFF if isinstance(word, int) else addressof(word)
    held = (
        places, phases, words.get("counter"), words.get("scoring"), words.get("values"),
        words.get("sequences"),
    )  # fmt: skip
    return block, held, bool(words.get("logits_end"))


def _answering(role, phases, programs):
    """The words of STEPs and their answers: with logits where they are wanted of all its rows and
    have room."""
    step, outbox = role.step, role.outbox
    model, weights, vocabulary = step.model, step._weights, step.model.vocabulary
    words = {
        "positions": model.cache.positions, "first_layer": step.first_layer,
        "context": step._context, "request": step.request, "rows": step._rows,
        "answer": outbox.answer, "boot_id": outbox.boot_id, "unpack": core(bitunpack.unpack),
    }  # fmt: skip
    if vocabulary and programs:
        program, values, rows = scoring_program(model), int32s(3), len(vocabulary.logits)
        gain, (shift, epsilon, limit) = addressof(weights.final_gain), weights.final_norm
        at = 2 * _PHASE_WORDS * len(model.layers) + 2
        for word in (gain, shift, epsilon, limit, addressof(program), addressof(values)):
            phases[at] = word
            at += 1
        words.update({
            "scoring": program, "values": values, "logit_rows": rows,
            "logits": vocabulary.logits, "first_row": vocabulary.first_row,
            "exponent": vocabulary.exponent, "best": core(step._best),
            "store_int16s": core(vocabulary._kernels.store_int16s),
        })  # fmt: skip
        end = LOGITS_DATA + 2 * rows
        if not vocabulary.candidates and end + TRAILER_SIZE[3] <= len(outbox.answer):
            words["logits_end"] = end
    return words


def _phases(step, programs):
    """The words of each phase: where the multipliers of its sum lie, and its shift; the gain of
    the norm before it, and the norm's numbers; its program, 0 where this chip has no part in it;
    and its values, where they are not a row's own. Behind the last layer's there is room for what
    follows.
    """
    model, dim = step.model, step.residual.dim
    phases = array("I", [0] * (_PHASE_WORDS * (2 * len(model.layers) + 1)))
    at = 0
    for layer in model.layers:
        begin = addressof(layer.norms)
        attention, feed_forward, fed = model.attention, model.feed_forward, None
        if programs:
            attention, feed_forward = programs.attention, programs.feed_forward
            fed = feed_forward and layer.feed_forward_values
        for multipliers, shift, gain, norm, program, values in (
            (O_MULTIPLIERS, layer.o_shift, ATTENTION_GAIN, layer.attention_norm, attention, None),
            (DOWN_MULTIPLIERS, layer.down_shift, FEED_FORWARD_GAIN, layer.feed_forward_norm,
             feed_forward, fed),
        ):  # fmt: skip
            words = (
                begin + 2 * multipliers * dim, shift, begin + 2 * gain * dim, norm[0], norm[1],
                norm[2], program and (addressof(program) if programs else _BY_BYTECODE),
                values and addressof(values),
            )  # fmt: skip
            for word in words:
                phases[at] = word or 0
                at += 1
    return phases
