"""A small byte-level vocabulary, trained by the tokenizers library, as GGUF metadata and as the
library's own tokenizer."""

from __future__ import annotations

import functools
import json
from typing import Any

import tokenizers
from tokenizers import AddedToken, decoders, models, pre_tokenizers, trainers

CONTROLS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
_CORPUS = [
    "the quick brown fox jumps over the lazy dog, and the dog's tail wags 123 times",
    "user system assistant\nHello, world! don't won't we'll 2024\n\n  indented lines  here",
    "caf\u00e9 d\u00e9j\u00e0 vu \u65e5\u672c\u8a9e na\u00efve 12 345 6789",
]
SIZE = 400


@functools.cache
def library() -> tokenizers.Tokenizer:
    """The library's tokenizer, with GPT-2's pattern after single digits, as SmolLM has it."""
    found = tokenizers.Tokenizer(models.BPE())
    found.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(False)]
    )
    found.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=SIZE,
        special_tokens=CONTROLS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
        min_frequency=1,
    )
    found.train_from_iterator(_CORPUS * 3, trainer)
    found.add_special_tokens([AddedToken(text, normalized=False) for text in CONTROLS])
    return found


def metadata(**changed: object) -> dict[str, object]:
    """tokenizer.ggml.* of that tokenizer; `changed`: other values, None for none."""
    model: Any = json.loads(library().to_str())["model"]
    texts = sorted(model["vocab"], key=model["vocab"].get)
    fields: dict[str, object] = {
        "model": "gpt2",
        "pre": "smollm",
        "tokens": texts,
        "token_type": [3 if text in CONTROLS else 1 for text in texts],
        "merges": [" ".join(pair) for pair in model["merges"]],
        "bos_token_id": 1,
        "eos_token_id": 2,
        "add_bos_token": False,
        **changed,
    }
    return {
        f"tokenizer.ggml.{name}": value for name, value in fields.items() if value is not None
    }


def vocabulary() -> int:
    """How many tokens it has."""
    return library().get_vocab_size()
