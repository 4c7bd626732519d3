"""Other ways to run the same checkpoint."""

import os
from pathlib import Path

import pytest

from bench import peers
from bench.results import Label
from host.errors import SetupError
from host.model.formats import llama2c
from host.model.tokenizers.bpe import BpeTokenizer, serialize_tokens
from tests.host.tiny import random_checkpoint


def test_rings_send_twice_all_but_one_copies() -> None:
    checkpoint = random_checkpoint()
    rows = {(row.name, row.shape): row.value for row in peers.all_reduces(checkpoint.config, "m")}
    tensors = 2 * checkpoint.config.layers * checkpoint.config.dim  # elements summed in a token
    assert rows["peer: float32 ring all-reduce", "m 5 chips"] == 2 * 4 * 4 * tensors
    assert rows["peer: 8-bit ring all-reduce", "m 2 chips"] == 2 * tensors


def test_the_float_model_is_timed() -> None:
    row = peers.float_speed(random_checkpoint(), 3, "m")
    assert row.value > 0 and row.label == Label.MEASURED


# Takes what llama2.c's run.c takes, and tells how large its files are in place of a speed.
RUN_C = """#!/bin/sh
[ "$2 $4 $5 $6 $7 $#" = "-z -t 0 -n 5 7" ] || { echo usage; exit 1; }
echo "achieved tok/s: $(wc -c <"$1").$(wc -c <"$3")" >&2
"""
# Stands in for a C compiler, which a machine need not have, as `cc -O3 -o PROGRAM SOURCE -lm`.
CC = """#!/bin/sh
[ "$1 $2 $5" = "-O3 -o -lm" ] && head -n 1 "$4" | grep -q "^#!" || { echo "$4: no C"; exit 1; }
cp "$4" "$3" && chmod +x "$3"
"""


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "cc").write_text(CC)
    (tmp_path / "cc").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path / "run.c"


@pytest.fixture
def tokenizer() -> BpeTokenizer:
    size = random_checkpoint().config.vocab_size
    return BpeTokenizer([b"a"] * size, [0.0] * size)


def test_llama2c_is_compiled_and_timed_on_the_same_files(source: Path, tokenizer) -> None:
    source.write_text(RUN_C)
    checkpoint = random_checkpoint()
    row = peers.llama2c_speed(checkpoint, tokenizer, source, 5, "m")
    model = source.with_name("model")
    llama2c.save(checkpoint, model)
    tokens = len(serialize_tokens(tokenizer))
    assert row.value == pytest.approx(float(f"{model.stat().st_size}.{tokens}"))
    assert row.label == Label.MEASURED


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("#!/bin/sh", "does not print tokens a second"),
        ("#!/bin/sh\nexit 3", "llama2.c: run: exit code 3"),
        ("#!/bin/sh\necho cannot map; exit 1", "llama2.c: run: cannot map"),
        ("main(", "llama2.c: cc: .*run.c: no C"),
    ],
)
def test_what_is_no_llama2c_is_told(source: Path, tokenizer, text: str, words: str) -> None:
    source.write_text(text)
    with pytest.raises(SetupError, match=words):
        peers.llama2c_speed(random_checkpoint(), tokenizer, source, 5, "m")


def test_no_compiler_is_told(source: Path, tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(source.parent / "nowhere"))
    with pytest.raises(SetupError, match="llama2.c: .*cc"):
        peers.llama2c_speed(random_checkpoint(), tokenizer, source, 5, "m")
