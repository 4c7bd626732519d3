"""Measures simulated federations on this machine: their speed, which does not predict that of
chips, and their traffic, which is the same with chips."""

from __future__ import annotations

import time
from collections.abc import Iterator

from bench.results import Label, Row
from host.generation.choosing import TokenChooser
from host.generation.decoding import generate_tokens
from host.launch import SimulatedChips, open_cluster
from host.model.quantized import QuantizedModel
from host.model.sampling import Sampler
from host.model.tokenizers.bpe import BOS

CASES = [(link, chips) for link in ("uart", "espnow") for chips in (1, 2, 5, 8, 20)]


def figures(model: QuantizedModel, link: str, chips: int, steps: int, name: str) -> Iterator[Row]:
    """Returns tokens per second, and synchronizations, frames and bytes per token, over `steps`
    tokens."""
    with open_cluster(model, SimulatedChips.alike(chips, link)) as started:
        transport, executor = started.transport, started.executor

        def counts() -> tuple[int, int, int]:
            return (
                executor.synchronizations,
                transport.frames_sent + transport.frames_received,
                transport.bytes_sent + transport.bytes_received,
            )

        chooser = TokenChooser(1, steps, Sampler(), model.logit_exponent, stops=())
        tokens = generate_tokens(executor, [BOS], chooser)
        next(tokens)  # the first comes from the prompt
        before, start = counts(), time.monotonic()
        count = sum(1 for _ in tokens)
        seconds = time.monotonic() - start
        spent = [(now - then) / count for now, then in zip(counts(), before, strict=True)]
        statistics = started.coordinator.statistics(collect=True)
    heap = max(chip.heap_used for chip in statistics.values()) / 1024
    shape = f"{name} {link} {chips} chip{'s' if chips > 1 else ''}"
    for what, value, unit in (
        ("simulation", count / seconds, "tokens/s"),
        ("synchronizations", spent[0], "per token"),
        ("frames", spent[1], "per token"),
        ("bytes", spent[2], "per token"),
        ("heap of the fullest chip", heap, "KB"),
    ):
        yield Row(what, "simulated", shape, round(value, 2), unit, Label.MEASURED)
