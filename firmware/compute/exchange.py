"""Takes in STEPs and contributions of other chips, and computes this chip's next one, in machine
code.

Where kernels are native, one native call does for a CONTRIBUTION what firmware/node.py,
protocol/auth.py, protocol/collective.py and firmware/roles/step.py do one after another: it
verifies the frame and adds its elements to the sum; when the sum is complete, it adds that to the
residual stream, computes this chip's partial sums of the next phase, and writes the frame that
contributes them, which bytecode sends; or, at the end of a step, the answer. In the same way it
begins a STEP of the host for the next position of the current sequence. Everything else is left
untouched for these modules: the first STEP of a sequence, STEPs and answers of several positions,
repairs, pieces that came before, malformed frames, sums too long for a frame. At each start
`exchange` must produce the same as they do (exchange_proof.py), or it is not used. What a stage of
a pipeline does besides is in exchange_stage.py, whose `stage` then takes the place of `exchange`.
"""

import sys
from array import array

import micropython
from uctypes import addressof

from firmware.compute.program import count_frames, slots_of
from firmware.compute.results import ANSWER, ENDED, IDLE, OTHER, PIECES
from protocol.compat import const
from protocol.frame import TYPE
from protocol.message_types import STEP

# Places in the block that exchange_block.py makes.
_SEQUENCE = const(48)
_POSITIONS = const(49)
_ATTENTION_VALUES = const(50)
_ENTER = const(-1)  # in the place of a frame's length
_PLACE_WORDS = const(3)
_PHASE = const(1)  # in a step's place


@micropython.viper
def exchange(block: ptr32, frame: ptr8, length: int) -> int:
    """Takes in a frame of `length` bytes, 0 for none, and goes on with the step.

    Returns the bytes of this chip's next frame, with ANSWER added for an answer, 0 if there is
    nothing to send, or a code of results.py. It exists in machine code only, made by
    host/build/machine_code/exchange.py.
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


@micropython.viper
def _set_sequence(block: ptr32, sequence_id: int, positions: ptr32, values: ptr32):
    block[_SEQUENCE] = sequence_id
    block[_POSITIONS] = int(positions)
    block[_ATTENTION_VALUES] = int(values)


def _exchanging(node, native):
    """Returns a `poll` for the node that tries `exchange` first."""
    role, link, received = node.role, node.outbox.link, _Received()
    poll = node._poll
    node._polled = (received,) + node._polled[1:]
    # In one tuple, for the reason given in firmware/compute/serve.py; exchange too, for a function
    # without globals need not set them, and set them back.
    is_stage = hasattr(role, "handover")  # which a STEP leads to another stage, not to the host
    parts = (
        link, role, native.block, native.run, received, poll, native.follow, native.due,
        bool if is_stage else role.keep_sender, native.proceed if is_stage else role.proceed,
    )  # fmt: skip

    @micropython.native
    def exchanged():
        link, role, block, run, received, poll, follow, due, keep_sender, proceed = parts
        length = link.receive()
        if not length:
            role.on_idle()
            return False
        frame = link.frame
        size = run(block, frame, length)
        if size == OTHER:
            received.frame, received.length = frame, length
            poll()
            follow()
        elif size:
            if frame[TYPE] == STEP:
                keep_sender()
            due[0] = size
            proceed()
        return True

    return role.timed(exchanged)


def _unload(name):
    sys.modules.pop("firmware.compute." + name, None)
    package = sys.modules["firmware.compute"]
    if hasattr(package, name):  # not if its import has failed
        delattr(package, name)


def install(node, programs):
    """Does what _install does, or nothing where the heap has no room for it.

    programs: None on a chip that reads matrices in blocks (exchange_blocks.py)."""
    try:
        _install(node, programs)
    except MemoryError:
        for name in ("exchange_block", "exchange_proof", "stage_proof"):
            _unload(name)
        # A proof that broke off may have left something of its steps, and its key.
        role, outbox = node.role, node.outbox
        role.forget()
        outbox.clear_answer()
        if outbox.signer:
            outbox.signer.session = None
            outbox.signer._signer.begin(b"")
    for name in (
        "_exchanging", "_Received", "_unload", "install", "_install", "count_frames", "slots_of",
    ):  # fmt: skip
        globals().pop(name)  # frees the heap of what is not needed again


def _install(node, programs):
    """Makes a node whose chip keeps the residual stream use `exchange`, if it proves right."""
    role, outbox = node.role, node.outbox
    step = role.step
    if not step.collective.is_narrow:
        return
    if outbox.signer and "protocol.hmac_pointers" not in sys.modules:
        return
    line = sys.modules.get("firmware.compute.exchange_line")
    of_stages = sys.modules.get("firmware.compute.exchange_stage")
    if bool(of_stages) != hasattr(role, "handover"):
        return
    places = array("I", [0] * (_PLACE_WORDS * step.residual.positions))
    slots = slots_of(step.model)
    from firmware.compute import exchange_block

    block, held, gives_logits = exchange_block.make_block(
        role, programs, places, slots, exchange, line, of_stages
    )
    del exchange_block
    _unload("exchange_block")  # before another comes
    if of_stages:
        from firmware.compute import stage_proof as proof

        native = of_stages.StageNative(role, block, places, slots, of_stages.stage)
        native.sequences = held[-1]
    else:
        from firmware.compute import exchange_proof as proof

        native = Native(role, block, places, slots, exchange)
    several = 1
    if not programs:
        from firmware.compute.exchange_blocks import InBlocks

        in_blocks = InBlocks(native)
        in_blocks.shorten(True)
        several = step.residual.positions
    elif programs.passes:
        several = programs.passes.words[0]
    native.follow()
    try:
        is_right = proof.is_right(role, native, line, several, gives_logits)
    finally:
        if not programs:
            in_blocks.shorten(False)
    if is_right:
        poll = (line.exchanging if line else _exchanging)(node, native)
        count_frames(node, memoryview(block)[:4])
        node.exchanging = held  # a reference: the block has only their addresses
        step.advance, step._contribute, node.poll = native.advance, native.contribute, poll
    del proof
    _unload("stage_proof" if of_stages else "exchange_proof")


class Native:
    """Replaces a step's `advance` and `_contribute` by ones that call `exchange`.

    run: `exchange`, or what takes its place; due: what it gave a frame that came, for `advance`;
    block: its words; cache: of the sequences whose STEPs it takes, None where it takes none.
    """

    def __init__(self, role, block, places, slots, run):
        """places: what exchange goes by of a step's rows; slots: slots_of the model."""
        step, outbox = role.step, role.outbox
        self.role, self.block, self.due, self.run = role, block, [0], run
        self.slots = slots = [
            (positions, values, addressof(positions), addressof(values))
            for positions, values in slots
        ]
        self._parts = (
            run, block, step.collective._frame, self.due, step.advance, step.place,
        )  # fmt: skip
        self._rows = step, places, slots
        self._outbox, self._collective = outbox, step.collective

    def follow(self):
        """Tells exchange of the current sequence, whose STEPs it takes."""
        cache = self.role.step.model.cache
        positions, values, _, _ = self.slots[cache.index]
        _set_sequence(self.block, cache.sequence_id, positions, values)

    def contribute(self):
        """Computes and sends the partial sums of a step's first phase."""
        step, places, slots = self._rows
        cache, rows, at = step.model.cache, step._rows, 0
        for i in range(step.place[2]):
            cache.select(rows[2 * i])
            _, _, positions, values = slots[cache.index]
            places[at], places[at + 1], places[at + 2] = rows[2 * i + 1], positions, values
            at += 3
        run, block, own, _, _, _ = self._parts
        self.send(run(block, own, _ENTER))

    def send(self, size):
        """Sends what exchange has written, if anything."""
        if size > ANSWER:
            self._outbox._send(self._outbox.answer, size - ANSWER)
        elif size > 0:
            self._outbox._broadcast(self._collective._frame, size)
        elif size == PIECES:
            self._collective.send_pieces()

    def advance(self):
        """Goes on with the step, as Step.advance does; returns whether it has ended without an
        answer of `exchange`."""
        run, block, own, due, finish, place = self._parts
        size = due[0] or run(block, own, 0)
        due[0] = 0
        while size > 0 or size <= PIECES:  # or COMPUTE
            self.send(size)
            size = run(block, own, 0)
        if size and place[_PHASE] == ENDED:
            place[_PHASE] = IDLE
            return True
        return finish() if size else False
