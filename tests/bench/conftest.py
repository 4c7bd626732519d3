"""What tests of emulated chips need."""

from pathlib import Path

import pytest

from bench.emulated_chip import FOLDER


@pytest.fixture
def qemu() -> Path:
    """Where QEMU and the program for it are, if `make bench` was run here."""
    if not (FOLDER / "installed").exists():
        pytest.skip("no QEMU here yet: `make bench` installs it")
    return FOLDER
