"""Fixtures of the host's tests."""

import os
import tty

import pytest

from host.model.quantization.quantize import quantize
from tests.host.fake_chips import Clock
from tests.host.tiny import random_checkpoint
from tests.host.tokens import STORIES


@pytest.fixture
def clock():
    """A clock in virtual time."""
    return Clock()


@pytest.fixture(scope="session")
def stories():
    """A model with stories260K's shapes and random weights."""
    return quantize(random_checkpoint(STORIES))


@pytest.fixture
def silent_port():
    """A port that opens, and at which nothing answers."""
    master, slave = os.openpty()
    tty.setraw(slave)
    yield os.ttyname(slave)
    os.close(master)
    os.close(slave)
