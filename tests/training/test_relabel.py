"""Labels of version 1 become those of version 2 where a command asks for what is new in it."""

import pytest

from host.generation.command_tables import Command, load_commands
from host.home.home_file import default_home
from training.relabel import main, relabel


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ("Toggle the garage lights!", "light.garage toggle"),
        ("flip the fans in the loft", "fan.attic toggle"),
        ("alter the status of the kitchen curtains", "blinds.kitchen toggle"),
        ("previous track", "speaker.here previous"),
        ("the last song again in the office", "speaker.office previous"),
        ("tv, the previous song", "tv.here previous"),
        ("stop moving the shutters in the study", "blinds.office stop"),
        ("an alarm for next monday at eight am", "alarm at=08:00 day=mon"),
        ("an alarm for next sunday at nine thirty am", "alarm at=09:30 day=sun"),
        ("toggle the sauna light", "unknown"),
        ("toggle the garage opener", "unknown"),
        ("play that song backwards", "unknown"),
    ],
)
def test_what_version_1_could_not_say(said: str, line: str) -> None:
    command = Command("unsupported action", said, "unknown", group="home-oos")
    found = relabel(command, default_home())
    assert (found.expected, found.group) == (line, "home-oos" if line == "unknown" else "in")


def test_days_of_alarms_are_right_too_and_others_stay(
    tmp_path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "table.tsv"
    path.write_text(
        "command\texpected\tcategory\tsource\tgroup\talt\n"
        "wake me at nine tomorrow, please\talarm at=09:00\talarm\tme\tin\talarm at=21:00\n"
        "toggle the den\tunknown\tunknown place\tme\thome-oos\t\n"
    )
    assert main([str(path)]) == 0
    path.write_text(capsys.readouterr().out)
    alarm, other = load_commands(path)
    assert alarm.accepted == ("alarm at=09:00", "alarm at=21:00", "alarm at=09:00 day=tomorrow")
    assert other == Command("unknown place", "toggle the den", "unknown", (), "me", "home-oos")
