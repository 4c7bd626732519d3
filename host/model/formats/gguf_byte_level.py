"""Converts byte-level tokenizers of GGUF files ("gpt2"), which have tokens, merges and the name of
a pre-tokenizer, to the content of a tokenizer.json."""

from __future__ import annotations

from collections.abc import Sequence

from host.errors import ModelError
from host.model.tokenizers.pre_tokenizers import PRE_TOKENIZERS, PreTokenizer


def find_pre_tokenizer(name: str) -> PreTokenizer:
    """Returns the pre-tokenizer with this name. Raises ModelError for an unknown one."""
    if name not in PRE_TOKENIZERS:
        raise ModelError(
            f"the pre-tokenizer {name:.60} is not supported: give the model's tokenizer.json with"
            " --tokenizer"
        )
    return PRE_TOKENIZERS[name]


def make_tokenizer_json(
    texts: Sequence[str],
    merges: Sequence[str],
    pre_tokenizer: PreTokenizer,
    control: set[int],
    verbatim: Sequence[int],
) -> bytes:
    """Returns a tokenizer.json.

    texts [vocab]: those of all tokens, with bytes written as GPT-2 does; merges: pairs separated
    by a space, in order of priority; control: tokens without a text of their own; verbatim: tokens
    that replace their texts wherever these occur. Raises ModelError for a merge whose result is
    not a token.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

    # Reversed, so that the lowest token wins where two have the same text.
    vocabulary = {text: token for token, text in reversed(list(enumerate(texts)))}
    pairs = []
    for merge in merges:
        left, blank, right = merge.partition(" ")
        if not blank or left + right not in vocabulary:
            raise ModelError(f"the merge {merge!r:.60} leads to no token")
        pairs.append((left, right))
    try:
        model = models.BPE(vocabulary, pairs, ignore_merges=pre_tokenizer.whole_words)
    except Exception as error:  # it raises nothing narrower
        raise ModelError(f"its merges are damaged: {error}") from None
    library = Tokenizer(model)
    library.pre_tokenizer = pre_tokenizers.Sequence(
        [
            *(
                pre_tokenizers.Split(Regex(pattern), "isolated")
                for pattern in pre_tokenizer.patterns
            ),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    library.decoder = decoders.ByteLevel()
    for token in sorted({*control, *verbatim}):
        if texts[token]:
            library.add_tokens(
                [AddedToken(texts[token], special=token in control, normalized=False)]
            )
    return library.to_str().encode()
