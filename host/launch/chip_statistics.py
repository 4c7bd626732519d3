"""The statistics of a chip: what it holds, and what it has counted."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from host.parallel.plan import Shard
from host.wire.reports import Statistics


@dataclass(frozen=True)
class ChipStatistics:
    """One chip's shard and its counters since it started.

    chip: its id; heads, units, rows: numbers of attention heads, feed-forward units and vocabulary
    rows; shard_bytes: size of its shard file; heap_used, heap_free: bytes, after collecting
    garbage; frames and bytes: sent and received on all of its links; frames_dropped: malformed or
    foreign ones; answers_retransmitted: to requests that came again; busy_ms: milliseconds at
    work; kernels: which it runs, "native" or "viper (why)"; mapping: whether its weights in flash
    are mapped, as it says itself, "" where they are not to be.
    """

    chip: int
    heads: int
    units: int
    rows: int
    shard_bytes: int
    heap_used: int
    heap_free: int
    frames_sent: int
    frames_received: int
    bytes_sent: int
    bytes_received: int
    frames_dropped: int
    answers_retransmitted: int
    busy_ms: int
    kernels: str
    mapping: str = ""

    @classmethod
    def of(
        cls,
        shard: Shard,
        shard_bytes: int,
        counters: Statistics,
        kernels: str,
        mapping: str = "",
    ) -> ChipStatistics:
        """Returns the statistics of a chip with this shard and these reported counters."""
        return cls(
            chip=shard.chip,
            heads=len(shard.heads),
            units=len(shard.units),
            rows=len(shard.rows),
            shard_bytes=shard_bytes,
            heap_used=counters.heap_used,
            heap_free=counters.heap_free,
            frames_sent=counters.frames_sent,
            frames_received=counters.frames_received,
            bytes_sent=counters.bytes_sent,
            bytes_received=counters.bytes_received,
            frames_dropped=counters.frames_dropped,
            answers_retransmitted=counters.answers_resent,
            busy_ms=counters.busy_ms,
            kernels=kernels,
            mapping=mapping,
        )

    def as_dict(self) -> dict[str, object]:
        """Returns the object for `--json`."""
        fields = asdict(self)
        return {"id": fields.pop("chip"), **fields}
