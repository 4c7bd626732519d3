"""Compares models of other shapes after equal training: `python -m training.sizes`.

Each shape learns the same batches, for the same number of steps, with the shipped tokenizer; then
it answers a sample of the held-out commands, in floats, constrained to the grammar like any model.
Because the learning rate falls, a short training is comparable to another short one, not to the
full one.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import torch

from host.generation.command_tables import Command, load_commands
from host.generation.evaluation import answer_in_floats
from host.generation.scores import count, is_exact
from host.grammar.action_lines import format_line, parse_line
from host.model.checkpoint import Config
from host.model.loading import LoadedModel, load_model
from host.model.tokenizers.bpe import BpeTokenizer
from host.paths import HELD_OUT, HOME_MODEL, HOME_TOKENIZER
from training import bpe
from training.batches import Batch, batches
from training.model import CONFIG
from training.train import THREADS, Training
from training.unseen import load_unseen

STEPS = 600
BATCH = 32  # commands: more steps help a short training more than larger batches
CONTEXTS = (24, 32, 48, 64, 96, 128)
EVERY = 8  # only each eighth held-out command is asked
# All have five heads, so that five chips divide each of them evenly.
SHAPES = {
    "half": replace(CONFIG, dim=40, hidden_dim=120, head_dim=0),
    "as shipped": CONFIG,
    "double, wider layers": replace(CONFIG, hidden_dim=450),
    "double, wider": replace(CONFIG, dim=80, hidden_dim=240, head_dim=0),
    "double, deeper": replace(CONFIG, layers=12),
    "fourfold": replace(CONFIG, dim=120, hidden_dim=320, head_dim=0),
}


def count_parameters(config: Config) -> int:
    """Returns the number of weights of a shape with its embedding as the classifier."""
    layer = 2 * config.dim * (config.q_dim + config.kv_dim) + 3 * config.dim * config.hidden_dim
    norms = config.dim * (2 * config.layers + 1)
    return config.vocab_size * config.dim + config.layers * layer + norms


def train_shape(config: Config, steps: int, unseen: frozenset[str]) -> tuple[Training, float]:
    """Returns a model of this shape after `steps` steps, and its mean loss over the last tenth of
    them."""
    training = Training(steps, "", config)
    encoder = bpe.Encoder(BpeTokenizer.load(HOME_TOKENIZER, bpe.VOCABULARY))
    drawn = (part for batch in batches(encoder, 0, unseen) for part in _parts(batch))
    losses = [training.learn(part) for part in islice(drawn, steps)]
    last = losses[-max(steps // 10, 1) :]
    return training, sum(last) / len(last)


def _parts(batch: Batch) -> Iterator[Batch]:
    for at in range(0, len(batch.tokens), BATCH):
        yield Batch(*(part[at : at + BATCH] for part in batch))


def judge(shape: Training, commands: Sequence[Command]) -> float:
    """Returns the fraction of commands that a model answers exactly, in floats."""
    shipped = load_model(HOME_MODEL)
    source = LoadedModel(shape.model.checkpoint(), shipped.tokenizer, shipped.prompt_format)
    answers = answer_in_floats(source, [command.text for command in commands])
    return count(commands, answers, is_exact).value


def measure_contexts(commands: Sequence[Command]) -> dict[int, float]:
    """Returns the fraction of commands that fit, with a right line, into each number of positions:
    with a smaller context a model can answer no more of them, and a larger one than the longest is
    of no use."""
    shipped = load_model(HOME_MODEL)
    form, tokenizer = shipped.prompt_format, shipped.tokenizer
    marks = [form.mark(command.text) for command in commands]
    symbols = [{id: symbol for symbol, id in one.places.items()} for one in marks]
    lengths = [
        len(tokenizer.encode(form.text(command.text) + _with_symbols(command.expected, ids))) + 1
        for command, ids in zip(commands, symbols, strict=True)
    ]
    return {
        context: sum(length <= context for length in lengths) / len(lengths)
        for context in (*CONTEXTS, max(lengths))
    }


def _with_symbols(line: str, ids: dict[str, str]) -> str:
    actions = [replace(each, name=ids.get(each.name, each.name)) for each in parse_line(line)]
    return format_line(actions)


def main() -> None:
    """Prints a line of JSON for each shape, or the shares of commands by context."""
    parser = argparse.ArgumentParser(prog="python -m training.sizes", description=__doc__)
    parser.add_argument("shapes", nargs="*", metavar="SHAPE", help=f"of {', '.join(SHAPES)}")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--every", type=int, default=EVERY)
    parser.add_argument("--commands", type=Path, default=HELD_OUT, metavar="TABLE")
    parser.add_argument("--unseen", type=Path, metavar="TABLE")
    parser.add_argument("--contexts", action="store_true", help="how many commands fit, only")
    options = parser.parse_args()
    torch.set_num_threads(THREADS)
    unseen = load_unseen(options.unseen) if options.unseen else frozenset()
    commands = load_commands(options.commands)[:: options.every]
    if options.contexts:
        print(json.dumps(measure_contexts(commands)))
        return
    for name in options.shapes or SHAPES:
        begun = time.process_time()
        shape, loss = train_shape(SHAPES[name], options.steps, unseen)
        seconds = time.process_time() - begun
        found = {
            "shape": name,
            "parameters": count_parameters(SHAPES[name]),
            "steps": options.steps,
            "batch": BATCH,
            "loss": round(loss, 4),
            "exact": round(judge(shape, commands), 4),
            "commands": len(commands),
            "CPU seconds of training": round(seconds),
        }
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
