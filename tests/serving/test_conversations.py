"""Conversations over OpenAI's API, with a model whose file has a chat template."""

from pathlib import Path

import pytest

from host.generation.generator import Generator, make_sampler
from host.generation.prompt_encoder import PromptEncoder
from host.model.cache import load_quantized
from host.model.chat import Message
from host.parallel.parallelism import HOST_REDUCE
from tests.host.test_chat import CONFIG, TEMPLATE, metadata, random_checkpoint, write_gguf
from tests.serving.reference_chips import ReferenceChips
from tests.serving.servers import HTTP, make_service, serving

TALK = [
    {"role": "developer", "content": "dog"},
    {"role": "user", "content": "the fox"},
    {"role": "assistant", "content": "jumps"},
    {"role": "user", "content": [{"type": "text", "text": "over"}]},
]
SAID = [
    Message("system", "dog"), Message("user", "the fox"), Message("assistant", "jumps"),
    Message("user", "over"),
]  # fmt: skip


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory):
    extra = {**metadata(), "tokenizer.chat_template": TEMPLATE}
    path: Path = tmp_path_factory.mktemp("chat") / "m.gguf"
    return load_quantized(write_gguf(random_checkpoint(CONFIG), path, extra=extra))


def test_a_model_is_given_the_whole_conversation(source) -> None:
    model = source.quantize()
    encoder = PromptEncoder(source, None, CONFIG.context)
    with ReferenceChips().open(model, HOST_REDUCE) as cluster:
        generator = Generator(cluster, source, encoder)
        expected = generator.generate(generator.task(SAID, make_sampler(0.0, 0.9, 0), 6))
    service, watching = make_service(source, [[ReferenceChips()]])
    with serving(service, watching) as address:
        body = {"messages": TALK, "max_tokens": 6, "tools": [{"type": "function"}]}
        answer = HTTP.post(f"{address}/v1/chat/completions", json=body).json()
        assert answer["choices"][0]["message"]["content"] == expected.text
        assert answer["usage"]["prompt_tokens"] == len(encoder.encode(SAID))
        assert answer["federation"] == {"ignored": ["tools"]}
        assert HTTP.get(f"{address}/props").json()["chat_template"] == TEMPLATE
        long = [{"role": "user", "content": "fox " * 90}]
        refused = HTTP.post(f"{address}/v1/chat/completions", json={"messages": long})
        assert refused.status_code == 400 and "positions" in refused.json()["error"]["message"]
