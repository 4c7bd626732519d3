"""Fixtures for the whole suite."""

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from host.setup.micropython import find
from tests.dual import SEED

REPOSITORY = Path(__file__).resolve().parents[1]

# How long an example takes says how busy the machine is; pytest's own timeout ends what hangs.
settings.register_profile(
    "no deadline", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("no deadline")

# Kernels of viper code do not compile under CPython: test_under_micropython.py runs their cases.
collect_ignore_glob = ["firmware/test_*_viper.py"]
# Rules that the sources are still being brought to keep.
collect_ignore = ["test_architecture.py"]


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Random numbers of a test are the same in every run."""
    random.seed(SEED)


@pytest.fixture(scope="session")
def micropython() -> Path:
    """The MicroPython that this checkout uses."""
    return find()


@pytest.fixture(scope="session")
def shared_models() -> Path:
    """The folder of published models, which lies beside the checkout and is never copied."""
    folder = REPOSITORY.parent / "shared" / "models"
    if not folder.is_dir():
        pytest.skip("no folder ../shared/models beside this checkout")
    return folder
