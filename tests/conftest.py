"""Fixtures for the whole suite."""

import gc
import os
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, is_hypothesis_test, settings

# Before numpy is imported. Tests run in as many processes as there are processors, and threads
# that multiply small matrices together would mostly wait for one another, each in a busy loop.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from host.setup.micropython import find
from tests.dual import SEED
from tests.tiny_model import write_tiny_model

REPOSITORY = Path(__file__).resolve().parents[1]

# How many examples properties are tried with. How long one takes says how busy the machine is;
# pytest's own timeout ends what hangs.
EXAMPLES, MANY_EXAMPLES = 40, 250
for name, examples in (("few", EXAMPLES), ("many", MANY_EXAMPLES)):
    settings.register_profile(
        name, max_examples=examples, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
settings.load_profile("few")

LONG = 600  # seconds that the timeout of a test of one cluster allows; few allow more

# Kernels of viper code do not compile under CPython: test_under_micropython.py runs their cases.
collect_ignore_glob = ["firmware/test_*_viper.py", "protocol/test_*_viper.py"]


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """How many tests `-n auto` runs at once: two more than there are processors, for many wait for
    processes of theirs; of the large matrices, in which frames are lost and waited for, twice as
    many as there are."""
    processors = os.cpu_count() or 1
    return min(8, 2 * processors if config.option.markexpr == "verify" else processors + 2)


def pytest_configure(config: pytest.Config) -> None:
    """Has `make verify` try properties with many examples. Functions take them when they are
    imported."""
    if config.option.markexpr == "verify":
        settings.load_profile("many")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Lets `make verify` run properties too, whose examples are more there, and first what may
    take longest: so that no process is left with it when the others have nothing more to do."""
    if config.option.markexpr == "verify":
        for item in items:
            if is_hypothesis_test(getattr(item, "obj", None)):
                item.add_marker(pytest.mark.verify)
        items.sort(key=long_timeout, reverse=True)


def long_timeout(item: pytest.Item) -> float:
    """The seconds that a test may take, 0 if they are LONG or fewer."""
    marker = item.get_closest_marker("timeout")
    return marker.args[0] if marker and marker.args[0] > LONG else 0.0


@pytest.fixture(scope="module", autouse=True)
def collector_at_rest() -> None:
    """Keeps the collector from what is there before a file's tests: a chip's code collects garbage
    often, and would have all of pytest's objects looked through each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Random numbers of a test are the same in every run."""
    random.seed(SEED)


@pytest.fixture(scope="session")
def micropython() -> Path:
    """The MicroPython that this checkout uses."""
    return find()


@pytest.fixture(scope="session")
def tiny_model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of the tiny model, its tokenizer beside it: tests that need any model of a
    real one's shape use it."""
    return write_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def shared_models() -> Path:
    """The folder of a published model and of what llama2.c's own program made of it.

    It lies beside the checkout and is never copied, so only comparisons with that program and the
    figures of that model may ask for it; elsewhere they are skipped.
    """
    folder = REPOSITORY.parent / "shared" / "models"
    if not folder.is_dir():
        pytest.skip("compares with llama2.c's program on stories260K, which ../shared/models has")
    return folder
