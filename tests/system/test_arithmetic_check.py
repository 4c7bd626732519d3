"""Every answer of simulated chips is what their share must give, and one that is not is found."""

import re

import pytest

from host.errors import ClusterError
from host.launch import SimulatedChips, open_cluster
from host.model.quantization.quantize import quantize
from host.run import main
from tests.host.tiny import TINY, random_checkpoint
from tests.system.changed_firmware import append_source
from tests.system.federations import HEAP

# Each makes one number of one chip wrong by one.
FAULTS = {
    "attention of layer 0": (
        "firmware/compute/attention.py",
        """
_run = Attention.run
def run(self, layer, position, out):
    _run(self, layer, position, out)
    if position == 3:
        out[5] += 1
Attention.run = run
""",
    ),
    "feed-forward of layer 0": (
        "firmware/compute/feed_forward.py",
        """
_run = FeedForward.run
def run(self, layer, out):
    _run(self, layer, out)
    out[23] -= 1
FeedForward.run = run
""",
    ),
    "vocabulary": (
        "firmware/compute/vocabulary.py",
        """
_run = Vocabulary.run
def run(self):
    _run(self)
    self.logits[2] += 1
Vocabulary.run = run
""",
    ),
}


def settings(chips: int, link: str = "uart") -> SimulatedChips:
    return SimulatedChips.alike(chips, link, heap=HEAP)


@pytest.mark.parametrize(("chips", "link"), [(1, "uart"), (3, "espnow"), (8, "uart")])
def test_chips_compute_what_their_shares_must_give(chips: int, link: str) -> None:
    with open_cluster(quantize(random_checkpoint()), settings(chips, link)) as started:
        started.executor.check_arithmetic()
        assert started.executor.synchronizations >= 2 * (2 * TINY.layers + 1)


@pytest.mark.parametrize("part", FAULTS)
def test_the_chip_that_computes_wrongly_is_named(monkeypatch, part: str) -> None:
    append_source(monkeypatch, *FAULTS[part], only=1)
    with (
        open_cluster(quantize(random_checkpoint()), settings(3)) as started,
        pytest.raises(ClusterError) as caught,
    ):
        started.executor.check_arithmetic()
    assert re.match(f"chip 1 computes its {part} wrongly at position [0-9]: ", str(caught.value))


COMMAND = ["--check", "--chips", "3", "--link", "uart", "--prompt", "turn off the kitchen lights"]


def test_a_run_goes_on_after_its_check(capsys) -> None:
    assert main([*COMMAND, "--no-stats"]) == 0
    assert "light.kitchen off" in capsys.readouterr().out


@pytest.mark.parametrize(
    "options",
    [["--reduce", "chips"], ["--parallel", "pipeline"], ["--parallel", "hybrid"]],
    ids=" ".join,
)
def test_a_check_of_chips_that_combine_is_refused_before_any_starts(
    monkeypatch, capsys, options
) -> None:
    monkeypatch.setattr("host.launch.simulated.SimulatedCluster", None)
    assert main([*COMMAND, *options]) == 1
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    assert "these chips keep theirs among themselves" in captured.err


def test_a_run_with_a_chip_that_computes_wrongly_ends_before_its_prompt(
    monkeypatch, capsys
) -> None:
    append_source(monkeypatch, *FAULTS["vocabulary"], only=2)
    assert main(COMMAND) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: chip 2 computes its vocabulary wrongly at position 4: ")
