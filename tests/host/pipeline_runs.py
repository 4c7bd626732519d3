"""A pipeline of fake stages, and runs of its executor that are compared with the reference."""

import numpy as np

from tests.host.fake_steps import LATENCY, FakePipeline
from tests.plans import staged_plan, with_positions

TOKENS = [1, 17, 5, 33, 8, 21, 2, 39, 30, 11]
KEY = b"k" * 32
MOST_RECOVERIES = 8


def connected(model, clock, script=lambda *_: None, chips=2, latency=LATENCY, **options):
    """A connected FakePipeline, of two stages of a chip each where nothing else is said."""
    plan = with_positions(staged_plan(model, chips, 2), 4)
    cluster = FakePipeline(model, plan, clock, script, **options)
    cluster.latency = latency
    cluster.executor.connect(1.0)
    return cluster


def at(call, what):
    """A script in which this happens to the STEP of this number, counted from 0."""
    return lambda cluster, number, came: what if came == call else None


def assert_runs(executor, expected, prompt=5):
    """The prompt at once, then token by token."""
    executor.begin()
    np.testing.assert_array_equal(executor.forward(TOKENS[:prompt]), expected[prompt - 1])
    for position in range(prompt, len(TOKENS)):
        np.testing.assert_array_equal(executor.forward([TOKENS[position]]), expected[position])
