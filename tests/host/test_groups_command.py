"""host.model quantize --weights groups: what it keeps, refuses, and leaves when interrupted."""

from dataclasses import replace
from pathlib import Path

import pytest
from gguf import GGMLQuantizationType

from host.cli import quantizing
from host.model import loading
from host.model.__main__ import main
from host.model.checkpoint import Config, quantized_bytes
from host.model.groups import COLUMNS
from host.model.own_text import own_text_path
from host.parallel.partition import partition
from host.plan import main as plan_main
from tests.host.model_files import small_tokenizer, write_gguf
from tests.host.small_models import write_model
from tests.host.test_groups import (
    CONFIG,
    MATRICES,
    grouped_checkpoint,
)
from tests.host.tiny import random_checkpoint


def write_grouped(folder: Path, config: Config) -> Path:
    return write_gguf(grouped_checkpoint(config), folder / "m.gguf", small_tokenizer())


def test_the_command_keeps_groups(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = replace(CONFIG, vocab_size=len(small_tokenizer().pieces))
    path, output = write_grouped(tmp_path, config), tmp_path / "m.q"
    assert main(["quantize", str(path), "-o", str(output), "--weights", "groups"]) == 0
    printed = " ".join(capsys.readouterr().err.split())
    said = (
        "weights: 5.5 bits each, with all scales: groups of 4 bits in queries, keys, values,"
        " attention output, gate, up, down; int8 in classifier"
    )
    assert said in printed
    model = loading.load_model(output).quantize()
    assert model.config.grouped == frozenset(MATRICES)
    whole = quantized_bytes(replace(model.config, groups=None))
    matrices = sum(getattr(grouped_checkpoint(config), name).size for name in MATRICES)
    assert whole - quantized_bytes(model.config) == matrices - matrices // COLUMNS * 18
    for shard in partition(model, 2, None).shards:
        assert shard.units.start % COLUMNS == shard.units.stop % COLUMNS == 0
    assert main(["inspect", str(output)]) == 0
    assert said.replace(":", "", 1) in " ".join(capsys.readouterr().out.split())
    assert main(["inspect", str(path)]) == 0
    size = f"{quantized_bytes(model.config) / 1024:.0f} KB with quantize --weights groups)"
    assert size in " ".join(capsys.readouterr().out.split())
    cluster = ["--chips", "2", "--board", "esp32s3", "--link", "uart"]
    assert plan_main([*cluster, "--model", str(output)]) == 0
    assert said in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("kind", ["F32", "F16", "Q5_0", "Q8_0", "folder", "llama2c"])
def test_a_model_without_groups_is_refused(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = replace(CONFIG, vocab_size=len(small_tokenizer().pieces))
    if kind in ("folder", "llama2c"):
        path = write_model(kind, tmp_path, config)
    else:
        of = GGMLQuantizationType[kind]
        checkpoint = random_checkpoint(config)
        path = write_gguf(checkpoint, tmp_path / "m.gguf", small_tokenizer(), of)
    output = tmp_path / "m.q"
    assert main(["quantize", str(path), "-o", str(output), "--weights", "groups"]) == 1
    printed = capsys.readouterr().err
    assert printed.startswith(f"error: {path}: has no matrix in groups of 4 bits")
    assert printed.count("\n") == 1 and not output.exists()


def test_an_interruption_leaves_both_older_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whenever Ctrl-C comes, a model is not beside texts of another one."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    config = replace(CONFIG, vocab_size=len(small_tokenizer().pieces))
    path, output = write_grouped(tmp_path, config), tmp_path / "m.q"
    drafts = own_text_path(output)
    output.write_bytes(b"older"), drafts.write_bytes(b"older")
    for step in ("calibrate", "quantize", "measure_quality", "write_own_text"):
        with monkeypatch.context() as changed:
            changed.setattr(quantizing, step, interrupted)
            assert main(["quantize", str(path), "-o", str(output), "--weights", "groups"]) == 130
        assert output.read_bytes() == drafts.read_bytes() == b"older"
    assert len(list(tmp_path.iterdir())) == 3
