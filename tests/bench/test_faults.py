"""What clusters bear: the page shows the stored figures, these meet their goals, and each kind of
run does in small what they were counted with."""

from pathlib import Path

import pytest

from bench.faults import page
from bench.faults.attacks import count_accepted, run_malformed, survives_replay
from bench.faults.cases import STRATEGIES, Case, all_cases
from bench.faults.page import FIGURES, PAGE, Figures, with_tables
from bench.faults.rows import FORGERIES, LOSSES, MALFORMED, SEEDS
from bench.faults.runs import run_with_loss, run_with_restart
from bench.results import stored


def test_the_page_shows_the_stored_figures():
    page = PAGE.read_text()
    assert with_tables(page, Figures(stored(FIGURES))) == page
    assert page.count("<!-- table: ") == 3


def test_a_run_that_lacks_a_figure_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(page, "RESULTS", tmp_path / "results.json")
    monkeypatch.setattr(page, "FIGURES", tmp_path / "page.json")
    assert page.main() == 1
    page.RESULTS.write_text("[]")
    assert page.main() == 1
    missing, empty = capsys.readouterr().err.splitlines()
    assert "results.json" in missing and empty.startswith("error: no figure ('equal texts',")
    assert not page.FIGURES.exists()


def test_the_stored_figures_meet_their_goals():
    figures = Figures(stored(FIGURES))
    for case in all_cases():
        for loss in (each for each in LOSSES if each <= 0.3):
            equal = figures.of("equal texts", str(case), f"{loss:.0%} of frames lost")
            assert equal.value == len(SEEDS), case
    for strategy in STRATEGIES:
        assert figures.of("restarts survived", strategy).value == 100
        assert figures.of("restart under replay", strategy).value == 10
        assert figures.of("other errors than ClusterError", strategy).value == 0
        assert figures.of("growth of the fullest chip's heap", strategy).value <= 64
        assert figures.of("growth of the host's memory", strategy).value < 100
    given = [figures.of("malformed messages", strategy).value for strategy in STRATEGIES]
    assert sum(given) >= MALFORMED
    accepted = figures.of("frames accepted", "all")
    assert accepted.value == 0 and accepted.shape.startswith(f"{FORGERIES:,} ")


def test_no_replay_or_forgery_is_accepted():
    accepted, tried = count_accepted(Case("pipeline", "ESP-NOW", True), 4_000, 5)
    assert accepted == 0 and tried >= 4_000


def test_a_restart_under_replay_is_survived():
    assert survives_replay(Case("host reduce", "ESP-NOW", True), 0)


def test_malformed_messages_are_nothing_worse_than_cluster_errors():
    for strategy in ("host reduce", "pipeline"):
        given, strange = run_malformed(Case(strategy, "UART", False), 1_500, 7)
        assert given >= 1_500 and strange == {}


def test_runs_with_losses_and_restarts_compare_texts():
    case = Case("pipeline", "UART", True)
    assert run_with_loss(case, 0.2, 3).is_equal
    assert run_with_restart(case, 3).is_equal
    assert not run_with_loss(case, 0.99, 3).is_equal
