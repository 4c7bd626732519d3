"""Chips whose weights stay in flash, asked as a host asks them."""

from firmware.compute.several import Several
from firmware.roles.host_reduce import HostReduce
from host.wire.payloads import decode_logits, decode_partial
from protocol.frame import HEADER_SIZE
from protocol.messages import make_answer_buffer
from tests.firmware.flash_chips import (
    FlashKernels,
    MemoryPartition,
    has_partitions,
    settings_of,
)
from tests.firmware.nodes import MemoryLink, outbox_of
from tests.firmware.requests import (
    ATTENTION,
    FEED_FORWARD,
    VOCABULARY,
    compute,
    expected_sums,
    int16s,
    opened_frame,
    unpacked,
)
from tests.firmware.shards import file_of


class Asked:
    """A chip whose weights stay in flash, and the buffer that it answers into."""

    def __init__(
        self, model, part, block, combine=False, resident=0, buffers=(), rows_first=False
    ):
        self.content = file_of(model, part, combine=combine, block=block)
        self.flash = MemoryPartition(self.content, len(self.content) + 5000)
        module = has_partitions(self.flash)
        settings = settings_of(self.content, block)
        settings["buffers"] = buffers
        self.weights, self.blocks = module.load_blocks(settings, part.chip)
        weights = self.weights
        columns = {model.dim, len(part.units), len(part.heads) * model.head_dim} - {0}
        kernels = FlashKernels(model.head_dim, columns)
        module.keep_matrices(self.blocks, weights, kernels.MATVEC, resident, rows_first)
        self.blocks.install(kernels)
        weights.all = Several
        outbox = outbox_of(part.chip, MemoryLink(), weights)
        self.role = HostReduce(outbox, weights, kernels)
        self.role.on_idle = weights.on_idle(self.role.on_idle)
        self.frame = make_answer_buffer(weights.answer_size)
        self.flash.reads = []

    def payload(self, request):
        length = self.role.answer(opened_frame(request), len(request), self.frame)
        return bytes(self.frame[HEADER_SIZE : HEADER_SIZE + length])


def assert_answers(model, part, asked, position):
    """Asks for all phases of all layers at a position."""
    for layer in (0, 1):
        for phase in (ATTENTION, FEED_FORWARD):
            inputs = model.activations()
            payload = asked.payload(compute(inputs, layer, phase, position))
            expected = expected_sums(model, part, inputs, layer, phase, position)
            assert unpacked(decode_partial(payload), model.dim) == expected
            asked.role.on_idle()
    x = model.activations()[0]
    logits = decode_logits(asked.payload(compute([x], 1, VOCABULARY, position)))
    assert int16s(logits.data) == model.logits(x, part.rows)
