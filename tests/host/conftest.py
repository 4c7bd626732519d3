"""Fixtures of the host's tests."""

import pytest

from tests.host.fake_chips import Clock


@pytest.fixture
def clock():
    """A clock in virtual time."""
    return Clock()
