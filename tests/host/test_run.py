"""The command line: what it takes, and each error that a user can meet, in one line."""

import re
import shutil
import tempfile
from dataclasses import replace

import numpy as np
import pytest

from host.cli.run_options import parse_options
from host.cli.run_values import simulated_chips
from host.cluster.cluster_file import change
from host.hardware.boards import load
from host.launch.simulated import make_key
from host.model.formats import llama2c
from host.model.quantization.quantize import quantize
from host.model.tokenizers.bpe import serialize_tokens
from host.parallel.parallelism import ALL_REDUCE, HOST_REDUCE, Link
from host.paths import HOME_MODEL
from host.run import main
from tests.clusters import cluster_file
from tests.tiny_model import CONFIG, tiny_tokenizer


@pytest.fixture(scope="module")
def model(tiny_model_file):
    return tiny_model_file


@pytest.fixture(scope="module")
def quantized_model(model):
    return quantize(llama2c.load(model))


@pytest.fixture
def error(quantized_model, tmp_path, monkeypatch, capsys):
    """Runs a command line that fails; its exit code and the one line that it prints."""
    monkeypatch.setattr("host.model.loading.LoadedModel.quantize", lambda self: quantized_model)
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))

    def failing(*arguments):
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as exit:
            code = exit.code
        printed = capsys.readouterr()
        assert printed.out.strip() == ""
        lines = printed.err.splitlines()
        assert len(lines) == 1 and lines[0].startswith("error: "), printed.err
        assert list(folder.iterdir()) == []
        return code, lines[0].removeprefix("error: ")

    return failing


def test_a_model_that_is_missing_cut_short_or_empty(error, model, tmp_path):
    file = tmp_path / "model.bin"
    assert error("--model", file) == (
        1, f"{file}: cannot read the model: No such file or directory"
    )  # fmt: skip
    file.write_bytes(model.read_bytes()[:5000])
    assert error("--model", file) == (
        1, f"{file}: truncated: 5000 bytes, the header asks for {model.stat().st_size}"
    )  # fmt: skip
    file.write_bytes(b"")
    code, line = error("--model", file)
    assert (code, line) == (1, f"{file}: the file is empty, expected a llama2.c checkpoint")
    code, line = error("--model", tmp_path)
    assert line == f"{tmp_path}: cannot read config.json: No such file or directory"


def test_a_tokenizer_that_is_missing_cut_short_or_of_another_size(error, model, tmp_path):
    alone = shutil.copy(model, tmp_path)
    assert error("--model", alone) == (
        1, f"no tok{CONFIG.vocab_size}.bin or tokenizer.bin beside {alone}: give --tokenizer"
    )  # fmt: skip
    file = tmp_path / "tokens.bin"
    code, line = error("--model", model, "--tokenizer", file)
    assert (code, line) == (1, f"{file}: cannot read the tokenizer: No such file or directory")
    whole = serialize_tokens(tiny_tokenizer())
    for size, wrong in ((1000, whole[:1000]), (len(whole) + 9, whole + bytes(8) + b"x")):
        file.write_bytes(wrong)
        code, line = error("--model", model, "--tokenizer", file)
        assert code == 1 and line.startswith(f"{file}: "), size


def test_a_prompt_that_is_too_long(error, model):
    prompt = "one two three four five six seven eight nine ten"
    assert error("--model", model, "--prompt", prompt, "--context", 10) == (
        1,
        "the prompt has 30 tokens, BOS included, and the context 10 positions: shorten it or raise"
        " the context (--context, up to 512)",
    )
    assert error("--model", model, "--prompt", prompt, "--steps", 29) == (
        1, "the prompt has 30 tokens, BOS included: --steps 29 leaves none to generate"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("chips", "context", "pattern"),
    [
        (1, 64, r"1 chip with 128 KB of heap is \d+ KB short of the model with a context of 64:"
         r" [2-5] chips would do"),
        (5, 512, r"in 5 stages, 5 chips with 128 KB of heap are \d+ KB short of the model with a"
         r" context of 512: \d+ chips would do, or --context \d+"),
    ],
)  # fmt: skip
def test_a_heap_that_is_too_small(error, model, chips, context, pattern):
    code, line = error("--model", model, "--heap", "128K", "--chips", chips, "--context", context)
    assert code == 1 and re.fullmatch(pattern, line), line


@pytest.mark.parametrize("chips", ["0", "-1", "255", "five"])
def test_a_count_of_chips_that_cannot_be_is_refused_before_the_model_is_read(error, chips):
    line = f"argument --chips: must be a whole number from 1 to 254, got '{chips}'"
    assert error("--model", "/nonexistent", f"--chips={chips}") == (2, line)


@pytest.mark.parametrize(
    ("options", "code", "pattern"),
    [
        (("--board", "esp32c33"), 1, r"no board is called 'esp32c33', did you mean esp32c3\? .*"),
        (("--loss", "2"), 2, r"argument --loss: must be in \[0, 1\), got '2'"),
        (("--loss", "1"), 2, r"argument --loss: must be in \[0, 1\), got '1'"),
        (("--loss", "nan"), 2, r"argument --loss: must be in \[0, 1\), got 'nan'"),
        (("--loss", "some"), 2, r"argument --loss: must be in \[0, 1\), got 'some'"),
        (("--heap", "12Q"), 2, "argument --heap: must be a size from 4K to 32M, .*, got '12Q'"),
        (("--heap", "-5K"), 2, "--heap has no value: give --heap SIZE"),
        (("--heap", "160"), 2, "argument --heap: must be a size from 4K to 32M, .*, got '160'"),
        (("--heap", "1024M"), 2, "argument --heap: must be a size from 4K .*, got '1024M'"),
        (("--link", "wifi"), 2, "argument --link: invalid choice: 'wifi' .*"),
        (("--nonsense",), 2, "no option --nonsense: --help lists all options"),
        (("--radio-mtu", "250", "--link", "uart"), 1, "--radio-mtu is for --link espnow: .*"),
        (("--kernels", "native"), 1, "--kernels native: simulated chips only have viper's .*"),
        (("--check", "0"), 2, "argument --check: must be a whole number .*, got '0': give .*"),
        (("--promt", "hi"), 2, r"no option --promt: did you mean --prompt\?"),
        (("--promt=hi",), 2, r"no option --promt: did you mean --prompt\?"),
        (("--temprature", "0.8", "hi"), 2, r"no option --temprature: did you mean --temp.*"),
        (("hi", "--prompt", "there"), 2, "'hi' and --prompt: give one of them"),
        ((__file__,), 2, f"'{__file__}' is a file: give --model {__file__}, or --prompts .*"),
        (("--steps", "0"), 2, "argument --steps: must be a whole number of at least 1, got '0'"),
        (("--steps", "513"), 1, "--steps 513: 1 to 512, the context, can be generated"),
        (("--context", "0"), 2, "argument --context: must be a whole number .* 1, got '0'"),
        (("--context", "-3"), 2, "argument --context: must be a whole number .* 1, got '-3'"),
        (("--context", "513"), 1, "context must be 1 to 512, got 513"),
        (("--temperature", "-1"), 2, "argument --temperature: must be a number .* 0, got '-1'"),
        (("--temperature", "nan"), 2, "argument --temperature: must be a number .* 0, got 'nan'"),
        (("--top-p", "0"), 2, r"argument --top-p: must be in \(0, 1\], got '0'"),
        (("--seed", "-1"), 2, "argument --seed: must be a whole number of at least 0, got '-1'"),
        (("--seed", "1.5"), 2, "argument --seed: must be a whole number of at least 0, got '1.5'"),
    ],
)  # fmt: skip
def test_options_that_are_wrong(error, model, options, code, pattern):
    found, line = error("--model", model, *options)
    assert found == code and re.fullmatch(pattern, line), line


@pytest.mark.parametrize(
    "words",
    [["turn off the light"], ["turn", "off", "the", "light"], ["--", "turn off the light"]],
)
def test_words_that_belong_to_no_option_are_the_prompt(words):
    options = parse_options(["--chips", "3", *words])
    assert options.prompt == "turn off the light" and options.chips == 3
    assert parse_options(["turn off the light", "--seed", "4"]).prompt == "turn off the light"
    assert parse_options([]).prompt is None


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("/nonexistent", "MICROPYTHON=/nonexistent names no program"),
        ("true", "is not a MicroPython"),
        ("false", "cannot be a simulated chip: status 1"),
    ],
)
def test_no_micropython(error, model, monkeypatch, program, words):
    monkeypatch.setenv("MICROPYTHON", program)
    code, line = error("--model", model)
    assert code == 1 and words in line


def chips_for(*options):
    return simulated_chips(parse_options(list(options)), 5)


def heap_of(chips):
    return chips.boards.heaps(HOST_REDUCE)[0]


def test_defaults_are_five_chips_on_the_radio_and_the_likeliest_tokens():
    options = parse_options([])
    chips = chips_for()
    assert (chips.count, chips.link.kind, chips.board.name) == (5, "espnow", "simulated")
    assert (chips.context, chips.loss, chips.link.signed) == (None, 0.0, False)
    assert chips.parallelism is None
    assert (options.temperature, options.seed) == (0.0, 0)
    assert options.model is options.prompt is None and HOME_MODEL.match("models/home.bin")
    assert options.stats is None and not options.json


def test_the_board_gives_the_heap_unless_one_is_named():
    for name in ("esp32c3", "simulated"):
        for link in ("uart", "espnow"):
            options = ["--board", name, "--link", link]
            assert heap_of(chips_for(*options)) == load(name).planned_heap(link)
    simulated = heap_of(chips_for("--board", "simulated", "--link", "uart"))
    assert simulated == load("esp32s3-psram").planned_heap("uart")
    for text, size in (("100K", 100 << 10), ("2m", 2 << 20), ("70000", 70000)):
        chips = chips_for("--board", "esp32c3", "--heap", text)
        assert heap_of(chips) == size


def test_boards_are_simulated_with_a_key_as_flashing_makes_one():
    for options, signed in (
        ([], False), (["--secure"], True), (["--board", "esp32"], True),
        (["--board", "esp32", "--no-secure"], False), (["--board", "simulated"], False),
    ):  # fmt: skip
        link = chips_for(*options).link
        assert link.signed is signed and bool(make_key(link)) is signed


def test_a_secure_run_has_a_key_of_its_own():
    keys = {make_key(Link(signed=True)) for _ in range(3)}
    assert len(keys) == 3 and {len(key) for key in keys} == {32}


def test_a_check_has_the_host_add_up_unless_an_option_says_otherwise():
    assert chips_for("--check").parallelism == replace(HOST_REDUCE, weights="auto")
    assert chips_for("--check", "--parallel", "auto").parallelism is None
    added = replace(ALL_REDUCE, weights="auto")
    assert chips_for("--check", "--reduce", "chips").parallelism == added


def write_tokenizer(path, size):
    entry = np.float32(0).tobytes() + np.int32(1).tobytes() + b"a"
    path.write_bytes(np.int32(1).tobytes() + entry * size)


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A folder without federation.toml."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["auto"], "no federation.toml here, by which --ports auto finds the boards: flash them"),
        (["/dev/none"], "there is no port /dev/none: plug the board in, with a cable for data"),
        (["a,b", "--link", "espnow"], "2 ports for 5 chips on espnow: give that of the gateway"),
        (["a", "--link", "uart", "--chips", "2"], "1 port for 2 chips on uart: give one of each"),
        (["a,a"], "a is given twice: each chip has a port of its own"),
        ([""], "no port in --ports: give auto, or ports as /dev/ttyACM0"),
        (["a", "--board", "esp32s3"], "--board is for simulated chips, and --ports for boards"),
        (["a", "--loss", "0.1"], "--loss is for simulated chips, and --ports for boards"),
        (["a", "--secure"], "--secure is for simulated chips, and --ports for boards"),
        (["a", "--heap", "4M"], "--heap is for simulated chips, and --ports for boards"),
    ],
)
def test_boards_that_cannot_be_run_on(elsewhere, capsys, options, line):
    assert main(["--prompt", "turn on the fan", "--ports", *options]) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"error: {line}")


def test_boards_flashed_with_another_model(elsewhere, capsys):
    cluster = cluster_file(1, model=str(HOME_MODEL), context=64)
    change(lambda _: cluster)
    assert main(["--prompt", "turn on the fan", "--ports", "/dev/none"]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    flashed = f"{HOME_MODEL} (0000000000000000)"
    assert error.startswith(f"error: the boards were flashed with {flashed} and")
