"""boot.py: the clock of a board, whatever else is on it."""

import json

import pytest

from tests.simulation import launch

PROGRAM = """
import os
os.chdir({folder!r})
exec(open({boot!r}).read())
print(machine.freq())
"""


@pytest.mark.parametrize(
    ("config", "hertz"),
    [
        (json.dumps({"board": {"clock_mhz": 240}}), 240_000_000),
        (json.dumps({"board": {"clock_mhz": 7}}), 160_000_000),  # which no chip has
        (json.dumps({"board": {}}), 160_000_000),
        (json.dumps({"chip": 0}), 160_000_000),
        ("", 160_000_000),
        (None, 160_000_000),
    ],
)
def test_the_clock_is_set_where_it_can_be(micropython, tmp_path, config, hertz):
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    boot = launch.REPOSITORY / "firmware" / "boot.py"
    program = PROGRAM.format(folder=str(tmp_path), boot=str(boot))
    assert launch.output(launch.chip(micropython, program)) == f"{hertz}\n"
