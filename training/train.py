"""Trains the shipped model from nothing but this repository: `make train`.

Progress is saved in build/training, so that an interrupted run continues from there.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import os
import time
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch.nn import functional

from host.model.checkpoint import Checkpoint, Config
from host.model.float_model import FloatModel
from host.model.formats import llama2c
from host.model.tokenizers.bpe import BpeTokenizer
from training import bpe
from training.batches import Batch, batches, tokenizer_texts
from training.grammar import SEED, held_out_commands
from training.model import CONFIG, Llama
from training.unseen import load_unseen

REPOSITORY = Path(__file__).resolve().parents[1]
STATE = REPOSITORY / "build" / "training"
MODELS = REPOSITORY / "models"
STEPS = 9600
WARM_UP = 200
FALL = 0.45  # fraction of steps
LEARNING_RATE = 3e-3
MATRIX_LEARNING_RATE = 2e-2  # of Muon
WEIGHT_DECAY = 0.01
LARGEST_GRADIENT = 1.0
SAVED_EVERY = 250
DIGESTED_COMMANDS = 5_000
EXPORT_CHECKED = 16  # commands
EXPORT_TOLERANCE = 1e-3  # logits: float32 against float64
# Two threads are at best 1.7 times as fast, and many times slower if other programs use the cores.
THREADS = 1


class Training:
    """A model in training, with its optimizers."""

    def __init__(self, steps: int, data: str, config: Config = CONFIG) -> None:
        """data: a digest of the training data, which a saved state must have as well."""
        self.data = data
        torch.manual_seed(SEED)
        self.steps, self.step, self.seconds = steps, 0, 0.0
        self.model = Llama(config)
        hidden = [p for p in self.model.layers.parameters() if p.ndim == 2]
        others = [p for p in self.model.parameters() if all(p is not h for h in hidden)]
        # Muon (https://kellerjordan.github.io/posts/muon/) is for matrices between activations.
        self.optimizers = (
            torch.optim.Muon(hidden, lr=MATRIX_LEARNING_RATE, weight_decay=WEIGHT_DECAY),
            torch.optim.AdamW(others, lr=LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.0),
        )
        self._rates = (MATRIX_LEARNING_RATE, LEARNING_RATE)

    def learn(self, batch: Batch) -> float:
        """Learns from a batch, and returns the loss per token of action lines before that."""
        for optimizer, rate in zip(self.optimizers, self._rates, strict=True):
            optimizer.param_groups[0]["lr"] = rate * self._schedule()
            optimizer.zero_grad()
        tokens, targets, weights = map(torch.from_numpy, batch)
        losses = functional.cross_entropy(
            self.model(tokens).flatten(0, 1), targets.flatten(), reduction="none"
        )
        answers = (weights == 1).flatten()
        (losses @ weights.flatten() / answers.sum()).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), LARGEST_GRADIENT)
        for optimizer in self.optimizers:
            optimizer.step()
        self.step += 1
        return float(losses.detach()[answers].mean())

    def _schedule(self) -> float:
        """Returns the factor of the learning rate: a linear rise, a plateau, then a linear fall to
        zero. On the plateau a training may continue with other data."""
        if self.step < WARM_UP:
            return (self.step + 1) / WARM_UP
        fall = max(round(self.steps * FALL), 1)
        return min(1.0, (self.steps - self.step) / fall)

    def state(self) -> dict[str, object]:
        """Returns everything that a later process needs to continue."""
        return {
            "step": self.step,
            "steps": self.steps,
            "seconds": self.seconds,
            "data": self.data,
            "config": repr(self.model.config),
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        }

    def restore(self, path: Path, other_data: bool = False) -> bool:
        """Loads the state of such a training from `path`; returns whether there was one. With
        `other_data` it may have learnt from other commands, for another number of steps."""
        if not path.exists():
            return False
        state = torch.load(path, weights_only=True)
        if state["config"] != repr(self.model.config):
            return False
        if not other_data and (state["data"], state["steps"]) != (self.data, self.steps):
            return False
        self.model.load_state_dict(state["model"])
        for optimizer, part in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(part)
        self.step, self.seconds = state["step"], state["seconds"]
        return True

    def save(self, path: Path) -> None:
        """Writes the state to `path`; if the process dies meanwhile, the last state remains."""
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(self.state(), path.with_suffix(".new"))
        os.replace(path.with_suffix(".new"), path)


def run(
    training: Training, encoder: bpe.Encoder, state: Path, console: Console, unseen: frozenset[str]
) -> None:
    """Trains to the last step, and saves the state from time to time."""
    columns = (
        TextColumn("training"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        TextColumn("loss {task.fields[loss]:.4f}"),
    )  # fmt: skip
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=training.steps, completed=training.step, loss=math.nan)
        mean = math.nan
        begun = time.monotonic() - training.seconds
        for batch in batches(encoder, training.step, unseen):
            if training.step >= training.steps:
                break
            loss = training.learn(batch)
            mean = loss if math.isnan(mean) else 0.98 * mean + 0.02 * loss
            progress.update(task, advance=1, loss=mean)
            if training.step % SAVED_EVERY == 0 or training.step == training.steps:
                training.seconds = time.monotonic() - begun
                training.save(state)
                if not console.is_terminal:
                    console.print(f"step {training.step} loss {mean:.4f} {training.seconds:.0f} s")


def data_digest(tokenizer: BpeTokenizer, unseen: frozenset[str] = frozenset()) -> str:
    """Returns a digest that distinguishes versions of the grammar and the tokenizer."""
    digest = hashlib.sha256(repr(tokenizer.pieces).encode())
    for text in islice(tokenizer_texts(unseen), DIGESTED_COMMANDS):
        digest.update(text.encode())
    return digest.hexdigest()


def exported(model: Llama, sample: Batch) -> Checkpoint:
    """Returns the model in the host's form, which gives the same logits for `sample`.

    Raises ValueError if it does not, which only a mistake in one of the forward passes can cause.
    """
    checkpoint = model.checkpoint()
    tokens = sample.tokens[:EXPORT_CHECKED]
    with torch.no_grad():
        logits = model(torch.from_numpy(tokens)).numpy()
    difference = float(np.abs(FloatModel(checkpoint).logits(tokens) - logits).max())
    if not difference <= EXPORT_TOLERANCE:
        raise ValueError(f"the host's logits differ from PyTorch's by {difference}")
    return checkpoint


def write_held_out(path: Path) -> None:
    """Writes the held-out commands as lines of category, command and action, separated by tabs."""
    lines = (f"{c.category}\t{c.raw_text}\t{c.raw_action}\n" for c in held_out_commands())
    path.write_text("".join(lines), encoding="utf-8")


def main() -> None:
    """Writes the tokenizer, the held-out commands and the model into a folder."""
    parser = argparse.ArgumentParser(prog="python -m training.train", description=__doc__)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--models", type=Path, default=MODELS, metavar="FOLDER")
    parser.add_argument("--state", type=Path, default=STATE, metavar="FOLDER")
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument(
        "--unseen", type=Path, metavar="TABLE", help="commands that it must not be trained on"
    )
    parser.add_argument(
        "--other-data", action="store_true",
        help="go on from a state that learnt from other commands, with its tokenizer",
    )  # fmt: skip
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    console = Console()
    options.models.mkdir(parents=True, exist_ok=True)
    unseen = load_unseen(options.unseen) if options.unseen else frozenset()
    tokenizer_path = options.models / f"tok{bpe.VOCABULARY}.bin"
    if options.other_data:
        tokenizer = BpeTokenizer.load(tokenizer_path, bpe.VOCABULARY)
    else:
        tokenizer = bpe.trained(tokenizer_texts(unseen))
        bpe.save(tokenizer, tokenizer_path)
    write_held_out(options.models / "held_out.tsv")
    training = Training(options.steps, data_digest(tokenizer, unseen))
    if training.restore(options.state / "state.pt", options.other_data):
        console.print(f"going on from step {training.step}")
    encoder = bpe.Encoder(tokenizer)
    run(training, encoder, options.state / "state.pt", console, unseen)
    sample = next(batches(encoder, 0))
    llama2c.save(exported(training.model, sample), options.models / "home.bin")
    console.print(f"trained in {training.seconds / 60:.0f} minutes")


if __name__ == "__main__":
    main()
