"""Tensor parallelism: divides every layer among all chips; the base of strategies that do so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from host.errors import ParallelError
from host.model.outline import Divisible
from host.parallel.advice import (
    describe_shortage,
    find_largest_context,
    find_nearest_count,
    make_advice,
)
from host.parallel.assignment import LocalSizes
from host.parallel.distribution import (
    GROWTH_LEAVES,
    describe_vocabulary,
    distribute,
    distribute_evenly,
)
from host.parallel.flash import order_bytes, reading_bytes, several_bytes
from host.parallel.heap import (
    FITS_GAPS,
    FLASH_CODE,
    READ_SIZE,
    SIXTH_STRINGS,
    STATION,
    HeapNeed,
    cache_bytes,
    code_bytes,
    column_bytes,
    relayed_at_once,
    table_bytes,
    weight_bytes,
    workspace_bytes,
)
from host.parallel.parallelism import STAGES_ALONE, Parallelism
from host.parallel.plan import Plan, Resources, Shard, Stage, Strategy
from host.parallel.refusal import Advice, DoesNotFit
from host.parallel.shape import LONGEST_RXBUF, RXBUF_OVERHEAD, Shape
from host.parallel.shaping import list_roomier, make_shape
from protocol.bitpack import packed_size
from protocol.cobs import encoded_size
from protocol.frame import TRAILER_SIZE
from protocol.messages import BEST_SIZE, BEST_TOKEN, LOGITS_DATA, PARTIAL_DATA


class TensorStrategy(Strategy):
    """What all kinds of tensor parallelism, and the groups of a pipeline, have in common.

    transient: bytes of heap that must stay free, because otherwise garbage would be collected all
    the time, and there would be no gap that is large enough for a buffer.
    """

    name = "tensor"
    transient: int
    hears_all_stations = False

    def candidates(self, layers: int, chips: int) -> tuple[Parallelism, ...]:
        return (Parallelism(self.name, reduce=self.reduce),)

    def make_parallelism(self, layers: int, chips: int, stages: int | None) -> Parallelism:
        if stages is not None:
            raise ParallelError(STAGES_ALONE)
        return Parallelism(self.name, reduce=self.reduce)

    def describe_options(self, parallelism: Parallelism) -> str:
        return f"--parallel {self.name} --reduce {self.reduce}"

    def describe(self, parallelism: Parallelism) -> str:
        return f"{self.name}, {'host reduce' if self.reduce == 'host' else 'all-reduce'}"

    def partition(
        self,
        model: Divisible,
        parallelism: Parallelism,
        resources: Resources,
        *,
        strict: bool = False,
    ) -> Plan:
        config, heaps, speeds = model.config, resources.heaps, resources.speeds
        shape = make_shape(self, model, resources)
        if strict:
            distribute_evenly(config, shape.chips, strict=True)
        found = distribute(self, shape, heaps, speeds)
        if found.missing:
            problem = describe_vocabulary(config.vocab_size, shape.chips)
            problem = problem or describe_shortage(shape, heaps, found.missing)
            raise DoesNotFit(lambda: self._find_advice(model, shape, resources, problem))
        left = [heap - GROWTH_LEAVES for heap in heaps]
        for roomier in list_roomier(self, shape, parallelism.slots):
            if distribute(self, roomier, left, speeds) == found:
                shape = roomier
                break
        stage = Stage(range(config.layers), range(shape.chips), shape)
        return Plan(parallelism, self, shape, (stage,), tuple(self.finish(shape, found.shards)))

    def finish(self, shape: Shape, shards: Sequence[Shard]) -> Sequence[Shard]:
        """Returns the shards with what is assigned last, after all else."""
        return shards

    def _find_advice(
        self, model: Divisible, shape: Shape, resources: Resources, problem: str
    ) -> Advice:
        heaps, speeds = resources.heaps, resources.speeds
        is_alike = len(set(heaps)) == 1

        def has_room(shape: Shape, heaps: Sequence[int], speeds: Sequence[int]) -> bool:
            return not distribute(self, shape, heaps, speeds).missing

        def fits(chips: int) -> bool:
            return has_room(replace(shape, chips=chips), [heaps[0]] * chips, [1] * chips)

        uart_helps = False
        if shape.link.has_radio and resources.uart_heaps and not self.keeps_residual:
            link = replace(shape.link, kind="uart", mtu=None)
            wired = make_shape(self, model, replace(resources, link=link))
            uart_helps = has_room(wired, resources.uart_heaps, speeds)
        return make_advice(
            problem,
            is_alike=is_alike,
            enough=find_nearest_count(shape.chips, fits) if is_alike else None,
            context=find_largest_context(
                shape.context, lambda less: has_room(replace(shape, context=less), heaps, speeds)
            ),
            uart_helps=uart_helps,
        )

    def goes_in_a_frame(self, shape: Shape) -> bool:
        """Returns whether each message of a request with all positions is one frame; on the air,
        partial sums among chips may be several."""
        sums = PARTIAL_DATA + packed_size(shape.elements, shape.bits) + TRAILER_SIZE[3]
        if shape.mtu is not None:
            sums = self.exchange_frame(shape) or sums
        return max(self.request_frame(shape), sums) <= shape.longest

    def exchange_frame(self, shape: Shape) -> int:
        """Returns the bytes of the longest frame with partial sums between chips, 0 if none."""
        return 0

    def exchange_frames(self, shape: Shape) -> int:
        """Returns the most frames for a chip's partial sums to others."""
        return 0

    def received_frame(self, shape: Shape) -> int:
        return max(shape.longest_frame(self.request_frame(shape)), self.exchange_frame(shape))

    def sent_frame(self, shape: Shape, rows: int) -> int:
        answer = shape.longest_frame(self.answer_frame(shape, rows))
        return max(answer, self.exchange_frame(shape))

    def uart_rxbuf(self, shape: Shape) -> int:
        """Returns the bytes of two framed requests, and of what other chips send at once."""
        if shape.mtu is not None:  # a gateway's line
            return 2 * shape.line_bytes(self.request_frame(shape))
        others = 0
        if exchange := self.exchange_frame(shape):
            each = self.exchange_frames(shape) * encoded_size(exchange)
            others = (shape.chips - 1 + shape.heard) * each
        return 2 * shape.line_bytes(self.request_frame(shape)) + others

    def heap_need(self, shape: Shape, chip: int, sizes: LocalSizes, rows: int) -> HeapNeed:
        place = "uart" if shape.mtu is None else "radio" if chip else "gateway"
        block = shape.block(chip)
        return HeapNeed(
            weights=weight_bytes(shape.config, sizes, rows, block),
            kv_cache=cache_bytes(shape, sizes),
            tables=self.table_bytes(shape),
            buffers=workspace_bytes(shape, sizes, rows)
            + self.exchange_bytes(shape)
            + self._node_bytes(shape, rows)
            + self._link_bytes(shape, rows, place)
            + self.flash_buffers(shape, block, sizes),
            code=self.code_bytes(shape, place)
            + column_bytes(shape.config, sizes, block > 0)
            + (self.flash_code(shape) if block else 0),
            transient=self.transient + self._gap_bytes(shape),
        )

    def flash_buffers(self, shape: Shape, block: int, sizes: LocalSizes) -> int:
        """Returns the bytes of heap for reading matrices in blocks of `block` bytes, and for
        multiplying them with several positions; 0 if they are in the heap."""
        if not block:
            return 0
        size = reading_bytes(block) + order_bytes(shape.config, sizes)
        positions = shape.positions if shape.together else 1
        return size + several_bytes(positions, shape.config.dim, sizes)

    def table_bytes(self, shape: Shape) -> int:
        """Returns the bytes of tables that are the same on all chips."""
        return table_bytes(shape)

    def exchange_bytes(self, shape: Shape) -> int:
        """Returns the bytes for exchanging partial sums among chips, 0 if they do not."""
        return 0

    def code_bytes(self, shape: Shape, place: str) -> int:
        """Returns the bytes of a chip's code and objects; place: as in heap.code_bytes."""
        return code_bytes(shape, place)

    def flash_code(self, shape: Shape) -> int:
        """Returns the bytes of code that reads weights from flash, and of its names, for which the
        tables of strings may have no room."""
        return FLASH_CODE + (SIXTH_STRINGS if shape.link.has_radio else 0)

    def _gap_bytes(self, shape: Shape) -> int:
        """Returns the bytes to leave free so that a long buffer, of those that a chip makes when
        its code has left gaps all over the heap, finds room in one piece."""
        rows = -(-shape.config.vocab_size // shape.chips)
        messages = self.request_frame(shape), self.answer_frame(shape, rows)
        longest = max(*messages, self.vector_bytes(shape))
        if shape.flash and shape.together:  # a gate and an up vector (firmware/compute/several.py)
            longest = max(longest, 8 * -(-shape.config.hidden_dim // shape.chips))
        return longest if longest > FITS_GAPS else 0

    def vector_bytes(self, shape: Shape) -> int:
        """Returns the bytes of the longest vector that chips exchange, 0 if they do not."""
        return 0

    def _node_bytes(self, shape: Shape, rows: int) -> int:
        """Returns the bytes of the kept answer, and of the buffers that reassemble fragments."""
        request, answer = self.request_frame(shape), self.answer_frame(shape, rows)
        longest = max(request, answer)
        if longest <= min(shape.mtus):
            return answer
        return answer + request + (shape.longest if longest > shape.longest else min(shape.mtus))

    def _link_bytes(self, shape: Shape, rows: int, place: str) -> int:
        """Returns the bytes of the links, and of a simulated chip's UART and ESPNow."""
        size = 0
        if place != "radio":
            received = self.received_frame(shape)
            sent = encoded_size(self.sent_frame(shape, rows))
            if shape.mtu is not None:
                received, sent = shape.mtu, relayed_at_once(shape.mtu) * encoded_size(shape.mtu)
            rxbuf = min(self.uart_rxbuf(shape), LONGEST_RXBUF)
            size += rxbuf + 2 * READ_SIZE + received + sent
        if shape.mtu is not None:
            is_gateway = place == "gateway"
            rxbuf = min(self.radio_rxbuf(shape, is_gateway), LONGEST_RXBUF)
            size += rxbuf + 5 * (shape.mtu + RXBUF_OVERHEAD)
            if is_gateway or self.hears_all_stations:
                size += STATION * (shape.chips + shape.heard)
        return size


def logits_frame(shape: Shape, rows: int) -> int:
    """Returns the bytes that the longest answer with logits of `rows` rows, or with candidates
    among them, would have as one frame."""
    return LOGITS_DATA + shape.score_bytes(rows) * shape.scored(rows) + TRAILER_SIZE[3]


def scores_frame(shape: Shape, rows: int) -> int:
    """Returns the bytes of the longest answer of a chip that keeps the residual stream: logits, or
    the best tokens, of as many positions as it takes."""
    best = BEST_TOKEN + BEST_SIZE * shape.positions + TRAILER_SIZE[3]
    return max(logits_frame(shape, rows), best)
