"""Writes the list of words with which the host corrects typing errors: `python -m
training.spelling`.

The host corrects them before the model sees a command (host/model/spelling.py). The list is the
last table of models/home.toml: the words of training commands, and those words of an English word
list (one per line, as /usr/share/dict/words) that could be mistaken for a misspelt one.
"""

from __future__ import annotations

import argparse
import re
import sys
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from host.cli.arguments import Parser, exit_code
from host.errors import ModelError
from host.grammar.action_lines import UNKNOWN
from host.model.prompt_format import format_path
from host.model.spelling import SHORTEST, Spelling
from host.paths import HOME_MODEL
from training.grammar import SEED, TRAINING_SHARES, Command, Grammar

COMMANDS = 6_000
RAREST = 3  # of COMMANDS must have a word; invented names are rarer
_WORD = re.compile(rf"[a-z]{{{SHORTEST},}}")
_TABLE = "[spelling]"


def command_words() -> tuple[str, ...]:
    """Returns the words of commands that are to be done, in alphabetical order."""
    done = (one for one in _commands() if one.action != UNKNOWN)
    counts = Counter(word for one in islice(done, COMMANDS) for word in _words(one))
    return tuple(sorted(word for word, count in counts.items() if count >= RAREST))


def kept_words(words: tuple[str, ...], english: Iterable[str]) -> tuple[str, ...]:
    """Returns the words of English, and of commands that are to be refused, that would be mistaken
    for misspelt `words`, in alphabetical order."""
    refused = islice((one for one in _commands() if one.action == UNKNOWN), COMMANDS)
    others = {word for one in refused for word in _words(one)}
    others |= {word for each in english if _WORD.fullmatch(word := each.strip().lower())}
    spelling = Spelling(words)
    return tuple(sorted(word for word in others if spelling.find_meant(word)))


def _commands() -> Iterator[Command]:
    grammar = Grammar(SEED)
    categories, shares = tuple(TRAINING_SHARES), tuple(TRAINING_SHARES.values())
    while True:
        yield grammar.command(grammar.random.choices(categories, shares)[0])


def _words(command: Command) -> set[str]:
    return set(filter(_WORD.fullmatch, command.text.replace(",", " ").split()))


def write(path: Path, words: tuple[str, ...], kept: tuple[str, ...]) -> None:
    """Writes the words into the last table of a prompt format. Raises ModelError if the last table
    is another one."""
    before, found, _ = path.read_text(encoding="utf-8").partition(f"{_TABLE}\n")
    if not found:
        raise ModelError(f"{path} has no table {_TABLE} at its end")
    rows = (
        f'{name} = """\n{textwrap.fill(" ".join(listed), 99)}\n"""\n'
        for name, listed in (("words", words), ("kept", kept))
    )
    path.write_text(f"{before}{found}{''.join(rows)}", encoding="utf-8")


def run(options: argparse.Namespace) -> int:
    """Writes the table; returns the exit code. Raises ModelError."""
    try:
        english = options.english.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{options.english}: cannot read the words: {error}") from None
    words = command_words()
    kept = kept_words(words, english)
    write(format_path(HOME_MODEL), words, kept)
    print(f"{len(words)} words of commands, and {len(kept)} that are near to one")
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns the exit code."""
    parser = Parser(prog="python -m training.spelling", description=__doc__)
    parser.add_argument("english", type=Path, metavar="FILE", help="words of English, one a line")
    options = parser.parse_args(arguments)
    return exit_code(lambda: run(options), (ModelError,))


if __name__ == "__main__":
    sys.exit(main())
