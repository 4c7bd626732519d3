"""Five ESP32-C3 as QEMU can be one: real MicroPython for RISC-V, which starts by itself from the
files that `make flash` writes, native kernels among them, each with a serial line to the host."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from bench.qemu import boards
from bench.qemu.boards import EmulatedBoards
from host.cluster import line_speed, ports, silence, timeout
from host.cluster.cluster_fields import ClusterFile, FlashedChip
from host.cluster.cluster_file import change
from host.cluster.place import Place
from host.cluster.timeout import Bounds
from host.hardware.boards import load
from host.launch import FlashedBoards, flashed, open_cluster
from host.model.formats import llama2c
from host.model.loading import load_model
from host.model.quantization.quantize import quantize
from host.model.quantized import QuantizedModel
from host.parallel.parallelism import HOST_REDUCE, Parallelism, hybrid, pipeline
from host.paths import HOME_MODEL
from host.run import main
from tests.clusters import cluster_file
from tests.shipped import shipped_model
from tests.system.reference_runs import Run, assert_equals_reference, reference_runs
from tests.tiny_model import PROMPTS, tiny_tokenizer

KIND, CHIPS = "esp32c3", 5
VERSION = (1, 25, 0)  # of the MicroPython that QEMU runs
TIMEOUT_S = 300.0  # five emulated boards start on a busy machine, and two seconds wait for a user
RETRY_S, SLOWER = 5.0, 64
# Positions of each prompt and its answer, and of each where every one waits for ten collectives,
# which are relayed to five boards: their longest prompt takes eleven.
STEPS, FEWER_STEPS = 16, 12
COMMANDS = {
    "turn off the kitchen lights": "light.kitchen off",
    "wake me at seven": "alarm at=07:00",
}


@contextmanager
def switched_on(
    qemu: Path,
    model: QuantizedModel,
    context: int,
    parallelism: Parallelism = HOST_REDUCE,
    key: bytes = b"",
) -> Iterator[ClusterFile]:
    """The cluster of emulated boards that hold this model."""
    board = load(KIND)
    assert board.flash and board.flash.filesystem_size == boards.FLASH_SIZE
    cluster = cluster_file(
        CHIPS, model=str(HOME_MODEL), digest=model.sha256()[:8], line="pins",
        context=context, key=key, parallelism=parallelism,
    )  # fmt: skip
    others = (board,) * (CHIPS - 1)
    files = [
        Place(
            board, "", chip, CHIPS, cluster.link, parallelism, context, key, others=others
        ).files(model, VERSION)
        for chip in range(CHIPS)
    ]
    with EmulatedBoards(qemu, files, SLOWER) as emulated:
        for chip, url in enumerate(emulated.urls):
            cluster = cluster.with_chip(FlashedChip(chip, KIND, f"24:00:00:00:00:0{chip}", url))
        yield cluster


def assert_equal(
    cluster: ClusterFile, model: QuantizedModel, runs: list[Run], steps: int = STEPS
) -> None:
    """Holds what the boards compute to the reference, logit by logit."""
    urls = [chip.port for chip in cluster.flashed]
    with open_cluster(model, FlashedBoards(cluster, urls)) as opened:
        for run in runs:
            assert_equals_reference(opened.executor, run, steps)
        assert [chip.kernels for chip in opened.statistics()] == ["native"] * CHIPS


@pytest.fixture(autouse=True)
def long_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits for boards until they are there, and retransmits little: the line loses nothing, and
    where the machine is busy boards would be sent more than they can take in."""
    for name in ("LOSSY", "LOSSLESS"):
        monkeypatch.setattr(timeout, name, Bounds(RETRY_S, RETRY_S, RETRY_S))
    monkeypatch.setattr(ports, "TIMEOUT", TIMEOUT_S)
    monkeypatch.setattr(flashed, "START_TIMEOUT", TIMEOUT_S)
    monkeypatch.setattr(flashed, "TIMEOUT", TIMEOUT_S)
    monkeypatch.setattr(line_speed, "_BACK_TIMEOUT", TIMEOUT_S)


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets boards wait for one another for as long as it takes, on a line as fast as it is."""
    monkeypatch.setattr(silence, "STEP_HANDSHAKE_AFTER", TIMEOUT_S)
    monkeypatch.setattr(flashed, "raise_speeds", lambda coordinator, transport, base, speeds: base)


@pytest.mark.verify
@pytest.mark.timeout(900)
def test_five_emulated_boards_answer_commands_as_the_reference_does(
    qemu: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By `host.run`, and then once more, every logit; the ports in another order."""
    monkeypatch.chdir(tmp_path)
    model, tokenizer = shipped_model(), load_model(HOME_MODEL).tokenizer
    with switched_on(qemu, model, model.config.context) as cluster:
        change(lambda _: cluster)
        urls = ",".join(chip.port for chip in reversed(cluster.flashed))
        for command, answer in COMMANDS.items():
            assert main(["--ports", urls, "--prompt", command, "--no-stats"]) == 0
            assert capsys.readouterr().out == answer + "\n"
        runs = reference_runs(model, tokenizer, COMMANDS, STEPS)
        assert_equal(cluster, model, runs)


@pytest.mark.verify
@pytest.mark.timeout(900)
def test_five_emulated_boards_compute_the_logits_of_the_reference(
    qemu: Path, tiny_model_file: Path
) -> None:
    model = quantize(llama2c.load(tiny_model_file))
    runs = reference_runs(model, tiny_tokenizer(), PROMPTS[:2], STEPS)
    with switched_on(qemu, model, 64) as cluster:
        assert_equal(cluster, model, runs)


@pytest.mark.verify
@pytest.mark.timeout(900)  # where others keep the machine busy
@pytest.mark.parametrize("key", [b"", bytes(range(32))], ids=["version 2", "version 3"])
def test_five_emulated_boards_that_all_reduce_compute_the_logits_of_the_reference(
    qemu: Path, tiny_model_file: Path, key: bytes, unhurried: None
) -> None:
    """Their contributions go through the host, which passes them on from line to line."""
    model = quantize(llama2c.load(tiny_model_file))
    runs = reference_runs(model, tiny_tokenizer(), PROMPTS[:2], STEPS)
    with switched_on(qemu, model, 64, Parallelism(reduce="chips"), key) as cluster:
        assert_equal(cluster, model, runs, FEWER_STEPS)


@pytest.mark.verify
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "parallelism", [replace(pipeline(CHIPS), slots=2), hybrid(2)], ids=["pipeline", "hybrid"]
)
def test_five_emulated_boards_in_stages_compute_the_logits_of_the_reference(
    qemu: Path, tiny_model_file: Path, parallelism: Parallelism, unhurried: None
) -> None:
    """Each hands over what it made of a token to the next, or two to the other three, through the
    host; frames are signed. With caches for more sequences a heap has no room for programs."""
    model = quantize(llama2c.load(tiny_model_file))
    runs = reference_runs(model, tiny_tokenizer(), PROMPTS[:2], FEWER_STEPS)
    with switched_on(qemu, model, 64, parallelism, bytes(range(32))) as cluster:
        assert_equal(cluster, model, runs, FEWER_STEPS)
