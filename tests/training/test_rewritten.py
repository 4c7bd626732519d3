"""Right commands stay right in capitals, with punctuation and after wake words."""

import re
from pathlib import Path

import pytest

from training.rewritten import WRITINGS, main


def test_each_writing_has_a_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "commands.tsv"
    path.write_text(
        "switch\tturn off the kitchen lights\tlight.kitchen off\n"
        "wrong\tturn off the kitchen lights\tscene.night\n"
        "unknown\torder a pizza\tunknown\n"
    )
    assert main([str(path), "--every", "1"]) == 0
    printed = capsys.readouterr().out
    assert len(re.findall(r" 1 +100\.0%", printed)) == len(WRITINGS)
    assert all(name in printed for name in WRITINGS)
