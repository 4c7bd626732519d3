"""Fixtures of the host's tests."""

import os
import tty

import pytest

from tests.host.fake_chips import Clock


@pytest.fixture
def clock():
    """A clock in virtual time."""
    return Clock()


@pytest.fixture
def silent_port():
    """A port that opens, and at which nothing answers."""
    master, slave = os.openpty()
    tty.setraw(slave)
    yield os.ttyname(slave)
    os.close(master)
    os.close(slave)
