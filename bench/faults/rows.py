"""The figures of `python -m bench faults`: how clusters cope with faults, in virtual time and in
long runs.

All runs are seeded and counted; virtual times are modelled: each frame takes a millisecond, and
chips compute in no time. Chips in virtual time run the firmware's own sources under CPython with
plain kernels; those of the long runs are processes of MicroPython.
"""

from __future__ import annotations

from collections.abc import Iterator

from bench.faults.attacks import count_accepted, run_malformed, survives_replay
from bench.faults.cases import LINKS, PROMPT, STEPS, STRATEGIES, Case, all_cases
from bench.faults.endurance import run_long
from bench.faults.runs import run_with_loss, run_with_restart
from bench.results import Label, Row

LOSSES = (0.0, 0.1, 0.2, 0.3, 0.4)
SEEDS = (1, 2)
RESTARTS = 100
REPLAYED = 10
FORGERIES = 320_000
MALFORMED = 100_000
TOKENS = 10_000


def loss_rows() -> Iterator[Row]:
    """Yields how many texts, of two, are the reference's, and the time per token."""
    for case in all_cases():
        for loss in LOSSES:
            outcomes = [run_with_loss(case, loss, seed) for seed in SEEDS]
            seconds = sum(outcome.seconds for outcome in outcomes) / len(outcomes)
            shape = f"{loss:.0%} of frames lost"
            equal = sum(outcome.is_equal for outcome in outcomes)
            yield _row("equal texts", str(case), shape, equal, f"of {len(SEEDS)}")
            per_token = 1000 * seconds / (STEPS - len(PROMPT))
            time = round(per_token)
            yield _row("virtual time a token", str(case), shape, time, "ms", Label.MODELLED)


def restart_rows(strategies: tuple[str, ...] = tuple(STRATEGIES)) -> Iterator[Row]:
    """Yields restarts, one in each text, after which the text is the reference's; with a key, half
    on each link."""
    for strategy in strategies:
        equal = 0
        for number in range(RESTARTS):
            link = list(LINKS)[number % len(LINKS)]
            equal += run_with_restart(Case(strategy, link, True), number).is_equal
        yield _row("restarts survived", strategy, "signed", equal, f"of {RESTARTS}")


def replay_rows(strategies: tuple[str, ...] = tuple(STRATEGIES)) -> Iterator[Row]:
    """Yields restarts under replayed and forged handshakes, after which the text is the
    reference's."""
    for strategy in strategies:
        case = Case(strategy, "ESP-NOW", True)
        equal = sum(survives_replay(case, number) for number in range(REPLAYED))
        yield _row("restart under replay", strategy, "500 a second", equal, f"of {REPLAYED}")


def attack_rows() -> Iterator[Row]:
    """Yields frames of non-members that were accepted, and errors other than ClusterError."""
    cases = list(all_cases(signed=(True,)))
    accepted = tried = 0
    for number, case in enumerate(cases):
        of_case = count_accepted(case, FORGERIES // len(cases), number)
        accepted, tried = accepted + of_case[0], tried + of_case[1]
    yield _row("frames accepted", "all", f"{FORGERIES:,} replayed or forged", accepted, "frames")
    assert tried >= FORGERIES


def malformed_rows(strategies: tuple[str, ...] = tuple(STRATEGIES)) -> Iterator[Row]:
    """Yields errors other than ClusterError that malformed messages caused on the host."""
    each = MALFORMED // len(STRATEGIES) // len(LINKS)
    for strategy in strategies:
        given, strange = 0, 0
        for link in LINKS:
            of_case = run_malformed(Case(strategy, link, False), each, 1)
            given, strange = given + of_case[0], strange + sum(of_case[1].values())
        yield _row("malformed messages", strategy, "given to the host", given, "messages")
        yield _row("other errors than ClusterError", strategy, "of them", strange, "errors")


def endurance_rows(strategies: tuple[str, ...] = tuple(STRATEGIES)) -> Iterator[Row]:
    """Yields the growth of memory in long runs."""
    shape = f"{TOKENS:,} tokens, signed"
    for strategy in strategies:
        growth = run_long(strategy, "ESP-NOW", TOKENS)
        yield _row("growth of the fullest chip's heap", strategy, shape, growth.heap, "bytes")
        yield _row("growth of the host's memory", strategy, shape, growth.blocks, "blocks")


ALL_ROWS = (
    loss_rows, restart_rows, replay_rows, attack_rows, malformed_rows, endurance_rows,
)  # fmt: skip


def fault_rows() -> Iterator[Row]:
    """Yields all rows."""
    for rows in ALL_ROWS:
        yield from rows()


def _row(
    name: str, target: str, shape: str, value: float, unit: str, label: Label = Label.MEASURED
) -> Row:
    return Row(name, target, shape, value, unit, label)
