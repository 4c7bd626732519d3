"""What tests of servers share: the tiny model, and texts as `host.run` gives them."""

import importlib

import pytest

from host.generation.generator import Generator, make_sampler
from host.generation.prompt_encoder import PromptEncoder
from host.model.cache import load_quantized
from host.parallel.parallelism import HOST_REDUCE
from tests.serving.reference_chips import ReferenceChips


@pytest.fixture(scope="session")
def openai():
    """OpenAI's own library, which takes a second to import: where a test asks for it alone."""
    return importlib.import_module("openai")


@pytest.fixture(scope="session")
def tiny(tiny_model_file):
    """The tiny model, quantized."""
    return load_quantized(tiny_model_file)


@pytest.fixture(scope="session")
def expect(tiny):
    """Makes the generation that a prompt leads to, by the reference."""
    model = tiny.quantize()

    def generate(prompt, max_tokens, temperature=0.0, top_p=0.9, seed=0, top_k=0, stop=()):
        encoder = PromptEncoder(tiny, None, tiny.config.context)
        with ReferenceChips().open(model, HOST_REDUCE) as cluster:
            generator = Generator(cluster, tiny, encoder)
            sampler = make_sampler(temperature, top_p, seed, top_k)
            return generator.generate(generator.task(prompt, sampler, max_tokens, stop))

    return generate
