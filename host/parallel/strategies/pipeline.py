"""Pipeline parallelism: each chip holds whole layers, and passes on what comes out of them.

The residual stream goes from stage to stage as a STEP, several sequences at a time; the last stage
answers. A stage may also be a group of chips that divide its layers (hybrid.py): in it they add up
partial sums as in all_reduce.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from host.errors import ModelError, ParallelError
from host.model.outline import Divisible
from host.parallel.advice import (
    describe_shortage,
    find_largest_context,
    find_nearest_count,
    make_advice,
)
from host.parallel.distribution import describe_vocabulary
from host.parallel.parallelism import STAGES_ALONE, Parallelism
from host.parallel.plan import MAX_CHIPS, Plan, Resources
from host.parallel.refusal import Advice, DoesNotFit
from host.parallel.shape import Shape
from host.parallel.shaping import make_shape
from host.parallel.strategies.all_reduce import AllReduce
from host.parallel.strategies.stages import StagePlanner, group_chips
from host.parallel.strategies.tensor import scores_frame
from host.parallel.strategies.traffic import (
    ack_message,
    contribution_messages,
    find_owners,
    score_message,
    step_message,
)
from host.parallel.synchronization import Synchronization, Widths
from protocol.frame import HEADER_SIZE, HOST, TRAILER_SIZE
from protocol.messages import ACK_SIZE, PHASE_ATTENTION, PHASE_FEED_FORWARD, PHASE_VOCABULARY

# What the role adds to a chip's code and objects besides all-reduce's, and for each layer the
# objects of its caches. Measured, as heap.CODE.
ROLE_CODE, _ROLE_LAYER = 5_100, 106
# Acknowledgements of each other chip that may pass a chip in a ring while it computes.
_PASSING = 2
# The most chips to try when a number that fits is sought: trying all takes half a minute.
_ALL_UP_TO = 40
_TRIED = (*range(2, _ALL_UP_TO + 1), 48, 60, 80, 100, 128, 160, 200, MAX_CHIPS)


def count_stages(layers: int, chips: int) -> int:
    """Returns how many stages a pipeline has: one for each chip, at most one for each layer."""
    return min(layers, chips)


class Pipeline(AllReduce):
    """Each chip holds whole layers."""

    name = "pipeline"
    summary = "each chip holds whole layers, and passes on to the next what comes out of them"
    executor = role = "pipeline"

    def candidates(self, layers: int, chips: int) -> tuple[Parallelism, ...]:
        if chips == 1:
            return ()
        return (self.make_parallelism(layers, chips, None),)

    def make_parallelism(self, layers: int, chips: int, stages: int | None) -> Parallelism:
        if stages is not None:
            raise ParallelError(STAGES_ALONE)
        return Parallelism(self.name, count_stages(layers, chips), self.reduce)

    def describe_options(self, parallelism: Parallelism) -> str:
        return f"--parallel {self.name}"

    def describe(self, parallelism: Parallelism) -> str:
        stages = parallelism.stages
        return f"{self.name} in {stages} stage{'s' * (stages != 1)}"

    def partition(
        self,
        model: Divisible,
        parallelism: Parallelism,
        resources: Resources,
        *,
        strict: bool = False,
    ) -> Plan:
        """Divides layers among stages, and each stage's layers among its chips.

        Chips are divided evenly among stages, larger groups last, because the last stage has the
        classifier too. Layers are divided in proportion to the sizes of groups or, if chips
        differ, to their total speeds, with the remainder to the first; if heaps do not allow that,
        by the room in them. Each chip has caches for several sequences, at most one more than
        there are stages, as far as heaps allow.
        """
        stages, chips, layers = parallelism.stages, resources.chips, model.config.layers
        shape = make_shape(self, model, resources)
        if not 1 <= stages <= min(layers, chips):
            raise ModelError(
                f"stages must be 1 to {min(layers, chips)} for {layers} layers on {chips}"
                f" chip{'s' * (chips > 1)}, got {stages}"
            )
        planner = StagePlanner(self, resources.heaps, resources.speeds, stages)
        plan = planner.plan(shape, parallelism)
        if plan is None:
            raise DoesNotFit(lambda: self._find_advice_on_stages(planner, shape, parallelism))
        return plan

    def _find_advice_on_stages(
        self, planner: StagePlanner, shape: Shape, parallelism: Parallelism
    ) -> Advice:
        heaps, stages = planner.heaps, parallelism.stages

        def fits(chips: int) -> bool:
            stages = self.stages_of_chips(shape.config.layers, chips, parallelism)
            if stages is None:
                return False
            planner = StagePlanner(self, (heaps[0],) * chips, (1,) * chips, stages)
            return planner.plan(replace(shape, chips=chips), parallelism) is not None

        def has_room_for(context: int) -> bool:
            return planner.plan(replace(shape, context=context), parallelism) is not None

        last = len(group_chips(shape.chips, stages)[-1])
        problem = describe_vocabulary(shape.config.vocab_size, last)
        if problem:
            problem = f"in {stages} stages, of the last one's chips {problem}"
        else:
            missing = planner.count_missing(shape)
            problem = f"in {stages} stages, {describe_shortage(shape, heaps, missing)}"
        is_alike = len(set(heaps)) == 1
        return make_advice(
            problem,
            is_alike=is_alike,
            enough=find_nearest_count(shape.chips, fits, _TRIED) if is_alike else None,
            context=find_largest_context(shape.context, has_room_for),
            tried=_ALL_UP_TO,
        )

    def stages_of_chips(self, layers: int, chips: int, parallelism: Parallelism) -> int | None:
        """Returns the number of stages with `chips` chips, None if that is impossible."""
        return count_stages(layers, chips)

    def answer_frame(self, shape: Shape, rows: int) -> int:
        """Returns the bytes of the longest answer; before the last stage it is the next
        request."""
        return scores_frame(shape, rows) if shape.answers else self.request_frame(shape)

    def uart_rxbuf(self, shape: Shape) -> int:
        """Returns the bytes of two requests in a ring, and of what passes while a chip computes:
        acknowledgements of the other chips and the host."""
        if not shape.link.is_ring:
            return super().uart_rxbuf(shape)
        acknowledgement = shape.line_bytes(HEADER_SIZE + ACK_SIZE + TRAILER_SIZE[3])
        passing = _PASSING * (shape.heard + 1) * acknowledgement
        return 2 * shape.line_bytes(self.request_frame(shape)) + passing

    def radio_rxbuf(self, shape: Shape, gateway: bool) -> int:
        """Returns the bytes of two requests, of what the others of the group send at once, of
        messages of other stages with an acknowledgement each and, at the gateway, of the answers
        of the last stage."""
        assert shape.mtu is not None
        each = self.exchange_radio_bytes(shape)
        request = shape.radio_bytes(self.request_frame(shape))
        acknowledgement = shape.radio_bytes(HEADER_SIZE + ACK_SIZE + TRAILER_SIZE[3])
        size = 2 * request + each * (shape.chips - 1)
        size += (max(each, request) + acknowledgement) * shape.heard
        if gateway:
            rows = -(-shape.config.vocab_size // shape.last)
            size += shape.last * shape.radio_bytes(scores_frame(shape, rows))
        return size

    def exchange_bytes(self, shape: Shape) -> int:
        """Returns the bytes of all-reduce's, and of a STEP that waits."""
        return super().exchange_bytes(shape) + self.request_frame(shape)

    def code_bytes(self, shape: Shape, place: str) -> int:
        code = super().code_bytes(shape, place)
        return code + ROLE_CODE + _ROLE_LAYER * shape.config.layers

    def has_many_names(self, shape: Shape) -> bool:
        return shape.link.has_radio or shape.link.signed

    def synchronizations(
        self, plan: Plan, greedy: bool, widths: Widths, rows: int = 1
    ) -> Sequence[Synchronization]:
        """Returns a STEP from stage to stage and in each group CONTRIBUTIONs; then the answers to
        the host. All but CONTRIBUTIONs are acknowledged."""
        token = []
        sender = HOST
        for stage in plan.stages:
            chips = list(stage.chips)
            first = stage.layers.start
            bits = widths.residual(first) if first else widths.embedding
            taken = (
                step_message(plan, sender, chips, bits, rows),
                *(ack_message(chip, sender) for chip in chips),
            )
            for layer in stage.layers:
                for phase in (PHASE_ATTENTION, PHASE_FEED_FORWARD):
                    sent = contribution_messages(plan, layer, phase, widths.partial_sum, rows)
                    token.append(Synchronization(layer, phase, taken, sent))
                    taken = ()
            sender = chips[0]
        with_rows = find_owners(plan, PHASE_VOCABULARY)
        answers = [score_message(plan, chip, greedy, rows) for chip in with_rows]
        answers += [ack_message(HOST, chip) for chip in with_rows]
        last = plan.stages[-1].layers[-1]
        return [*token, Synchronization(last, PHASE_VOCABULARY, (), tuple(answers))]


STRATEGY = Pipeline()
