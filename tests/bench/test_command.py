"""`python -m bench`: its parts and its errors."""

import json
from pathlib import Path

import pytest

from bench import __main__ as command
from bench.results import Label, Row
from host.errors import SetupError

ROW = Row("kernel", "rv32imc", "64", 2.5, "instr/MAC", Label.EMULATED)


def unavailable(*arguments: object) -> list[Row]:
    raise SetupError("no QEMU here")


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """One part that works and one that cannot be had; the file of the results."""
    monkeypatch.setattr(command, "PARTS", {"works": lambda *_: [ROW], "lacks": unavailable})
    monkeypatch.setattr(command, "RESULTS", command.REPOSITORY / "build" / tmp_path.name)
    monkeypatch.chdir(tmp_path)
    (command.REPOSITORY / "build").mkdir(exist_ok=True)
    return command.RESULTS


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["bench", *arguments])
    return command.main()


def test_what_cannot_be_had_is_left_out(
    parts: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch) == 0
    said = capsys.readouterr().out
    assert "lacks: left out: no QEMU here" in said and "2.50" in said
    assert [row["name"] for row in json.loads(parts.read_text())] == ["kernel"]
    parts.unlink()


def test_nothing_measured_is_an_error(
    parts: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "lacks") == 1
    assert capsys.readouterr().err == "error: nothing could be measured of lacks\n"
    assert not parts.exists()


@pytest.mark.parametrize("arguments", [["nosuch"], ["--steps", "1"]])
def test_wrong_options_are_told(
    parts: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
) -> None:
    with pytest.raises(SystemExit, match="2"):
        run(monkeypatch, *arguments)
    assert arguments[0] in capsys.readouterr().err


def test_a_model_that_is_not_there_is_told(
    parts: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--model", "absent.bin") == 1
    assert capsys.readouterr().err.startswith("error: ")


def test_positions_end_with_the_context() -> None:
    class Model:
        class config:
            context = 128

    subject = command.Subject("small", Model)  # type: ignore[arg-type]
    assert subject.positions() == [16, 127]
