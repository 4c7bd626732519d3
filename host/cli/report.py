"""What a run says of itself: a table for people, an object for programs."""

from __future__ import annotations

from dataclasses import asdict, astuple, dataclass

from rich.console import Console
from rich.table import Table

from host.executors.executor import Idle
from host.parallel.plan import Shard
from host.wire.reports import Statistics


@dataclass(frozen=True)
class Totals:
    """Figures of the generated tokens, the prompt's not counted; resends and caught_up are of
    the prompts too. Those of several answers add up.

    seconds: by the clock of the machine that simulates; bytes: frames between host and chips,
    both ways, as the host sees them.
    """

    tokens: int = 0
    seconds: float = 0.0
    synchronizations: int = 0
    bytes: int = 0
    resends: int = 0
    caught_up: int = 0

    def __add__(self, other: Totals) -> Totals:
        return Totals(
            *(mine + its for mine, its in zip(astuple(self), astuple(other), strict=True))
        )

    def per_token(self, count: int) -> float:
        """`count` divided among the generated tokens."""
        return count / self.tokens if self.tokens else 0.0

    @property
    def tokens_per_second(self) -> float:
        """Tokens generated per second of this machine's time."""
        return self.tokens / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class ChipReport:
    """One chip: its share, the size of its shard file, its counters at the end."""

    shard: Shard
    statistics: Statistics
    shard_bytes: int

    def as_dict(self) -> dict[str, int]:
        """For `--json`."""
        return {
            "id": self.shard.chip,
            "heads": len(self.shard.heads),
            "units": len(self.shard.units),
            "rows": len(self.shard.rows),
            "shard_bytes": self.shard_bytes,
            "heap_used": self.statistics.heap_used,
            "heap_free": self.statistics.heap_free,
            "frames_sent": self.statistics.frames_sent,
            "frames_received": self.statistics.frames_received,
            "bytes_sent": self.statistics.bytes_sent,
            "bytes_received": self.statistics.bytes_received,
            "answers_resent": self.statistics.answers_resent,
        }


def report(
    prompt: str,
    text: str,
    tokens: list[int],
    totals: Totals,
    chips: list[ChipReport],
    idle: Idle | None = None,
    cut: str = "",
) -> dict[str, object]:
    """The object that `--json` prints for each prompt. cut: as Answer's."""
    return {
        "prompt": prompt,
        "text": text,
        "tokens": tokens,
        **({"cut": cut} if cut else {}),
        "tokens_per_second": round(totals.tokens_per_second, 2),
        "synchronizations_per_token": round(totals.per_token(totals.synchronizations), 3),
        "bytes_per_token": round(totals.per_token(totals.bytes), 1),
        "resends": totals.resends,
        "caught_up": totals.caught_up,
        **({"idle": asdict(idle)} if idle else {}),
        "chips": [chip.as_dict() for chip in chips],
    }


def print_report(
    console: Console,
    totals: Totals,
    chips: list[ChipReport],
    idle: Idle | None = None,
    simulated: bool = True,
) -> None:
    """The same for people. simulated: whether the chips are processes of this machine."""
    how = "simulated: this machine's speed, not a chip's" if simulated else "measured"
    table = Table(box=None, pad_edge=False, title_justify="left")
    for heading in ("chip", "heads", "units", "rows", "shard KB", "heap KB", "free KB",
                    "frames in", "out", "KB in", "out", "resent"):  # fmt: skip
        table.add_column(heading, justify="right")
    for chip in chips:
        shard, counters = chip.shard, chip.statistics
        table.add_row(
            f"{shard.chip}", f"{len(shard.heads)}", f"{len(shard.units)}", f"{len(shard.rows)}",
            f"{chip.shard_bytes / 1024:.1f}", f"{counters.heap_used / 1024:.0f}",
            f"{counters.heap_free / 1024:.0f}", f"{counters.frames_received}",
            f"{counters.frames_sent}", f"{counters.bytes_received / 1024:.0f}",
            f"{counters.bytes_sent / 1024:.0f}", f"{counters.answers_resent}",
        )  # fmt: skip
    console.print(table)
    parts = ["no token after an answer's first, from which on speed and bytes are measured"]
    if totals.tokens:
        parts = [
            f"{totals.tokens} tokens at {totals.tokens_per_second:.1f} a second ({how})",
            f"{totals.per_token(totals.synchronizations):.1f} synchronizations and"
            f" {totals.per_token(totals.bytes):,.0f} bytes a token between host and chips"
            " (measured)",
        ]
    parts += [
        f"{totals.resends} requests sent again"
        + (f", {totals.caught_up} times a chip caught up" if totals.caught_up else ""),
    ]
    if idle:
        parts.append(
            f"{idle.stages} stages idle {idle.measured:.0%} of the time (measured); (S - 1) /"
            f" (S + M - 1) is {idle.formula:.0%} for S = {idle.stages} stages and"
            f" M = {idle.micro_batches:.3g} micro-batches at a time"
        )
    for part in parts:
        console.print(part, highlight=False)
