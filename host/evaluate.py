"""How many held-out commands a model answers with exactly the right line: `make eval`.

Both float and the federation's integers answer, greedily. The integers are those of the
reference, which every federation equals to the bit, so that no chips are needed to count them.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import track
from rich.table import Table

from host.cli.arguments import Parser, exit_code
from host.errors import ModelError
from host.model.checkpoint import Checkpoint
from host.model.float_model import FloatModel
from host.model.formats import llama2c
from host.model.quantization.quantize import quantize
from host.model.reference import Reference
from host.model.tokenizers.bpe import BOS, EOS, BpeTokenizer
from host.model.tokenizers.text import TextStream
from host.paths import HOME_MODEL, MODELS

MODEL, TOKENIZER, COMMANDS = HOME_MODEL, MODELS / "tok512.bin", MODELS / "held_out.tsv"
BATCH = 250  # commands answered together: the caches of this many take 150 MB

# Tokens [batch] in, logits [batch, vocab] after them out; it remembers the tokens before.
Step = Callable[[npt.NDArray[np.int64]], npt.NDArray[Any]]


class Command(NamedTuple):
    """A command, the line that answers it, and the kind of command that it is."""

    category: str
    text: str
    action: str


def held_out(path: str | Path = COMMANDS) -> list[Command]:
    """The commands in a file of lines "category<tab>command<tab>action". Raises ModelError."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ModelError(f"{path}: cannot read the commands: {error.strerror}") from error
    commands = []
    for number, line in enumerate(lines, start=1):
        fields = line.split("\t")
        if len(fields) != len(Command._fields):
            raise ModelError(f"{path}: line {number} has {len(fields)} fields, expected 3")
        commands.append(Command(*fields))
    if not commands:
        raise ModelError(f"{path}: no commands")
    return commands


def answers(
    step: Step, tokenizer: BpeTokenizer, texts: Sequence[str], positions: int
) -> list[str]:
    """The greedy answer to each of `texts`, up to BOS or EOS or `positions` tokens in all.

    A command ends with a newline, which tells the model to answer.
    """
    prompts = [tokenizer.encode(f"{text}\n") for text in texts]
    longest = max(map(len, prompts))
    if longest >= positions:
        raise ModelError(f"a command of {longest} tokens leaves none of {positions} to answer")
    printed: list[list[int]] = [[] for _ in prompts]
    ended = np.zeros(len(prompts), bool)
    tokens = np.array([prompt[0] for prompt in prompts])
    for position in range(1, positions):
        likeliest = step(tokens).argmax(axis=1)
        for row, prompt in enumerate(prompts):
            given = position < len(prompt)
            tokens[row] = prompt[position] if given else likeliest[row]
            ended[row] |= not given and tokens[row] in (BOS, EOS)
            if not given and not ended[row]:
                printed[row].append(int(tokens[row]))
        if ended.all():
            break
    return [_text(tokenizer, row) for row in printed]


def _text(tokenizer: BpeTokenizer, tokens: Iterable[int]) -> str:
    stream = TextStream(tokenizer, previous=EOS)
    return "".join(map(stream.push, tokens))


def float_answers(
    checkpoint: Checkpoint, tokenizer: BpeTokenizer, texts: Sequence[str]
) -> list[str]:
    """Answers of the model in float64, batched."""
    model, positions = FloatModel(checkpoint), checkpoint.config.context

    def batch(part: Sequence[str]) -> list[str]:
        cache = model.new_cache(len(part), positions)
        return answers(lambda tokens: model.step(tokens, cache), tokenizer, part, positions)

    return _batched(batch, texts, "float")


def integer_answers(
    checkpoint: Checkpoint, tokenizer: BpeTokenizer, texts: Sequence[str]
) -> list[str]:
    """Answers of the quantized model, as every federation gives them, batched."""
    model, positions = quantize(checkpoint), checkpoint.config.context

    def batch(part: Sequence[str]) -> list[str]:
        return answers(Reference(model, len(part)).step, tokenizer, part, positions)

    return _batched(batch, texts, "integers")


def _batched(
    batch: Callable[[Sequence[str]], list[str]], texts: Sequence[str], label: str
) -> list[str]:
    # Commands of like length together: a batch takes as many steps as its longest one.
    order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
    starts = range(0, len(texts), BATCH)
    found: dict[int, str] = {}
    for start in track(starts, label, console=Console(stderr=True), transient=True):
        part = order[start : start + BATCH]
        found.update(zip(part, batch([texts[index] for index in part]), strict=True))
    return [found[index] for index in range(len(texts))]


def exact(commands: Sequence[Command], found: Sequence[str]) -> dict[str, float]:
    """Parts of the answers that are exactly right, by category and for "all"."""
    right: dict[str, list[bool]] = defaultdict(list)
    for command, answer in zip(commands, found, strict=True):
        right[command.category].append(answer == command.action)
        right["all"].append(answer == command.action)
    right["all"] = right.pop("all")  # the last row of a table
    return {category: sum(matches) / len(matches) for category, matches in right.items()}


def table(commands: Sequence[Command], columns: dict[str, Sequence[str]]) -> Table:
    """Exact matches by category, a column for each of the arithmetics."""
    shown = Table(title=f"exact match on {len(commands)} held-out commands (measured)")
    shown.add_column("category")
    shown.add_column("commands", justify="right")
    matches = {name: exact(commands, found) for name, found in columns.items()}
    for name in columns:
        shown.add_column(name, justify="right")
    for category in next(iter(matches.values())):
        count = sum(category in (command.category, "all") for command in commands)
        figures = (f"{found[category]:.2%}" for found in matches.values())
        shown.add_row(category, str(count), *figures)
    return shown


def _mistakes(commands: Sequence[Command], columns: dict[str, Sequence[str]]) -> list[str]:
    """A line for each command that either arithmetic answers wrongly."""
    lines = []
    for command, *found in zip(commands, *columns.values(), strict=True):
        if any(answer != command.action for answer in found):
            said = "  ".join(f"{n}: {a!r}" for n, a in zip(columns, found, strict=True))
            lines.append(f"{command.text!r} should be {command.action!r}  {said}")
    return lines


def main(arguments: list[str] | None = None) -> int:
    """The exit code."""
    parser = Parser(prog="python -m host.evaluate", description=__doc__)
    parser.add_argument("--model", default=MODEL, metavar="FILE")
    parser.add_argument("--tokenizer", default=TOKENIZER, metavar="FILE")
    parser.add_argument("--commands", default=COMMANDS, metavar="FILE")
    parser.add_argument("--mistakes", action="store_true", help="list the wrong answers too")
    options = parser.parse_args(arguments)
    return exit_code(lambda: run(options), (ModelError,))


def run(options: argparse.Namespace) -> int:
    """Prints the table of exact matches; the exit code. Raises ModelError."""
    checkpoint = llama2c.load(options.model)
    tokenizer = BpeTokenizer.load(options.tokenizer, checkpoint.config.vocab_size)
    commands = held_out(options.commands)
    texts = [command.text for command in commands]
    columns: dict[str, Sequence[str]] = {
        "float": float_answers(checkpoint, tokenizer, texts),
        "integers": integer_answers(checkpoint, tokenizer, texts),
    }
    if options.mistakes:
        print("\n".join(_mistakes(commands, columns)))
    Console().print(table(commands, columns))
    return 0


if __name__ == "__main__":
    sys.exit(main())
