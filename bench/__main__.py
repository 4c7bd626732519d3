"""Measures simulated federations: `make bench MODEL=FILE`.

Every figure is labelled: measured is what was counted or timed on this machine. Tokens per
second are those of the simulation on this machine and say nothing about a chip's speed.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from host.boards import load
from host.cluster.errors import ClusterError
from host.generate import generated
from host.model import llama2c
from host.model.checkpoint import ModelError
from host.model.quantize import quantized
from host.model.quantized import QuantizedModel
from host.model.sampling import Sampler
from host.model.tokenizer import BOS
from host.setup import SetupError
from host.simulation.federation import Settings, running

_CASES = [(link, chips) for link in ("uart", "espnow") for chips in (1, 2, 5, 8, 20)]


def figures(model: QuantizedModel, link: str, chips: int, steps: int) -> list[str]:
    """A row of the table: tokens a second, synchronizations, frames and bytes a token, heap."""
    board = load("simulated")
    settings = Settings(chips=chips, link=link, board=board, heap=board.heap_kb * 1024)
    with running(model, settings) as started:
        tokens = generated(started.federation, [BOS], steps, Sampler(), model.logit_exponent)
        next(tokens)  # the first comes from the prompt
        transport, federation = started.transport, started.federation
        frames = transport.frames_sent + transport.frames_received
        exchanged = transport.bytes_sent + transport.bytes_received
        synchronizations, start = federation.synchronizations, time.monotonic()
        count = sum(1 for _ in tokens)
        seconds = time.monotonic() - start
        frames = transport.frames_sent + transport.frames_received - frames
        exchanged = transport.bytes_sent + transport.bytes_received - exchanged
        synchronizations = federation.synchronizations - synchronizations
        statistics = started.coordinator.statistics(collect=True)
    return [
        link,
        f"{chips}",
        f"{count / seconds:.0f}",
        f"{synchronizations / count:.0f}",
        f"{frames / count:.1f}",
        f"{exchanged / count:,.0f}",
        f"{max(chip.heap_used for chip in statistics.values()) / 1024:.0f}",
    ]


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--model", default=os.environ.get("MODEL"), help="a llama2.c checkpoint")
    parser.add_argument("--steps", type=int, default=200, help="tokens per case (default 200)")
    options = parser.parse_args()
    console = Console()
    table = Table(title="Simulated federations (measured on this machine)", box=None)
    for heading in ("link", "chips", "tokens/s", "syncs/token", "frames/token", "bytes/token",
                    "heap KB"):  # fmt: skip
        table.add_column(heading, justify="right")
    try:
        if not options.model:
            raise ModelError("no model: give --model FILE or MODEL=FILE, a llama2.c checkpoint")
        model = quantized(llama2c.load(Path(options.model)))
        for link, chips in track(_CASES, description="measuring", console=console, transient=True):
            table.add_row(*figures(model, link, chips, options.steps))
    except (ClusterError, ModelError, SetupError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    console.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
