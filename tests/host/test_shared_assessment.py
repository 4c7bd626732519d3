"""What the planner finds out once for all plans of a model is what each plan by itself shows."""

import itertools

import pytest

from host.hardware.boards import load
from host.model.checkpoint import Config
from host.model.quantized import QuantizedModel
from host.model.reference import Reference
from host.model.tokenizers.bpe import BOS
from host.parallel.alternatives import find_best_change
from host.parallel.assessment import assess_all, recommend
from host.parallel.boards import BoardSet
from host.parallel.cost.estimate import PROMPT
from host.parallel.cost.instructions import chip_instructions, message_instructions
from host.parallel.cost.kernel_costs import KERNELS
from host.parallel.cost.latency import LatencyModel
from host.parallel.cost.recorded_text import TYPICAL_TOKENS, RecordedText
from host.parallel.cost.widths import SumWidths
from host.parallel.fitting import find_plans
from host.parallel.plan import Plan
from host.parallel.synchronization import PHASE_PARTS, Widths
from protocol.messages import PHASE_VOCABULARY
from tests.host.tiny import seeded_model

SMALL = Config(24, 40, 3, 4, 2, 70, 48)
WIDE = Config(80, 96, 2, 6, 3, 120, 40, head_dim=16)
SHORT = Config(32, 50, 2, 2, 2, 64, 9)
MODELS = [SMALL, SHORT, pytest.param(WIDE, marks=pytest.mark.verify)]
BOARDS = {
    "alike": ("esp32s3",) * 5,
    "mixed": ("esp32s3", "esp32", "esp32c3", "esp32s3-n16r8"),
}


@pytest.fixture(scope="module", params=MODELS, ids=["small", "short", "wide"])
def model(request: pytest.FixtureRequest) -> QuantizedModel:
    return seeded_model(request.param)


def board_set(name: str, kind: str = "espnow") -> BoardSet:
    return BoardSet(tuple(map(load, BOARDS[name])), kind, None, True, "pins")


def widths_by_shards(model: QuantizedModel, plan: Plan) -> Widths:
    """The widest of what the plan's own shards give, token by token."""
    sums, token, seen = SumWidths(model, plan), BOS, []
    for _ in range(min(TYPICAL_TOKENS, plan.context)):
        token = sums.run(token)
        now = sums.widths
        found = {
            (layer, phase, shard.chip, at): now.partial_sum(layer, phase, shard.chip, one)
            for layer, phase, shard in itertools.product(
                range(model.config.layers), PHASE_PARTS, plan.shards
            )
            if phase != PHASE_VOCABULARY
            and getattr(shard, PHASE_PARTS[phase])
            and shard.chip in plan.group(layer)
            for at, one in enumerate((range(1), range(1, 2), range(1 << 20)))
        }
        streams = [now.residual(layer) for layer in range(model.config.layers + 1)]
        seen.append((found, now.embedding, streams))
    widest = {key: max(found[key] for found, _, _ in seen) for key in seen[0][0]}
    streams = list(map(max, zip(*(of for _, _, of in seen), strict=True)))

    def width(layer: int, phase: int, chip: int, elements: range) -> int:
        at = [range(1), range(1, 2), range(1 << 20)].index(elements)
        return widest[layer, phase, chip, at]

    return Widths(width, max(bits for _, bits, _ in seen), lambda layer: streams[layer])


@pytest.mark.parametrize("boards", BOARDS)
def test_a_recorded_text_has_the_widths_of_every_plans_own_shards(
    model: QuantizedModel, boards: str
) -> None:
    plans, _ = find_plans(model, board_set(boards))
    assert len(plans) >= 3
    for plan in plans:
        sums = SumWidths(model, plan)
        sums.run_typical()
        expected, found = widths_by_shards(model, plan), sums.widths
        assert found.embedding == expected.embedding
        layers = range(model.config.layers)
        assert [found.residual(i) for i in layers] == [expected.residual(i) for i in layers]
        for layer, phase, shard in itertools.product(layers, PHASE_PARTS, plan.shards):
            is_part = shard.chip in plan.group(layer) and getattr(shard, PHASE_PARTS[phase])
            if phase == PHASE_VOCABULARY or not is_part:
                continue
            for elements in (range(1), range(1 << 20)):
                of = layer, phase, shard.chip, elements
                assert found.partial_sum(*of) == expected.partial_sum(*of), (plan.strategy, of)


@pytest.mark.parametrize("kind", ["espnow", "uart", "ring"])
def test_messages_take_together_what_each_takes(model: QuantizedModel, kind: str) -> None:
    costs = KERNELS["rv32imc"]
    for plan in find_plans(model, board_set("alike", kind))[0]:
        sums = SumWidths(model, plan)
        sums.run_typical(2)
        for each in plan.strategy.synchronizations(plan, True, sums.widths):
            if each.phase not in (0, 1, 2):  # whose calls cost differently
                continue
            messages = (*each.requests, *each.answers)
            for chip in range(plan.chips):
                whole = chip_instructions(plan, chip, each, 5, costs)
                alone = chip_instructions(plan, chip, each, 5, costs, 1, [])
                carried = sum(message_instructions(plan, chip, one, costs) for one in messages)
                assert whole - alone == pytest.approx(carried, abs=1e-3)


@pytest.mark.parametrize("boards", BOARDS)
def test_the_choice_is_that_of_plans_that_are_assessed_one_by_one(
    model: QuantizedModel, boards: str
) -> None:
    of = board_set(boards)
    fitting, _ = assess_all(model, of)
    seconds, first = [], []
    for each in fitting:
        plan, widths = each.plan, SumWidths(model, each.plan)
        widths.run_typical()
        times = LatencyModel(plan, of.boards)
        token = plan.strategy.synchronizations(plan, True, widths.widths)
        seconds.append(times.latency(token, plan.context // 2).total)
        first.append(prompt_seconds(plan, times, widths.widths))
    assert [each.latency.total for each in fitting if each.latency] == seconds
    assert [each.first_token for each in fitting] == first
    best = recommend(fitting)
    assert best is not None and best.plan == fitting[seconds.index(min(seconds))].plan


def prompt_seconds(plan: Plan, times: LatencyModel, widths: Widths) -> float:
    """Of a prompt, request by request."""
    seconds, left = 0.0, min(PROMPT, plan.context)
    while left:
        rows = min(plan.positions, left)
        left -= rows
        token = plan.strategy.synchronizations(plan, True, widths, rows)
        token = [each for each in token if each.phase != PHASE_VOCABULARY or not left]
        seconds += times.latency(token, PROMPT // 2, rows).total
    return seconds


def test_the_model_runs_once_and_each_plan_is_timed_a_few_times(
    model: QuantizedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps, latencies = [], []
    step, latency = Reference.step, LatencyModel.latency

    def count_step(self: Reference, tokens: list[int]) -> object:
        steps.append(tokens)
        return step(self, tokens)

    def count_latency(self: LatencyModel, *arguments: object) -> object:
        latencies.append(self)
        return latency(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Reference, "step", count_step)
    monkeypatch.setattr(LatencyModel, "latency", count_latency)
    fitting, _ = assess_all(model, board_set("alike"))
    assert len(steps) == min(TYPICAL_TOKENS, model.config.context)
    # A token of one sequence and of several, each stage's, and a prompt's last request and others.
    most = [2 + 2 + len(each.plan.stages) * (len(each.plan.stages) > 1) for each in fitting]
    assert len(fitting) >= 3 and len(latencies) <= sum(most)


def test_a_change_is_assessed_with_the_same_text(
    model: QuantizedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    boards, text = board_set("alike"), RecordedText(model)
    fitting, _ = assess_all(model, boards, text)
    monkeypatch.setattr(Reference, "step", None)  # which would run it again
    assert find_best_change(model, boards, fitting, lambda chips: None, text) is not None
