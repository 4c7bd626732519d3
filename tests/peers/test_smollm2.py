"""SmolLM2-135M-Instruct beside llama.cpp, and beside itself in floats: some minutes, in `verify`.

Needs the model: `python -m host.model get smollm2-135m-instruct`.
"""

import random
from pathlib import Path

import gguf
import numpy as np
import pytest

from host.cli.quantizing import read_texts
from host.hardware import boards
from host.model import loading
from host.model.cache import load_quantized
from host.model.chat import USER, Message
from host.model.float_model import FloatModel
from host.model.float_text import sample_sequences
from host.model.formats.gguf import Fields
from host.model.formats.gguf_tokenizer import read_tokenizer
from host.model.loading import LoadedModel
from host.model.quantization.caches import narrow_caches
from host.model.quantization.quality import Quality, measure_quality
from host.model.quantized import QuantizedModel
from host.model.reference import Reference
from host.model.tokenizers.text import Tokenizer
from host.parallel.boards import BoardSet
from host.parallel.cost.estimate import find_fastest
from host.parallel.fitting import find_plans
from host.parallel.parallelism import ANYWHERE
from tests.peers.llama_cpp import ask
from tests.peers.smollm2 import MODEL, QUESTIONS, load_with_groups, skip_without_model

pytestmark = [pytest.mark.verify, pytest.mark.timeout(3600)]
PROSE = Path(__file__).with_name("prose.txt")
# Of each kind of pre-tokenizer one; they are given SmolLM2's tokens here.
KINDS = ("smollm", "gpt-2", "llama-bpe", "qwen2", "tekken", "smaug-bpe", "command-r", "stablelm2")

COUNT = 32
# Where greedy texts part, the two tokens' logits are at most so far from each other: 4-bit
# weights times 8-bit activations on llama.cpp's side, 8 times 16 bits on ours.
NEAR = 0.75


@pytest.fixture(scope="module", autouse=True)
def model_is_here() -> None:
    skip_without_model()


@pytest.fixture(scope="module")
def source() -> LoadedModel:
    """Quantized, at the first time in minutes, then from the cache."""
    return load_quantized(MODEL)


def make_texts() -> list[str]:
    chosen = random.Random(1)
    letters = "ab cdeXYZ  \n\t'.,!0123456789\u00e9\u00df\u65e5\ud55c\U0001f642\u0301\u00a0-_<|>/\r"
    texts = ["", "I'LL we'Ve 'S", "<|im_start|>user\nhi<|im_end|>\n", "\u0661\u0662\u0663 \u00bd"]
    for _ in range(1500):
        count = chosen.randint(1, 40)
        texts.append("".join(chosen.choice(letters) for _ in range(count)))
    words = PROSE.read_text().split(" ")
    for _ in range(100):
        at = chosen.randrange(len(words) - 20)
        texts.append(" ".join(words[at : at + 20]))
    return texts


@pytest.mark.parametrize("kind", KINDS)
def test_tokens_are_llama_cpps(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "vocabulary.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    for key, field in gguf.GGUFReader(MODEL).fields.items():
        value = field.contents()
        if key.startswith("GGUF.") or key == "general.architecture":
            continue
        if key == "tokenizer.ggml.pre":
            value = kind
        if isinstance(value, bool):
            writer.add_bool(key, value)
        elif isinstance(value, int):
            writer.add_uint32(key, value)
        elif isinstance(value, float):
            writer.add_float32(key, value)
        elif isinstance(value, str):
            writer.add_string(key, value)
        else:
            writer.add_array(key, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    texts = make_texts()
    theirs = ask("tokens", path, texts, tmp_path)
    tokenizer = read_tokenizer(Fields(path), 49152)
    for text, expected in zip(texts, theirs, strict=True):
        assert tokenizer.encode(text, bos=False) == expected, repr(text)


@pytest.fixture(scope="module")
def grouped() -> QuantizedModel:
    """With weights in the groups of the file."""
    return load_with_groups().quantize()


@pytest.fixture(scope="module")
def costs(source: LoadedModel, grouped: QuantizedModel) -> dict[str, Quality]:
    """What quantization costs on prose, and on text that the model makes, with KV caches of int16
    and of int8, and with weights in groups."""
    model = FloatModel(loading.load_weights(MODEL))
    prose = read_texts(PROSE, source.tokenizer, model)  # neither half served to calibrate
    made = sample_sequences(model, 16, 96, 5, source.tokenizer.bos)
    texts = {"prose": np.concatenate([prose.calibration, prose.held_out]), "made": made}
    found = {}
    for caches, quantized in forms_of(source, grouped).items():
        for text, sequences in texts.items():
            name = f"{text}, {caches} caches"
            found[name] = measure_quality(model, quantized, sequences, lambda: None)
            print(f"{name}: {found[name]}, {found[name].change:+.3%}")
    return found


def forms_of(source: LoadedModel, grouped: QuantizedModel) -> dict[str, QuantizedModel]:
    """The model by what its KV caches hold, and with weights in groups."""
    return {
        "int16": source.quantize(), "int8": narrow_caches(source.quantize()),
        "groups, int16": grouped, "groups, int8": narrow_caches(grouped),
    }  # fmt: skip


def test_perplexity_is_within_a_percent_of_floats(costs: dict[str, Quality]) -> None:
    for name, cost in costs.items():
        assert abs(cost.change) < 0.01, (name, cost)


# Of ten boards by what caches hold and by context: bytes of the largest chip's caches, and tokens
# per second; None where no plan fits. As in docs/large-models.md.
ROOM = {
    ("int16", 256): (1_966_080, 0.65), ("int8", 256): (998_400, 0.69),
    ("int16", 2048): None, ("int8", 2048): (5_058_560, 0.35),
    ("int16", 8192): None, ("int8", 8192): None,
    ("groups, int16", 256): (1_966_080, 0.87), ("groups, int8", 2048): (3_993_600, 0.47),
}  # fmt: skip


def test_int8_caches_leave_room_for_longer_contexts(
    source: LoadedModel, grouped: QuantizedModel
) -> None:
    board = boards.load("esp32s3-n16r8").with_mtu(1470)
    models = forms_of(source, grouped)
    for (caches, context), expected in ROOM.items():
        cluster = BoardSet((board,) * 10, "espnow", context, True, "pins", weights=ANYWHERE)
        plans, _ = find_plans(models[caches], cluster)
        found = find_fastest(plans, cluster) if plans else None
        if expected is None:
            assert found is None
            continue
        assert found is not None
        plan = found.plan
        largest = max(plan.heap_need(shard).kv_cache for shard in plan.shards)
        rate = round(found.latency.tokens_per_second, 2)
        assert (largest, rate) == expected, (caches, context)


def test_greedy_texts_beside_llama_cpps(
    source: LoadedModel, grouped: QuantizedModel, tmp_path: Path
) -> None:
    chat = source.prompt_format.chat
    assert chat is not None
    prompts = [chat.encode([Message(USER, text)], source.tokenizer) for text in QUESTIONS]
    theirs = ask("greedy", MODEL, {"prompts": prompts, "count": COUNT}, tmp_path)
    for weights, model in (("int8", source.quantize()), ("groups", grouped)):
        for prompt, expected in zip(prompts, theirs, strict=True):
            print(f"{weights}: {follow(model, source.tokenizer, prompt, expected)}")


def follow(
    model: QuantizedModel, tokenizer: Tokenizer, prompt: list[int], expected: list[int]
) -> str:
    """Says where the model would go on with another token than the expected ones, which then is
    nearly as likely."""
    reference = Reference(model, 1, len(prompt) + COUNT)
    for token in prompt:
        logits = reference.step([token])[0]
    for place, token in enumerate(expected):
        own = int(logits.argmax())
        if own != token:
            gap = float(logits[own] - logits[token]) * 2.0**-model.logit_exponent
            assert gap < NEAR
            previous = (prompt + expected)[len(prompt) + place - 1]
            words = [tokenizer.decode(each, previous).decode() for each in (own, token)]
            return f"{place} tokens alike, then {words[0]!r} for {words[1]!r}, {gap:.3f} larger"
        logits = reference.step([token])[0]
    return f"all {len(expected)} tokens alike"


def test_what_the_float_of_the_file_says(source: LoadedModel) -> None:
    """The quantized model's likeliest tokens are those of floats, nearly always."""
    tokens = source.tokenizer.encode(PROSE.read_text()[:400])
    floats = FloatModel(loading.load_weights(MODEL)).logits(tokens)
    logits = Reference(source.quantize(), 1, len(tokens)).logits([tokens])[0]
    assert (np.argmax(floats, -1) == logits.argmax(-1)).mean() > 0.95
