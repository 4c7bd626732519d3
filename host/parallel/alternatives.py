"""Finds the one change that would make a model fastest: another link, faster lines, longer frames
on the radio, fewer or more boards.

All changes are tried with partial sums of the width that plans provide for, which is quick. The
best ones are then assessed in the same way as the present boards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from host.errors import FederationError, ModelError
from host.hardware.board import RADIO_MTUS
from host.model.outline import Divisible
from host.model.quantized import QuantizedModel
from host.parallel.assessment import Assessment, assess, assess_all, recommend
from host.parallel.boards import BoardSet
from host.parallel.cost.chip_times import NotModelled
from host.parallel.cost.latency import LatencyModel
from host.parallel.cost.recorded_text import RecordedText
from host.parallel.cost.traffic import widest_sums
from host.parallel.fitting import explain, find_plans
from host.parallel.parallelism import RING_BAUD, Parallelism
from host.parallel.plan import MAX_CHIPS, Plan

# A change is advised only if it is faster by this factor, because the model of time is not exact.
_WORTH_IT = 1.05
FASTEST_BAUD = RING_BAUD  # of common bridges
_MORE_BOARDS = 6
_TRIED = 3  # changes that are assessed, the best first, until one is as fast as estimated

# Returns the parallelism for a number of chips, None for the planner's choice. Raises
# ParallelError.
Choose = Callable[[int], Parallelism | None]


@dataclass(frozen=True)
class Change:
    """A change, as text, and the assessment of the boards with it."""

    text: str
    assessment: Assessment
    before: float  # tokens per second without it

    @property
    def tokens_per_second(self) -> float:
        """The modelled rate with the change."""
        assert self.assessment.latency is not None
        return self.assessment.latency.tokens_per_second

    def as_dict(self) -> dict[str, object]:
        """Returns the object for `--json`."""
        return {
            "text": self.text,
            "options": self.assessment.options,
            "chips": len(self.assessment.boards.boards),
            "link": self.assessment.boards.kind,
            "tokens_per_second": self.tokens_per_second,
        }

    def __str__(self) -> str:
        return (
            f"{self.text}: {self.tokens_per_second:.1f} tokens a second in place of"
            f" {self.before:.1f}, with {self.assessment.options} (modelled)"
        )


def list_changes(boards: BoardSet) -> Iterator[tuple[str, BoardSet]]:
    """Yields each change that a user could make to these boards, as text, and the boards with
    it."""
    every = boards.boards
    if boards.kind != "ring" and len(every) > 1:
        ring = replace(boards, kind="ring")
        text = f"a ring of {ring.line_baud:,} baud, each board's TX to the next one's RX"
        yield f"{text}, --link ring", ring
    if boards.kind != "uart":
        yield "a serial line to each board, --link uart", replace(boards, kind="uart")
    if boards.kind == "espnow":
        if (boards.link.mtu or 0) < RADIO_MTUS[-1]:
            longer = tuple(board.with_mtu(RADIO_MTUS[-1]) for board in every)
            text = f"a MicroPython with frames of {RADIO_MTUS[-1]:,} bytes, --radio-mtu"
            yield f"{text} {RADIO_MTUS[-1]}", replace(boards, boards=longer)
        else:  # short frames take less heap
            shorter = tuple(board.with_mtu(RADIO_MTUS[0]) for board in every)
            text = f"frames of {RADIO_MTUS[0]} bytes, --radio-mtu {RADIO_MTUS[0]}"
            yield text, replace(boards, boards=shorter)
    elif all(board.espnow for board in every):
        yield "the radio, --link espnow", replace(boards, kind="espnow")
    if (boards.line_baud or FASTEST_BAUD) < FASTEST_BAUD:
        text = f"serial lines at {FASTEST_BAUD:,} baud, --line-baud {FASTEST_BAUD}"
        yield text, boards.with_line_baud(FASTEST_BAUD)
    yield from _list_other_counts(boards)


def _list_other_counts(boards: BoardSet) -> Iterator[tuple[str, BoardSet]]:
    """Yields fewer and more boards; if they differ, one fewer or more of each kind."""
    every = boards.boards
    kinds = list(dict.fromkeys(every))
    if len(kinds) == 1:
        most = min(len(every) + _MORE_BOARDS, MAX_CHIPS)
        for count in (*range(len(every) - 1, 0, -1), *range(len(every) + 1, most + 1)):
            yield _describe_count(count, len(every)), replace(boards, boards=kinds * count)
        return
    for kind in kinds:
        at = every.index(kind)
        yield f"one {kind.name} less", replace(boards, boards=every[:at] + every[at + 1 :])
        if len(every) < MAX_CHIPS:
            yield f"one {kind.name} more", replace(boards, boards=(*every, kind))


def _describe_count(count: int, now: int) -> str:
    boards = f"{count} board{'s' * (count > 1)}"
    return f"{'only ' if count < now else ''}{boards}, --chips {count}"


def assess_with_advice(
    model: QuantizedModel, boards: BoardSet, choose: Choose
) -> tuple[list[Assessment], dict[Parallelism, ModelError], Change | None]:
    """Returns the assessments of all parallelisms that fit, or of the one to use; why others do
    not fit; and the best change. Raises ModelError, also if none fits."""
    problems: dict[Parallelism, ModelError] = {}
    text = RecordedText(model)
    if chosen := choose(len(boards.boards)):
        fitting = [assess(model, boards, boards.plan(model, chosen), text)]
    else:
        fitting, problems = assess_all(model, boards, text)
    if not fitting:
        raise explain(problems)
    return fitting, problems, find_best_change(model, boards, fitting, choose, text)


def find_best_change(
    model: QuantizedModel,
    boards: BoardSet,
    fitting: Sequence[Assessment],
    choose: Choose,
    recorded: RecordedText | None = None,
) -> Change | None:
    """Returns the change that makes one sequence fastest; None if none is worth it, or times
    cannot be modelled.

    Of numbers of boards that are nearly as fast, it is the one nearest to the present number.
    fitting: assessments of the boards as they are; recorded: the text that `assess` takes.
    """
    best = recommend(fitting)
    now = _fastest([each.plan for each in fitting], boards)
    if best is None or best.latency is None or now is None:
        return None
    before = best.latency.tokens_per_second
    tried = []
    for at, (text, changed) in enumerate(list_changes(boards)):
        with suppress(FederationError):
            found = _fastest(_plans(model, changed, choose), changed)
            if found and found[0] > now[0] * _WORTH_IT:
                tried.append((found[0], -at, text, changed, found[1]))
    tried.sort(key=lambda each: each[:2], reverse=True)
    if tried:  # a small gain is not worth another board
        near = [each for each in tried if each[0] * _WORTH_IT > tried[0][0]]
        tried = [max(near, key=lambda each: each[1]), *tried]
    for _, _, text, changed, plan in tried[:_TRIED]:
        assessed = assess(model, changed, plan, recorded)
        if assessed.latency and assessed.latency.tokens_per_second > before * _WORTH_IT:
            return Change(text, assessed, before)
    return None


def _plans(model: Divisible, boards: BoardSet, choose: Choose) -> list[Plan]:
    """Returns the plans that fit; raises FederationError if the one that is asked for does not."""
    chosen = choose(len(boards.boards))
    return [boards.plan(model, chosen)] if chosen else find_plans(model, boards)[0]


def _fastest(plans: Sequence[Plan], boards: BoardSet) -> tuple[float, Plan] | None:
    """Returns the tokens per second of the fastest plan, with the widest sums, and that plan."""
    rates = []
    with suppress(NotModelled):
        for plan in plans:
            token = plan.strategy.synchronizations(plan, True, widest_sums(plan))
            times = LatencyModel(plan, boards.boards, boards.kernels)
            rate = times.latency(token, plan.context // 2).tokens_per_second
            rates.append((rate, plan))
    return max(rates, key=lambda each: each[0], default=None)
