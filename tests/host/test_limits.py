"""What no chips can run is refused before anything starts, by plans and by inspect."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from host.build import kernels
from host.errors import ModelError
from host.hardware import boards
from host.model.__main__ import main
from host.model.checkpoint import WIDEST, Config
from host.model.formats import llama2c
from host.model.quantization.quantize import quantize
from host.parallel.limits import (
    KERNEL_COLUMNS,
    MAX_CONTEXT,
    MAX_HEAD_SIZE,
    MAX_LAYERS,
    MAX_VOCABULARY,
    check_limits,
)
from host.wire.payloads import encode_compute
from protocol.fragment import MAX_MESSAGE
from tests.host.tiny import TINY, random_checkpoint
from tests.plans import tensor_plan

CASES = [
    ({"heads": 2, "kv_heads": 1, "head_dim": 4098},
     "head size 4098: kernels are made for at most 4096"),
    ({"layers": 257}, "257 layers: a message names at most 256"),
    ({"vocab_size": 262_145}, "a vocabulary of 262145 tokens: at most 262144 are supported"),
    ({"context": 65_536}, "a context of 65536 positions: a message names at most 65535, give a"
     " smaller --context"),
]  # fmt: skip


def config_with(fields: dict[str, int]) -> Config:
    return Config(**{**vars(TINY), "head_dim": 0, **fields})


def test_the_limits_are_those_of_messages_and_kernels() -> None:
    assert KERNEL_COLUMNS == kernels.MAX_COLUMNS
    assert 32 * WIDEST // 8 < MAX_MESSAGE  # partial sums of a position
    encode_compute(0, MAX_LAYERS - 1, 0, MAX_CONTEXT, 1, b"")
    for layer, position in ((MAX_LAYERS, 0), (0, MAX_CONTEXT + 1)):
        with pytest.raises(ValueError, match="is not 0 to "):
            encode_compute(0, layer, 0, position, 1, b"")
    largest = replace(
        TINY, dim=384, heads=2, head_dim=MAX_HEAD_SIZE, layers=MAX_LAYERS,
        vocab_size=MAX_VOCABULARY, context=MAX_CONTEXT,
    )  # fmt: skip
    check_limits(largest, MAX_CONTEXT)


@pytest.mark.parametrize(("fields", "message"), CASES)
def test_what_is_beyond_them_is_told(fields: dict[str, int], message: str) -> None:
    config = config_with(fields)
    with pytest.raises(ModelError) as caught:
        check_limits(config, config.context)
    assert str(caught.value) == message


def test_a_smaller_context_will_do() -> None:
    model = quantize(random_checkpoint(config_with({"context": 70_000})))
    with pytest.raises(ModelError, match="^a context of 70000 positions: a message names"):
        tensor_plan(model, 2)
    assert tensor_plan(model, 2, 65_535).context == 65_535


def test_inspect_says_why_no_chips_run_a_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model.bin"
    fields, message = CASES[1]
    llama2c.save(random_checkpoint(config_with(fields)), path)
    assert main(["inspect", str(path)]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert out.endswith(f"on any board cannot run: {message}")
    assert main(["inspect", str(path), "--json", "--chips", "5", "--board", "esp32s3"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["problem"] == message == found["cluster"]["problem"]
    assert set(found["chips"]) == set(boards.names())
    assert all(set(chips.values()) == {None} for chips in found["chips"].values())
