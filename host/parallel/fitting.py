"""Finds whether and how boards can hold a model: the one place that all commands use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from host.errors import ClusterError, ModelError
from host.hardware.board import Board
from host.model.checkpoint import Config, quantized_bytes
from host.model.outline import Divisible
from host.parallel.boards import BoardSet, list_places
from host.parallel.parallelism import (
    ANYWHERE,
    HEAP,
    HOST_REDUCE,
    Link,
    Parallelism,
    check_reachable,
)
from host.parallel.partition import partition
from host.parallel.plan import MAX_CHIPS, Plan
from host.parallel.refusal import DoesNotFit
from host.parallel.strategies import list_candidates

_OTHERS_UP_TO = 40  # chips up to which other strategies are tried if the leanest does not fit


def list_parallelisms(config: Config, boards: BoardSet) -> list[Parallelism]:
    """Returns the parallelisms to consider for a model of these dimensions on these boards: all
    that their link can carry."""
    link, chips = Link(boards.kind, boards.line, baud=boards.baud), len(boards.boards)
    found = []
    for parallelism in list_candidates(config.layers, chips, config.dim):
        with suppress(ClusterError):
            check_reachable(link, parallelism, chips)
            found.append(replace(parallelism, weights=boards.weights))
    return found


def find_plans(
    model: Divisible, boards: BoardSet
) -> tuple[list[Plan], dict[Parallelism, ModelError]]:
    """Returns a plan for each parallelism that fits, and the problem of each that does not.

    If weights may lie anywhere, plans with weights in heaps come first, then plans of the other
    parallelisms with weights in flash.
    """
    if boards.weights != ANYWHERE:
        return _try_all(model, boards, list_parallelisms(model.config, boards))
    in_heaps = replace(boards, weights=HEAP)
    plans, problems = _try_all(model, in_heaps, list_parallelisms(model.config, in_heaps))
    if len(list_places(boards.boards, ANYWHERE, boards.heap)) == 1:
        return plans, problems
    others = [replace(each, weights=ANYWHERE) for each in problems]
    in_flash, problems = _try_all(model, boards, others)
    return plans + in_flash, problems


def _try_all(
    model: Divisible, boards: BoardSet, parallelisms: Sequence[Parallelism]
) -> tuple[list[Plan], dict[Parallelism, ModelError]]:
    plans, problems = [], {}
    for parallelism in parallelisms:
        try:
            plans.append(boards.plan(model, parallelism))
        except ModelError as problem:
            problems[parallelism] = problem
    return plans, problems


def find_first_plan(
    model: Divisible, boards: BoardSet, parallelism: Parallelism | None = None
) -> Plan:
    """Returns the plan of this parallelism or, if it is None, of the first that fits. Raises
    ModelError if it does not fit, or none does."""
    if parallelism:
        return boards.plan(model, parallelism)
    plans, problems = find_plans(model, boards)
    if not plans:
        raise explain(problems)
    return plans[0]


def explain(problems: Mapping[Parallelism, ModelError]) -> ModelError:
    """Returns the problem to report if none fits: preferably one that another number of chips
    would solve, then one that a shorter context would.

    If a shorter context would solve only another problem, that advice is added.
    """
    shortages = [each for each in problems.values() if isinstance(each, DoesNotFit)]
    shorter = max((each.advice.context or 0 for each in shortages), default=0)
    for each in shortages:
        if each.advice.chips:
            return _with_context(each, shorter)
    for each in shortages:
        if each.advice.context:
            return each
    return next(iter([*shortages, *problems.values()]))


def _with_context(problem: DoesNotFit, context: int) -> DoesNotFit:
    """Returns the problem with the advice of `context` positions, if it has none of its own."""
    advice = problem.advice
    if advice.context or not context:
        return problem
    return DoesNotFit(lambda: replace(advice, context=context))


def find_fewest_chips(
    model: Divisible,
    board: Board,
    context: int,
    kind: str,
    line: str = "usb",
    weights: str = HEAP,
) -> int | None:
    """Returns the smallest number of these boards that holds the model, with any parallelism that
    the link can carry; None if no number does.

    weights: where they may lie, one of WEIGHTS. Frames are signed except on simulated boards, as
    `flash` does it.
    """

    def boards(chips: int) -> BoardSet:
        signed = not board.is_simulated
        return BoardSet((board,) * chips, kind, context, signed, line, weights=weights)

    def fits(chips: int) -> bool:
        return bool(find_plans(model, boards(chips))[0])

    most = _OTHERS_UP_TO + 1
    try:
        boards(1).plan(model, replace(HOST_REDUCE, weights=weights))
        return 1
    except DoesNotFit as problem:
        leanest = problem.chips
        most = min(most, leanest or most)
    except ModelError:
        leanest = None
    return next(filter(fits, range(1, most)), leanest)


def find_leanest_chips(
    model: Divisible,
    board: Board,
    context: int,
    kind: str,
    weights: str,
    line: str = "usb",
    most: int = MAX_CHIPS,
    tried: Sequence[Parallelism] = (HOST_REDUCE,),
) -> int | None:
    """Returns the smallest number of these boards, at most `most`, that holds the model; None if
    no number does.

    It is the quick form of find_fewest_chips for large models. tried: the parallelisms to try, by
    default the one that takes least of each chip, host reduce. The other arguments are the same.
    """
    room = board.planned_heap(kind)
    if weights != HEAP:
        room = max(room, board.weights_room)

    def fits(chips: int) -> bool:
        signed = not board.is_simulated
        boards = BoardSet((board,) * chips, kind, context, signed, line, weights=weights)
        for parallelism in tried:
            with suppress(ModelError):
                boards.plan(model, replace(parallelism, weights=weights))
                return True
        return False

    least = -(-quantized_bytes(model.config) // room)
    return next(filter(fits, range(least, most + 1)), None)


def find_obstacle(model: Divisible, context: int) -> ModelError | None:
    """Returns why not even the most chips, with unbounded heaps, can run the model; None if they
    can."""
    problems = {}
    for parallelism in list_candidates(model.config.layers, MAX_CHIPS):
        try:
            partition(model, MAX_CHIPS, context, parallelism=parallelism)
        except ModelError as problem:
            problems[parallelism] = problem
        else:
            return None
    return explain(problems)
