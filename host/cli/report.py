"""The report of a run: a table for people, an object for programs."""

from __future__ import annotations

from dataclasses import asdict

from host.cli.console import Console
from host.cli.tables import print_table
from host.executors.executor import Idle
from host.generation.generator import Generation
from host.generation.statistics import GenerationStatistics
from host.launch.chip_statistics import ChipStatistics

_HEADINGS = (
    "chip", "heads", "units", "rows", "shard KB", "heap KB", "free KB", "frames in",
    "frames out", "KB in", "KB out", "resent",
)  # fmt: skip


def make_report(
    prompt: str,
    text: str,
    tokens: list[int],
    statistics: GenerationStatistics,
    chips: list[ChipStatistics],
    idle: Idle | None = None,
    cut: str = "",
    answer: Generation | None = None,
) -> dict[str, object]:
    """Returns the object that `--json` prints for each prompt.

    text, tokens: as printed, so with the prompt's if the model continues it; cut: what ended an
    answer before it was complete, "" for nothing; answer: the generation, if the model's answers
    have a grammar.
    """
    return {
        "prompt": prompt,
        "text": text,
        "tokens": tokens,
        **({"cut": cut} if cut else {}),
        **(_describe_answer(answer) if answer else {}),
        "tokens_per_second": round(statistics.tokens_per_second, 2),
        "synchronizations_per_token": round(statistics.per_token(statistics.synchronizations), 3),
        "bytes_per_token": round(statistics.per_token(statistics.bytes), 1),
        "first_token_seconds": round(statistics.first_token_seconds, 3),
        **(
            {"drafted": statistics.drafted, "accepted": statistics.accepted}
            if statistics.drafted
            else {}
        ),
        "retransmissions": statistics.retransmissions,
        "recoveries": statistics.recoveries,
        **({"idle": asdict(idle)} if idle else {}),
        "chips": [chip.as_dict() for chip in chips],
    }


def _describe_answer(answer: Generation) -> dict[str, object]:
    return {
        "confidence": round(answer.confidence, 4),
        **({"refused": answer.refused} if answer.refused else {}),
        **({"needs_confirmation": True} if answer.needs_confirmation else {}),
    }


def print_report(
    console: Console,
    statistics: GenerationStatistics,
    chips: list[ChipStatistics],
    idle: Idle | None = None,
    simulated: bool = True,
) -> None:
    """Prints the report of a run for people; simulated: whether chips are processes here."""
    how = "simulated: this machine's speed, not a chip's" if simulated else "measured"
    rows = [
        (
            f"{chip.chip}", f"{chip.heads}", f"{chip.units}", f"{chip.rows}",
            f"{chip.shard_bytes / 1024:.1f}", f"{chip.heap_used / 1024:.0f}",
            f"{chip.heap_free / 1024:.0f}", f"{chip.frames_received}",
            f"{chip.frames_sent}", f"{chip.bytes_received / 1024:.0f}",
            f"{chip.bytes_sent / 1024:.0f}", f"{chip.answers_retransmitted}",
        )
        for chip in chips
    ]  # fmt: skip
    print_table(console, _HEADINGS, rows)
    first = ""
    if statistics.generations:
        waited = statistics.first_token_seconds / statistics.generations
        first = f", the first after {waited:.2f} s"
    parts = ["no figures: they are of the tokens after an answer's first, and there was none"]
    if statistics.tokens:
        parts = [
            f"{statistics.tokens} tokens at {statistics.tokens_per_second:.1f} a second{first}"
            f" ({how})",
            f"{statistics.per_token(statistics.synchronizations):.1f} synchronizations and"
            f" {statistics.per_token(statistics.bytes):,.0f} bytes a token between host and chips"
            " (measured)",
        ]
    if statistics.drafted:
        parts.append(
            f"{statistics.accepted} of {statistics.drafted} drafted tokens accepted"
            f" ({statistics.accepted / statistics.drafted:.0%})"
        )
    parts.append(f"{statistics.retransmissions} requests retransmitted")
    if statistics.recoveries:
        parts[-1] += f", {statistics.recoveries} recoveries of a lost KV cache"
    if idle:
        parts.append(
            f"{idle.stages} stages idle {idle.measured:.0%} of the time (measured); (S - 1) /"
            f" (S + M - 1) is {idle.formula:.0%} for S = {idle.stages} stages and"
            f" M = {idle.micro_batches:.3g} micro-batches at a time"
        )
    for part in [*_describe_kernels(chips), *parts]:
        console.print(part, highlight=False)


def _describe_kernels(chips: list[ChipStatistics]) -> list[str]:
    """Returns a line for each kind of kernels that chips run, and for each way in which they read
    weights that are to be mapped; none of what they do not report."""
    running: dict[str, list[str]] = {}
    for chip in chips:
        if chip.kernels:
            running.setdefault(f"kernels: {chip.kernels}", []).append(str(chip.chip))
        if chip.mapping:
            running.setdefault(f"weights: flash, {chip.mapping}", []).append(str(chip.chip))
    return [
        kind + (f", on chips {', '.join(ids)}" if len(ids) < len(chips) else "")
        for kind, ids in sorted(running.items(), key=lambda each: each[0].split(":")[0])
    ]
