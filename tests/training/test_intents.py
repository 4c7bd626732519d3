"""Home Assistant's sentences mean to us what its own recognizer makes of them."""

from collections.abc import Iterator
from itertools import islice
from random import Random

from host.grammar.action_lines import parse_line
from training import marks
from training.hassil_answers import Recognizer
from training.home import Clause
from training.intents import Intents


def clauses(seed: int = 1) -> Iterator[Clause]:
    random = Random(seed)
    intents = Intents(random, lambda: random.choice(("sauna", "second barn")))
    while True:
        yield intents.clause()


def test_answers_parse_and_name_what_the_text_names() -> None:
    lines = set()
    for clause in islice(clauses(), 3000):
        parse_line(clause.action.replace("@", ""))
        try:
            lines.add(marks.mark(clause.text, clause.action)[1])
        except ValueError as error:
            assert "too many" in str(error)
    assert len(lines) > 300


def test_a_place_that_the_home_lacks_is_refused() -> None:
    for clause in islice(clauses(2), 3000):
        if "sauna" in clause.text or "second barn" in clause.text:
            assert clause.action == "unknown", clause


def test_the_recognizer_agrees_on_most() -> None:
    """It knows no toggling and no names of devices: what both can say is the same."""
    recognizer, random = Recognizer(), Random(3)
    same = differ = 0
    for clause in islice(clauses(3), 120):
        if clause.action == "unknown" or not marks.is_at_home(clause.text, clause.action):
            continue
        text, action = marks.name(random, clause.text, clause.action)
        answer = recognizer.answer(text)
        if answer != "unknown":
            same, differ = same + (answer == action), differ + (answer != action)
    assert same >= 8 and same > 3 * differ
