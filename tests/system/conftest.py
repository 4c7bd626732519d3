"""The model that whole federations run in these tests, and what the reference makes of it."""

import pytest

from host.model.formats import llama2c
from host.model.quantization.quantize import quantize
from host.model.tokenizers.bpe import BpeTokenizer
from tests.system.reference_runs import reference_runs

STEPS = 128


@pytest.fixture(scope="session")
def model_file(shared_models):
    """The path of the checkpoint."""
    return shared_models / "stories260K.bin"


@pytest.fixture(scope="session")
def model(model_file):
    """The checkpoint, quantized."""
    return quantize(llama2c.load(model_file))


@pytest.fixture(scope="session")
def tokenizer(shared_models, model):
    """The model's tokenizer."""
    return BpeTokenizer.load(shared_models / "tok512.bin", model.config.vocab_size)


@pytest.fixture(scope="session")
def runs(shared_models, model, tokenizer):
    """What the reference generates greedily for each of the seven prompts."""
    return reference_runs(model, tokenizer, shared_models / "stories260K.greedy.json", STEPS)
