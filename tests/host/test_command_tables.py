"""Tables of commands, with and without a line that names their columns."""

from pathlib import Path

import pytest

from host.errors import ModelError
from host.generation.command_tables import Command, load_answers, load_commands


def test_columns_are_found_by_their_names(tmp_path: Path) -> None:
    path = tmp_path / "commands.tsv"
    path.write_text(
        "command\texpected\tcategory\tsource\tgroup\talt\n"
        "mute it\ttv.here mute\tmedia\tmine\tin\ttv.all mute|speaker.here pause\n"
        "sing\tunknown\tother\t\toos\t\n"
    )
    assert load_commands(path) == [
        Command(
            "media", "mute it", "tv.here mute", ("tv.all mute", "speaker.here pause"), "mine", "in"
        ),
        Command("other", "sing", "unknown", group="oos"),
    ]
    path.write_text("expected\tcommand\nunknown\tsing\n")
    assert load_commands(path) == [Command("", "sing", "unknown")]


def test_a_table_without_names_has_category_command_and_expected(tmp_path: Path) -> None:
    path = tmp_path / "commands.tsv"
    path.write_text("level\tdim it\tlight.here brightness=down")
    assert load_commands(path) == [Command("level", "dim it", "light.here brightness=down")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no commands"),
        ("command\texpected\n", "no commands"),
        ("level\tdim it\tx\nlevel\tdim it\n", "line 2 has 2 fields, expected 3"),
        ("command\texpected\ndim it\tx\ty\n", "line 2 has 3 fields, expected 2"),
    ],
)
def test_what_is_malformed_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "commands.tsv"
    path.write_text(text)
    with pytest.raises(ModelError, match=f"^{path}: {message}$"):
        load_commands(path)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "commands.tsv"
    with pytest.raises(ModelError, match="cannot read it: No such file"):
        load_commands(path)
    path.write_bytes(b"\xff\xfe\xfd")
    with pytest.raises(ModelError, match=f"^{path}: "):
        load_answers(path, 1)


def test_answers_are_as_many_as_commands(tmp_path: Path) -> None:
    path = tmp_path / "answers.txt"
    path.write_text("tv.here mute\n\n")
    assert load_answers(path, 2) == ["tv.here mute", ""]
    with pytest.raises(ModelError, match="2 answers, but 3 commands: give a line each"):
        load_answers(path, 3)
