"""What is to be refused: it looks like commands, and none of it is one."""

import re
from random import Random

from training import marks
from training.filler import Filler
from training.grammar import SEED, Grammar
from training.home import Home
from training.nonsense import nonsense
from training.unknown import UNKNOWN, Unknown


def drawn(kind: str, count: int = 300) -> list[str]:
    random = Random(5)
    spoiled = Unknown(random, False, Home(random, False)).spoiled
    return [" ".join(getattr(spoiled, kind)().split()) for _ in range(count)]


def test_every_clause_is_answered_by_unknown() -> None:
    random = Random(4)
    unknown = Unknown(random, False, Home(random, False))
    texts = set()
    for _ in range(2000):
        clause = unknown.clause()
        assert clause.action == UNKNOWN and clause.text
        assert not set("{}|()") & set(clause.text), clause
        texts.add(clause.text)
    assert len(texts) > 1800


def test_a_place_that_the_home_lacks_has_no_symbol() -> None:
    assert not any("@" in text for text in drawn("other_place"))


def test_a_word_beside_a_place_of_the_home_stays() -> None:
    for text in drawn("beside_place"):
        marked, _ = marks.mark(text, UNKNOWN)
        assert re.search(r"\bA\b", marked), text


def test_negations_are_among_them() -> None:
    assert sum(text.startswith(("do not", "don't", "never")) for text in drawn("turned")) > 20


def test_thousands_of_places_and_words_are_known() -> None:
    random = Random(1)
    filler = Filler(random)
    assert len({filler.place() for _ in range(8000)}) > 3000
    assert len({nonsense(random) for _ in range(3000)}) > 2000


def test_half_of_what_is_trained_is_to_be_done() -> None:
    commands = [one for one, _ in zip(Grammar(SEED + 9).commands(), range(4000), strict=False)]
    refused = sum(command.action == UNKNOWN for command in commands)
    assert 0.3 * len(commands) < refused < 0.5 * len(commands)
