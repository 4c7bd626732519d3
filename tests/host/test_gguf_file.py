"""GGUF files: logits against a plain computation, every damage in one line, the tokenizer."""

from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType as Kind
from hypothesis import given, settings
from hypothesis import strategies as st

from host.errors import ModelError
from host.model.checkpoint import Config, weight_shapes
from host.model.float_model import FloatModel
from host.model.formats import gguf as gguf_file
from host.model.tokenizers.bpe import BpeTokenizer
from tests.host.model_files import (
    PIECES,
    SCORES,
    SHAPES,
    VOCABULARY,
    config_of,
    huggingface_tensors,
    plain_logits,
    small_tokenizer,
    write_gguf,
)
from tests.host.small_models import WORDY
from tests.host.tiny import random_checkpoint

TOKENS = [1, 7, 39, 0, 7, 21, 5, 5, 12]
CONFIG = SHAPES[1]


def refusal(path: Path, load=gguf_file.load) -> str:
    with pytest.raises(ModelError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    return message.removeprefix(f"{path}: ")


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("config", SHAPES, ids=str)
def test_weights_bit_for_bit_and_their_logits(
    config: Config, shared: bool, tmp_path: Path
) -> None:
    config = replace(config, norm_eps=3e-6)
    original = random_checkpoint(config, shared)
    loaded = gguf_file.load(write_gguf(original, tmp_path / "m.gguf"))
    assert loaded.config == config and loaded.shared_classifier == shared
    for name in weight_shapes(config):
        assert getattr(loaded, name).tobytes() == getattr(original, name).tobytes(), name
    expected = plain_logits(config, huggingface_tensors(original), TOKENS)
    np.testing.assert_allclose(FloatModel(loaded).logits(TOKENS), expected, rtol=1e-9, atol=1e-11)


def permuted(weights: np.ndarray, heads: int) -> np.ndarray:
    """What llama.cpp's converter makes of q and k from a Hugging Face folder, in its formula."""
    return (
        weights.reshape(heads, 2, weights.shape[0] // heads // 2, *weights.shape[1:])
        .swapaxes(1, 2)
        .reshape(weights.shape)
    )


@pytest.mark.parametrize("config", SHAPES, ids=str)
def test_the_converters_order_of_rows_is_the_one_that_is_read(config: Config) -> None:
    original = random_checkpoint(config)
    tensors = huggingface_tensors(original)
    for layer in range(config.layers):
        at = f"model.layers.{layer}.self_attn."
        q, k = tensors[at + "q_proj.weight"], tensors[at + "k_proj.weight"]
        assert (permuted(q, config.heads) == original.wq[layer]).all()
        assert (permuted(k, config.kv_heads) == original.wk[layer]).all()


@pytest.mark.parametrize(
    "kind", [Kind.F16, Kind.BF16, Kind.Q8_0, Kind.Q4_0, Kind.Q5_1], ids=lambda kind: kind.name
)
def test_types_that_the_library_dequantizes(kind: Kind, tmp_path: Path) -> None:
    config = config_of(32, 1, 2, 96)
    original = random_checkpoint(config)
    loaded = gguf_file.load(write_gguf(original, tmp_path / "m.gguf", kind=kind))
    expected = gguf.quants.dequantize(gguf.quants.quantize(original.w2, kind), kind)
    assert loaded.w2.dtype == np.float32
    assert (loaded.w2 == expected).all()
    assert (loaded.w2 != original.w2).any()
    assert (loaded.final_norm == original.final_norm).all()


def test_rope_base_from_metadata(tmp_path: Path) -> None:
    def with_base(base: float) -> float:
        path = tmp_path / "m.gguf"
        writer = gguf.GGUFWriter(path, "llama")
        writer.add_rope_freq_base(base)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return gguf_file.Fields(path).get("llama.rope.freq_base", float, 10000.0)

    assert with_base(500000.0) == 500000.0


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"llama.attention.key_length": 16}, "keys of 16 elements and values of 8 in a head: those"
         " of different sizes are not supported"),
        ({"llama.attention.value_length": 16}, "keys of 8 elements and values of 16 in a head:"
         " those of different sizes are not supported"),
        ({"llama.attention.key_length": 16, "llama.attention.value_length": 16},
         "rope on 8 of a head's 16 elements is not supported"),
        ({"llama.attention.sliding_window": 15},
         "a sliding window of 15 positions is not supported"),
        ({"llama.rope.scaling.type": "yarn"}, "rope scaling yarn is not supported"),
        ({"llama.expert_count": 8}, "a mixture of 8 experts is not supported"),
        ({"rope_freqs.weight": np.ones(4, np.float32)},
         "rope scaling (rope_freqs.weight) is not supported"),
        ({"blk.0.attn_q.bias": np.ones(64, np.float32)},
         "it has biases (blk.0.attn_q.bias), which are not supported"),
        ({"blk.0.attn_sinks.weight": np.ones(4, np.float32)},
         "tensor blk.0.attn_sinks.weight is not known: this variant is not supported"),
        ({"llama.rope.freq_base": "high"}, "llama.rope.freq_base is a str, expected float"),
    ],
)  # fmt: skip
def test_what_is_not_supported_is_named(
    extra: dict[str, object], message: str, tmp_path: Path
) -> None:
    path = write_gguf(random_checkpoint(CONFIG), tmp_path / "m.gguf", extra=extra)
    assert refusal(path) == message


@pytest.mark.parametrize("head_dim", [4, 24])
def test_heads_of_a_size_of_their_own(head_dim: int, tmp_path: Path) -> None:
    config = replace(CONFIG, head_dim=head_dim)
    original = random_checkpoint(config)
    sizes = {f"llama.attention.{name}_length": head_dim for name in ("key", "value")}
    loaded = gguf_file.load(write_gguf(original, tmp_path / "m.gguf", extra=sizes))
    assert loaded.config == config
    for name in weight_shapes(config):
        assert getattr(loaded, name).tobytes() == getattr(original, name).tobytes(), name


def test_another_architecture_is_named(tmp_path: Path) -> None:
    path = write_gguf(random_checkpoint(CONFIG), tmp_path / "m.gguf", architecture="qwen2")
    assert refusal(path) == "architecture qwen2 is not supported: Llama, Mistral and Qwen3 are"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "m.gguf"
    return write_gguf(random_checkpoint(WORDY), path, small_tokenizer())


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1 << 30))
def test_truncated_files(whole: Path, cut: int) -> None:
    data = whole.read_bytes()
    path = whole.with_name("cut.gguf")
    path.write_bytes(data[: cut % len(data)])
    assert refusal(path).startswith("damaged or truncated GGUF file: ")


@settings(max_examples=150, deadline=None)
@given(st.integers(4, 20_000), st.integers(1, 255))
def test_damaged_metadata_gives_a_model_or_one_line(whole: Path, at: int, flipped: int) -> None:
    data = bytearray(whole.read_bytes())
    data[at % len(data)] ^= flipped
    path = whole.with_name("damaged.gguf")
    path.write_bytes(data)
    for load in (gguf_file.load, lambda path: gguf_file.load_tokenizer(path, VOCABULARY)):
        try:
            load(path)
        except ModelError as error:
            assert str(error).startswith(f"{path}: ") and "\n" not in str(error)


def test_a_count_beyond_the_file_ends_at_once(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "llama")
    writer.add_array("x", b"\1\2\3")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    data = bytearray((tmp_path / "m.gguf").read_bytes())
    count = data.index((3).to_bytes(8, "little") + b"\1\2\3")
    data[count : count + 8] = (1 << 60).to_bytes(8, "little")
    (tmp_path / "m.gguf").write_bytes(data)
    found = refusal(tmp_path / "m.gguf")
    assert found == "damaged or truncated GGUF file: the file ends too early"


def test_another_version_is_named(whole: Path, tmp_path: Path) -> None:
    data = whole.read_bytes()
    for version in (1, 99):
        (tmp_path / "m.gguf").write_bytes(data[:4] + version.to_bytes(4, "little") + data[8:])
        found = refusal(tmp_path / "m.gguf")
        assert found.startswith("GGUF file of another version: ")
        assert f"version {version} " in found


def test_a_missing_file(tmp_path: Path) -> None:
    assert refusal(tmp_path / "m.gguf") == "cannot read the model: No such file or directory"


def test_the_tokenizer_is_the_one_that_was_written(tmp_path: Path) -> None:
    path = write_gguf(random_checkpoint(WORDY), tmp_path / "m.gguf", small_tokenizer())
    found = gguf_file.load_tokenizer(path, VOCABULARY)
    expected = small_tokenizer()
    assert found.pieces == expected.pieces and found.scores == expected.scores
    assert (found.bos, found.eos, found.stops) == (1, 2, {1, 2})
    for text in ("", "abba", " ba cab", "é☃\n", "llé dd  ab"):
        assert found.encode(text) == expected.encode(text)
        assert found.decode_all(found.encode(text)) == text.encode()


def test_special_tokens_and_bytes_in_other_places(tmp_path: Path) -> None:
    """The same vocabulary in another order: BOS and EOS last, bytes before them reversed."""
    order = [*range(259, VOCABULARY), *range(258, 2, -1), 0, 2, 1]
    moved = BpeTokenizer(
        [PIECES[token].encode() for token in order],
        [SCORES[token] for token in order],
        bos=VOCABULARY - 1,
        eos=VOCABULARY - 2,
    )
    path = write_gguf(random_checkpoint(WORDY), tmp_path / "m.gguf", moved)
    found = gguf_file.load_tokenizer(path, VOCABULARY)
    assert (found.bos, found.eos) == (VOCABULARY - 1, VOCABULARY - 2)
    for text in ("abba ☃", "\n", " ba cab"):
        tokens = [order[token] for token in found.encode(text)]
        assert tokens == small_tokenizer().encode(text)
        assert found.decode_all(found.encode(text)) == text.encode()


def test_no_space_first_where_the_file_says_so(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tokenizer_model("llama")
    writer.add_token_list([piece.replace(" ", "\u2581") for piece in PIECES])
    writer.add_token_scores(SCORES)
    writer.add_add_space_prefix(False)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    found = gguf_file.load_tokenizer(path, VOCABULARY)
    assert found.encode("ab") == [1, PIECES.index("ab")]
    assert found.encode(" ab") == [1, PIECES.index(" ab")]
    assert found.decode_all(found.encode(" ab")) == b" ab"


def tokenizer_refusal(path: Path, vocab_size: int = VOCABULARY) -> str:
    return refusal(path, lambda path: gguf_file.load_tokenizer(path, vocab_size))


def test_tokenizers_that_do_not_fit(tmp_path: Path) -> None:
    original, size = random_checkpoint(WORDY), VOCABULARY
    path = write_gguf(original, tmp_path / "m.gguf", small_tokenizer())
    message = f"the tokenizer has {size} tokens, the model has 40 tokens"
    assert tokenizer_refusal(path, 40) == message
    small = small_tokenizer()
    small.bos = size
    path = write_gguf(original, tmp_path / "n.gguf", small)
    assert tokenizer_refusal(path) == f"the bos token {size} is not among the {size} tokens"
    path = write_gguf(original, tmp_path / "o.gguf", extra={"tokenizer.ggml.model": "t5"})
    assert (
        tokenizer_refusal(path)
        == "its tokenizer is of the kind t5, expected llama or gpt2: give the model's"
        " tokenizer.json with --tokenizer"
    )
    path = write_gguf(original, tmp_path / "p.gguf")
    assert tokenizer_refusal(path) == "tokenizer.ggml.model is missing"
