"""Takes in what comes to a stage of a pipeline, and hands over what it makes of it, in machine
code.

Around exchange.py, one native call takes in a STEP of one position of any current sequence and
writes its acknowledgement; the next one takes the position through the stage's layers, and writes
what is handed over: the next stage's STEP, or the answer for the host. One takes in an
acknowledgement. All else is left to firmware/roles/pipeline.py: STEPs that come again, or while
another is under way, the first of a sequence and of several positions, and all that waits for an
acknowledgement that is late. Loaded where stages exchange natively.
"""

from array import array

import micropython
from uctypes import addressof

from firmware.compute.exchange import Native
from firmware.compute.program import core
from firmware.compute.results import ANSWER
from protocol.compat import const

# Names of the words behind those of exchange_block.py; host/build/machine_code/exchange_words.py
# reads here.
_WORDS = (
    "combine", "stage", "kept", "receivers", "receiver_count", "everybody", "to", "to_host",
    "output_layer", "for_host", "for_all", "slots", "sequences",
)  # fmt: skip
# What is added to the bytes of a frame that is not sent as `exchange` would have it: of an
# acknowledgement for the host, and of an output for all.
_FOR_HOST = const(1 << 18)
_FOR_ALL = const(1 << 17)
_CACHE_WORDS = const(3)
_NOBODY = const(0x10000)  # no sequence's id


@micropython.viper
def stage(block: ptr32, frame: ptr8, length: int) -> int:
    """Does what `exchange` does, and all for a stage besides; exists in machine code only, made by
    host/build/machine_code/exchange_stage.py."""
    return -1


def words(role, slots, exchange, line):
    """Returns words of the block by name. slots: slots_of the model; exchange: the machine code
    that `stage` calls; line: whether all frames go to one line."""
    step, handover, outbox = role.step, role.handover, role.outbox
    receivers = handover.receivers
    hands_over = role.is_first and not handover.to_host
    sequences = array("I", [0] * (_CACHE_WORDS * len(slots)))
    for i, (positions, values) in enumerate(slots):
        at = _CACHE_WORDS * i
        sequences[at] = _NOBODY
        sequences[at + 1], sequences[at + 2] = addressof(positions), addressof(values)
    return {
        "combine": core(exchange), "stage": handover.state, "kept": outbox.answer,
        "receivers": receivers, "receiver_count": len(receivers),
        "everybody": (1 << len(receivers)) - 1, "to": handover.receiver(),
        "to_host": 1 if handover.to_host and step.model.vocabulary else 0,
        "output_layer": step.first_layer + len(step.model.layers) if hands_over else 0,
        "for_host": 0 if line else _FOR_HOST, "for_all": 0 if line else _FOR_ALL,
        "slots": len(slots), "sequences": sequences,
    }  # fmt: skip


class StageNative(Native):
    """What `exchange` needs of bytecode on a stage. sequences: of each slot its sequence's id, and
    the addresses of its positions and values."""

    sequences = None

    def follow(self):
        """Tells `stage` of the sequences that there are."""
        sequences, cache, at = self.sequences, self._rows[0].model.cache, 0
        for slot in cache._slots:
            sequence_id = slot[0]
            if at == _CACHE_WORDS * cache.index:
                sequence_id = cache.sequence_id
            sequences[at] = sequence_id if sequence_id >= 0 else _NOBODY
            at += _CACHE_WORDS

    def send(self, size):
        """Sends what `stage` has written, if anything."""
        outbox = self._outbox
        if size >= _FOR_HOST:
            outbox._send(self._collective._frame, size - _FOR_HOST)
        elif size >= _FOR_ALL:
            outbox._broadcast(outbox.answer, size - _FOR_ALL - ANSWER)
        else:
            Native.send(self, size)

    def proceed(self):
        """Sends what is due, and goes on with the step; what bytecode is to do it leaves due."""
        due = self.due
        while due[0] > 0:
            self.send(due[0])
            due[0] = self.run(self.block, self._collective._frame, 0)
        if due[0]:
            self.role.proceed()
