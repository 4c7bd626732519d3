"""The model of virtual clusters, and the text that they must give."""

import pytest

from bench.virtual.model import reference_text, small_model
from tests.virtual.clusters import PROMPT, STEPS


@pytest.fixture(scope="package")
def model():
    """Small, with random weights."""
    return small_model()


@pytest.fixture(scope="package")
def text(model):
    """What the reference generates of the prompt."""
    return reference_text(model, PROMPT, STEPS)
