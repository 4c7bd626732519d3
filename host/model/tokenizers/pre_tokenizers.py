"""How byte-level tokenizers cut a text into words before they merge bytes, by llama.cpp's names.

A GGUF file says by one name (`tokenizer.ggml.pre`) what a tokenizer.json spells out. The patterns
are those of the models that the names stand for: GPT-2's, and those of Llama 3, Qwen 2 and
Mistral's Tekken, which differ in how many digits make a word and where a word begins.
"""

from __future__ import annotations

from dataclasses import dataclass

_SUFFIXES = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_BLANKS = r"\s+(?!\S)|\s+"
_GPT2 = rf"'s|'t|'re|'ve|'m|'ll|'d| ?\p{{L}}+| ?\p{{N}}+| ?[^\s\p{{L}}\p{{N}}]+|{_BLANKS}"
_DIGIT = r"\p{N}"
# Letters with at most one other character before them; marks with the line's end after them.
_WORD, _MARKS = r"[^\r\n\p{L}\p{N}]?\p{L}+", r" ?[^\s\p{L}\p{N}]+[\r\n]*"
_LINES = rf"\s*[\r\n]+|{_BLANKS}"
_LLAMA3 = rf"{_SUFFIXES}|{_WORD}|\p{{N}}{{1,3}}|{_MARKS}|{_LINES}"
_QWEN2 = rf"{_SUFFIXES}|{_WORD}|{_DIGIT}|{_MARKS}|{_LINES}"
# A word's capitals and then its small letters; letters that are neither may be in both parts.
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_TEKKEN = (
    rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*"
    rf"|{_DIGIT}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{_LINES}"
)


@dataclass(frozen=True)
class PreTokenizer:
    """patterns: one after another, each cuts out what it finds; whole_words: whether a word that
    is a token is taken as it is, and nothing merged; adds_bos: whether a text begins with BOS
    where a file does not say."""

    patterns: tuple[str, ...]
    whole_words: bool = False
    adds_bos: bool = False


PRE_TOKENIZERS: dict[str, PreTokenizer] = {
    **dict.fromkeys(("gpt-2", "olmo", "mpt", "exaone4"), PreTokenizer((_GPT2,))),
    **dict.fromkeys(
        ("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"),
        PreTokenizer((_DIGIT, _GPT2)),
    ),
    **dict.fromkeys(
        ("llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral", "lfm2", "midm-2.0"),
        PreTokenizer((_LLAMA3,), whole_words=True, adds_bos=True),
    ),
    **dict.fromkeys(("smaug-bpe", "dbrx"), PreTokenizer((_LLAMA3,))),
    **dict.fromkeys(("qwen2", "stablelm2", "megrez"), PreTokenizer((_QWEN2,))),
    "tekken": PreTokenizer((_TEKKEN,), whole_words=True, adds_bos=True),
}
