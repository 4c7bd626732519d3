"""What tests of emulated chips need."""

from pathlib import Path

import pytest

from bench.emulated_chip import FOLDER
from bench.emulation.lx6 import Lx6
from bench.emulation.processor import Processor
from bench.emulation.rv32 import Rv32
from tests.bench.keys import KEY


@pytest.fixture
def qemu() -> Path:
    """Where QEMU and the program for it are, if `make bench` was run here."""
    if not (FOLDER / "installed").exists():
        pytest.skip("no QEMU here yet: `make bench` installs it")
    return FOLDER


@pytest.fixture(params=[Rv32, Lx6], ids=["rv32im", "lx6"])
def processor(request: pytest.FixtureRequest) -> type[Processor]:
    return request.param


@pytest.fixture(params=[b"", KEY], ids=["version 2", "version 3"])
def key(request: pytest.FixtureRequest) -> bytes:
    return request.param
