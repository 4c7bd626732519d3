"""Thresholds of confidence are the lowest that keep what is wrong from being done."""

from pathlib import Path

import pytest

from host.errors import ModelError
from host.generation.command_tables import Command
from host.generation.evaluation import Judged
from host.model.prompt_format import parse_format
from host.toml_file import read_toml
from training.calibrate import choose, refuse, risks, rows, write

DONE = [Command("in", f"light {i}", "light.kitchen on") for i in range(50)]
REFUSED = [Command("out", f"mail {i}", "unknown") for i in range(100)]
DOORS = [Command("out", "unlock the shed", "unknown", group="doors")]


def answers(doubtful: int, door: float) -> list[Judged]:
    """Of all that is to be refused, so many are acted upon, at 0.75."""
    acted = [Judged("light.kitchen on", 0.75)] * doubtful
    rest = [Judged("unknown", 0.99)] * (len(REFUSED) - doubtful)
    return (
        [Judged("light.kitchen on", 0.97)] * len(DONE)
        + acted
        + rest
        + [Judged("lock.kitchen unlock", door)]
    )


def test_an_answer_below_the_threshold_is_refused() -> None:
    some = [Judged("light.kitchen on", 0.8), Judged("lock.attic unlock", 0.8)]
    assert refuse(some, 0.7, 0.9) == ["light.kitchen on", "unknown"]
    assert refuse(some, 0.85, 0.85) == ["unknown", "unknown"]
    assert refuse(some, 0.5, 0.8) == ["light.kitchen on", "lock.attic unlock"]
    assert risks("light.kitchen on; lock.attic unlock") and not risks("lock.attic lock")


def test_the_table_counts_doors_that_were_to_be_opened_and_others() -> None:
    asked = Command("in", "unlock the attic", "lock.attic unlock", group="in")
    commands = [asked, *REFUSED[:3], *DOORS]
    found = [Judged("lock.attic unlock", 0.93), *answers(1, 0.75)[len(DONE) : len(DONE) + 3]]
    table = rows(commands, [*found, Judged("lock.kitchen unlock", 0.86)])
    assert [(row[0], row[-2], row[-1]) for row in table[3:7]] == [
        ("0.80", "100.0% (1 of 1)", "1"), ("0.85", "100.0% (1 of 1)", "1"),
        ("0.90", "100.0% (1 of 1)", "0"), ("0.95", "0.0% (0 of 1)", "0"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("doubtful", "door", "expected"),
    [
        (0, 0.6, (0.5, 0.9)),
        (1, 0.93, (0.5, 0.95)),
        (30, 0.6, (0.8, 0.9)),
        (30, 0.985, (0.8, 0.99)),
    ],
)
def test_the_lowest_thresholds_that_do(
    doubtful: int, door: float, expected: tuple[float, float]
) -> None:
    commands = [*DONE, *REFUSED, *DOORS]
    assert choose(commands, answers(doubtful, door)) == expected


def test_thresholds_are_written_where_they_stand(tmp_path: Path) -> None:
    path = tmp_path / "model.toml"
    path.write_text('template = "{prompt}"\ngrammar = "action-lines"\n[confidence]\nleast = 0.5\n')
    with pytest.raises(ModelError, match="no line dangerous = "):
        write(path, 0.8, 0.95)
    path.write_text(path.read_text() + "dangerous = 0.6 # higher\n")
    write(path, 0.8, 0.95)
    found = parse_format(read_toml(path)).confidence
    assert (found.least, found.dangerous) == (0.8, 0.95)
