"""A small model with random weights from a fixed seed, for tests that need a whole model.

It is not trained, so its text is gibberish; but its shape is a real one's (grouped queries, and
heads, units and rows that few numbers of chips divide evenly), its logits have one best token, and
its greedy text depends on everything before and does not soon repeat. What a test expects of it
comes from the reference, never from here.
"""

import string
from pathlib import Path

from bench.virtual.model import as_checkpoint, draw_weights
from host.model.checkpoint import Checkpoint, Config
from host.model.formats import llama2c
from host.model.tokenizers.bpe import BpeTokenizer, serialize_tokens

SEED = 6
# Of a matrix's outputs for inputs of unit size, where it is not 1: scores of attention that tell
# positions apart, and logits of which one stands out.
DEVIATION = {"wq": 1.5, "wk": 1.5, "wo": 1.5, "w2": 1.5, "classifier": 4.0}
SPECIAL = [b"<unk>", b"\n<s>\n", b"\n</s>\n"]
BYTES = [b"<0x%02X>" % byte for byte in range(256)]
CHARACTERS = string.ascii_letters + string.digits + " .,!?'\n"
SYLLABLES = [consonant + vowel for consonant in "bdfhklmnprstw" for vowel in "aeiou"]
# Merges, the best first: what is merged later is made of what is merged before.
MERGES = [
    *SYLLABLES,
    *(f" {letter}" for letter in string.ascii_lowercase),
    *(f" {syllable}" for syllable in SYLLABLES),
    ". ", ", ", "! ", "on", "in", "er", "th", "and", " the", " and", "was", "once", "Once",
    " upon", " time", "ing", " was",
]  # fmt: skip

# None, and some of up to 13 tokens.
PROMPTS = (
    "",
    "Once upon a time",
    "Lily and Tom",
    "The little dog",
    "One day, a big",
    "Zoo was",
    "She ran. He",
)


def tiny_tokenizer() -> BpeTokenizer:
    """A tokenizer that can express any byte."""
    pieces = [*SPECIAL, *BYTES]
    pieces += [text.encode() for text in (*CHARACTERS, *MERGES)]
    ranks = range(len(pieces) - len(MERGES), len(pieces))
    scores = [0.0] * (len(pieces) - len(MERGES)) + [-float(rank) for rank in ranks]
    return BpeTokenizer(pieces, scores)


CONFIG = Config(
    dim=48,
    hidden_dim=119,
    layers=5,
    heads=6,
    kv_heads=3,
    vocab_size=len(tiny_tokenizer().pieces),
    context=512,
)


def tiny_checkpoint() -> Checkpoint:
    """The weights, of a classifier apart from the embedding: where the two are one and nothing is
    trained, a model repeats its last token."""
    weights = draw_weights(CONFIG, SEED, DEVIATION)
    weights["classifier"][: len(SPECIAL) + len(BYTES)] *= 0.1  # texts do not end, and are legible
    return as_checkpoint(CONFIG, weights)


def write_tiny_model(folder: Path) -> Path:
    """The path of the model's checkpoint in `folder`, its tokenizer beside it."""
    path = folder / "tiny.bin"
    llama2c.save(tiny_checkpoint(), path)
    tokens = serialize_tokens(tiny_tokenizer())
    (folder / f"tok{CONFIG.vocab_size}.bin").write_bytes(tokens)
    return path
