"""How much of a chip's heap its share takes, part by part."""

from __future__ import annotations

from dataclasses import dataclass

from host.model import arithmetic
from host.model.checkpoint import Config
from host.parallel.assignment import LocalSizes
from protocol.bitpack import packed_size
from protocol.cobs import encoded_size
from protocol.collective import CONTRIBUTION_FIELDS
from protocol.fragment import fragment_room
from protocol.frame import HEADER_SIZE, TRAILER_SIZE
from protocol.messages import LOGITS_DATA, PARTIAL_DATA, REQUEST_SIZE, STEP_DATA

# Code and objects of firmware and protocol, and on a simulated chip of the modules that stand in
# for a board's: what the parts below leave of the heap that such a chip reports. Measured;
# tests/host/test_memory.py holds these figures to what chips report.
CODE = {"uart": 35_225, "radio": 42_265, "gateway": 43_715}
# Objects of each layer, beside its buffers, and what those of its norms add where chips combine.
_LAYER, _COMBINED_LAYER = 287, 127
# What authentication adds, beside the windows in which replayed frames are noticed: so many bytes
# for each chip and for the host.
SIGNING, _WINDOW = 4_650, 12
# What chips that combine add: firmware/combining_node.py and all that it imports.
COMBINING = 11_050
# What stages of a pipeline add to that, firmware/stage_node.py and stage.py, and for each layer
# the objects of its caches.
STAGING, _STAGED_LAYER = 4_120, 106
# MicroPython's table of strings grows in pieces, each twice the last: the sixth, of 640, is needed
# where there are more than 620 names, those of stand-ins among them.
_SIXTH_STRINGS = 4_500
# What a chip's ESPNow keeps of each station that it hears.
_STATION = 90
# Free heap without which garbage would be collected at every turn, and a buffer find no place
# between the smaller ones; by who adds up the partial sums.
TRANSIENT = {"host": 6_144, "chips": 8_192}
# MicroPython keeps 3 bits for each block of 16 bytes of its heap.
_HEAP_OVERHEAD = 128 / 131
_RXBUF_OVERHEAD = 14  # bytes that ESP-NOW's receive buffer keeps beside a message
_READ_SIZE = 256
_RELAYED_AT_ONCE = 4  # firmware/main.py: answers that a gateway writes to the host together
RESIDUAL_BITS = arithmetic.RESIDUAL_LIMIT.bit_length() + 1  # and a sign
COMBINE = ("host", "chips")  # who adds up the partial sums


@dataclass(frozen=True)
class Pipe:
    """What a stage has to do with the others of its pipeline.

    slots: sequences whose keys and values it holds; heard: chips of other stages whose messages
    reach it; last: chips of the last stage; answers: whether it is that.
    """

    slots: int
    heard: int
    last: int
    answers: bool


@dataclass(frozen=True)
class Shape:
    """What all chips of a federation, or of a stage, have in common, and the link between them.

    positions: in one request; bits: of the widest partial sum; mtu: None on UART; signed: whether
    frames are (version 3); combine: one of COMBINE; pipe: None where there are no stages. Of a
    stage, config has its layers only, and chips are its own.
    """

    config: Config
    chips: int
    context: int
    positions: int
    bits: int
    mtu: int | None = None
    signed: bool = False
    combine: str = "host"
    pipe: Pipe | None = None

    @property
    def slots(self) -> int:
        """Sequences whose keys and values are held at once."""
        return self.pipe.slots if self.pipe else 1

    @property
    def chips_combine(self) -> bool:
        """Whether chips keep the residual stream and add up the partial sums themselves."""
        return self.combine == "chips"

    @property
    def elements(self) -> int:
        """Of the residual stream of all positions in one request."""
        return self.positions * self.config.dim

    @property
    def request_frame(self) -> int:
        """Bytes of the longest COMPUTE frame, or STEP frame where chips combine."""
        if self.chips_combine:
            return STEP_DATA + packed_size(self.elements, RESIDUAL_BITS) + TRAILER_SIZE[3]
        return HEADER_SIZE + REQUEST_SIZE + 2 * self.elements + TRAILER_SIZE[3]

    def answer_frame(self, rows: int) -> int:
        """Bytes of the longest answer frame of a chip that has `rows` rows of the vocabulary."""
        logits = LOGITS_DATA + 2 * rows + TRAILER_SIZE[3]
        if self.pipe and not self.pipe.answers:
            return self.request_frame  # the next stage's
        if self.chips_combine:
            return logits
        return max(logits, PARTIAL_DATA + packed_size(self.elements, self.bits) + TRAILER_SIZE[3])

    @property
    def contribution_frame(self) -> int:
        """Bytes of the longest frame with partial sums from chip to chip, 0 where none goes."""
        if not self.chips_combine:
            return 0
        fields = HEADER_SIZE + CONTRIBUTION_FIELDS + TRAILER_SIZE[3]
        whole = fields + packed_size(self.elements, self.bits)
        return whole if self.mtu is None else min(whole, self.mtu)

    @property
    def received_frame(self) -> int:
        """Bytes of the longest frame that comes to a chip on UART."""
        return max(self.request_frame, self.contribution_frame)

    def sent_frame(self, rows: int) -> int:
        """Bytes of the longest frame that a chip on UART with so many rows sends."""
        return max(self.answer_frame(rows), self.contribution_frame)

    @property
    def uart_rxbuf(self) -> int:
        """Bytes of the serial line's receive buffer: two requests, as they are framed, and where
        chips combine over UART what all others contribute."""
        if self.mtu is None:
            others = self.chips - 1 if self.chips_combine else 0
            requests = 2 * encoded_size(self.request_frame)
            if self.pipe:
                others += self.pipe.heard
            return requests + others * encoded_size(self.contribution_frame)
        return 2 * self._frames(self.request_frame) * encoded_size(self.mtu)

    def radio_rxbuf(self, gateway: bool) -> int:
        """Bytes of ESP-NOW's receive buffer: two requests, or at the gateway all answers; where
        chips combine, two requests and what all others send at once."""
        assert self.mtu is not None
        requests = 2 * self._frames(self.request_frame)
        each = self._contributions() if self.chips_combine else 0
        if gateway and not self.pipe:
            rows = -(-self.config.vocab_size // self.chips)
            each = max(each, self._frames(self.answer_frame(rows)))
        others = each * (self.chips - 1)
        if self.pipe:  # with an acknowledgement each
            others += (max(each, self._frames(self.request_frame)) + 1) * self.pipe.heard
        if self.pipe and gateway:
            rows = -(-self.config.vocab_size // self.pipe.last)
            others += self.pipe.last * self._frames(LOGITS_DATA + 2 * rows + TRAILER_SIZE[3])
        frames = requests + others if self.chips_combine else max(requests, others)
        return (self.mtu + _RXBUF_OVERHEAD) * frames

    def _contributions(self) -> int:
        """How many frames on the radio a chip's partial sums are; see protocol/collective.py."""
        assert self.mtu is not None
        room = self.mtu - HEADER_SIZE - TRAILER_SIZE[3] - CONTRIBUTION_FIELDS
        return -(-self.elements // (8 * room // self.bits))

    def _frames(self, frame: int) -> int:
        """How many frames on the radio a frame of this length is."""
        assert self.mtu is not None
        if frame <= self.mtu:
            return 1
        payload = frame - HEADER_SIZE - TRAILER_SIZE[3]
        return -(-payload // fragment_room(3, self.mtu))


@dataclass(frozen=True)
class HeapNeed:
    """Bytes of a chip's heap."""

    weights: int  # of the chip's own share
    kv_cache: int
    tables: int  # the same on all chips: functions, and norms where they combine
    buffers: int
    code: int
    transient: int  # room for what comes and goes

    @property
    def kept(self) -> int:
        """All that stays."""
        return self.weights + self.kv_cache + self.tables + self.buffers + self.code

    @property
    def total(self) -> int:
        """All parts."""
        return self.kept + self.transient


def heap_need(shape: Shape, chip: int, sizes: LocalSizes, rows: int) -> HeapNeed:
    """What a chip with so much of each layer, and so many vocabulary rows, needs."""
    config = shape.config
    link = "uart" if shape.mtu is None else "radio" if chip else "gateway"
    return HeapNeed(
        weights=weight_bytes(config, sizes, rows),
        kv_cache=4 * config.layers * shape.slots * shape.context * sizes.kv_size,
        tables=_table_bytes(shape),
        buffers=_workspace_bytes(shape, sizes, rows)
        + _combining_bytes(shape)
        + _node_bytes(shape, rows)
        + _link_bytes(shape, rows, link),
        code=_code_bytes(shape, link),
        transient=TRANSIENT[shape.combine],
    )


def usable(heap: int) -> int:
    """Bytes that a heap of `heap` bytes has for blocks."""
    return int(heap * _HEAP_OVERHEAD)


def weight_bytes(config: Config, sizes: LocalSizes, rows: int) -> int:
    """Weights and multipliers of so much of each layer, and of so many vocabulary rows."""
    multipliers = 2 * (sizes.q_size + 2 * sizes.kv_size)
    weights = 2 * (sizes.q_size + sizes.kv_size) * config.dim  # q and o, k and v
    attention = config.layers * (multipliers + weights)
    return attention + sizes.intermediate * unit_bytes(config) + rows * row_bytes(config)


def unit_bytes(config: Config) -> int:
    """Weights and multipliers of one feed-forward unit in all layers."""
    return config.layers * (3 * config.dim + 4)


def norm_bytes(config: Config) -> int:
    """What a chip holds beside its share where chips combine: the gains of all norms, and the
    row multipliers of o and down."""
    return 2 * config.dim * (4 * config.layers + 1)


def row_bytes(config: Config) -> int:
    """Weights and multiplier of one vocabulary row."""
    return config.dim + 2


def _code_bytes(shape: Shape, link: str) -> int:
    code = CODE[link] + _LAYER * shape.config.layers
    if shape.signed:
        code += SIGNING + _WINDOW * (shape.chips + 1)
    if shape.chips_combine:
        code += COMBINING + _COMBINED_LAYER * shape.config.layers
    if shape.pipe:
        code += STAGING + _STAGED_LAYER * shape.config.layers
    many_names = shape.chips_combine and (shape.mtu or (shape.pipe and shape.signed))
    return code + (_SIXTH_STRINGS if many_names else 0)


def _table_bytes(shape: Shape) -> int:
    """The exponential, sigmoid and rope tables, and where chips combine what norms take."""
    rope_rows = arithmetic.ROPE_STRIDE + -(-shape.context // arithmetic.ROPE_STRIDE)
    entries = len(arithmetic.exp_table()) + len(arithmetic.sigmoid_table())
    tables = 2 * (entries + rope_rows * shape.config.head_dim)
    return tables + (norm_bytes(shape.config) if shape.chips_combine else 0)


def _workspace_bytes(shape: Shape, sizes: LocalSizes, rows: int) -> int:
    """firmware/workspace.py."""
    dim = shape.config.dim
    widest = max(sizes.q_size + 2 * sizes.kv_size, 2 * sizes.intermediate, rows)
    scores = shape.context if sizes.heads else 0
    return 4 * (dim + widest + sizes.q_size + sizes.head_dim + scores + shape.elements)


def _combining_bytes(shape: Shape) -> int:
    """firmware/combined.py: the residual stream; protocol/collective.py: two vectors of sums, two
    contributions of its own, and the frame that goes out; firmware/stage_node.py: a STEP."""
    if not shape.chips_combine:
        return 0
    pending = shape.request_frame if shape.pipe else 0
    return 5 * 4 * shape.elements + shape.contribution_frame + pending


def _node_bytes(shape: Shape, rows: int) -> int:
    """firmware/node.py: the answer that is kept, and what fragments are put together in."""
    answer = shape.answer_frame(rows)
    if shape.mtu is None or max(shape.request_frame, answer) <= shape.mtu:
        return answer
    return answer + shape.request_frame + shape.mtu


def _link_bytes(shape: Shape, rows: int, link: str) -> int:
    """firmware/uart.py and radio.py, and what a simulated chip's UART and ESPNow keep."""
    size = 0
    if link != "radio":
        received, sent = shape.received_frame, encoded_size(shape.sent_frame(rows))
        if shape.mtu is not None:
            received, sent = shape.mtu, _RELAYED_AT_ONCE * encoded_size(shape.mtu)
        size += shape.uart_rxbuf + 2 * _READ_SIZE + received + sent
    if shape.mtu is not None:
        size += shape.radio_rxbuf(link == "gateway") + 5 * (shape.mtu + _RXBUF_OVERHEAD)
        if link == "gateway" or shape.chips_combine:
            size += _STATION * (shape.chips + (shape.pipe.heard if shape.pipe else 0))
    return size
