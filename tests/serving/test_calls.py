"""Calls between two tokens: each future is resolved, whatever happens."""

import pytest

from host.serving.calls import Calls


def test_every_future_is_resolved():
    calls = Calls()
    accept = lambda: None  # noqa: E731
    wrong = calls.add(lambda: 1 // 0, accept)
    cancelled = calls.add(lambda: 2, accept)
    cancelled.cancel()
    right = calls.add(lambda: 3, accept)
    waiting = calls.add(lambda: 4, accept)
    waiting.cancel()
    with pytest.raises(ZeroDivisionError):
        calls.run()
    assert isinstance(wrong.exception(0), ZeroDivisionError)
    calls.run()
    assert right.result(0) == 3
    failed = calls.add(lambda: 5, accept)
    calls.fail(OSError())
    refused = calls.add(lambda: 6, ValueError)
    assert isinstance(failed.exception(0), OSError)
    assert isinstance(refused.exception(0), ValueError)
