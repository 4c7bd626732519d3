"""Fixtures of the host's tests."""

import pytest

from host.cluster import coordinator
from tests.host.fake_chips import Clock


@pytest.fixture
def clock(monkeypatch):
    """The coordinator's clock, in virtual time."""
    clock = Clock()
    monkeypatch.setattr(coordinator, "time", clock)
    return clock
