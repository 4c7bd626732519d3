"""The model that whole clusters run in these tests, and what the reference makes of it."""

import pytest

from host.model.formats import llama2c
from host.model.quantization.quantize import quantize
from tests.system.reference_runs import reference_runs
from tests.tiny_model import PROMPTS, tiny_tokenizer

STEPS = 128


@pytest.fixture(scope="session")
def model_file(tiny_model_file):
    """The path of the checkpoint."""
    return tiny_model_file


@pytest.fixture(scope="session")
def model(model_file):
    """The checkpoint, quantized."""
    return quantize(llama2c.load(model_file))


@pytest.fixture(scope="session")
def tokenizer():
    """The model's tokenizer."""
    return tiny_tokenizer()


@pytest.fixture(scope="session")
def runs(model, tokenizer):
    """What the reference generates greedily for each of the seven prompts."""
    return reference_runs(model, tokenizer, PROMPTS, STEPS)
