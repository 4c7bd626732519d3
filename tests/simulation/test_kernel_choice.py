"""Which kernels a chip runs: proof at its first start, and what becomes of one that fails."""

import json
import subprocess
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest

from firmware import proof, proof_numbers
from host.build.bundle import KERNELS, TWINS, chip_files, native_files
from host.build.kernels import kernel_source
from host.build.machine_code.rv32_kernels import _CORES
from host.build.shard import matrix_columns
from host.model.quantization.quantize import quantize
from host.setup import micropython
from tests.host.tiny import TINY, random_checkpoint
from tests.plans import tensor_plan
from tests.simulation.launch import REPOSITORY, STANDINS
from tests.simulation.native_standins import CRASH, HANG, standin
from tests.tiny_model import tiny_checkpoint

PROGRAM = """
import sys
from firmware.kernel_choice import finish, load_chosen
try:
    chosen = load_chosen({config})
    print(finish({config}, chosen, None, {weights}) if {confirms} else chosen)
except RuntimeError as error:
    print("RuntimeError:", error)
for name in ("firmware.kernels", "firmware.model_kernels", "protocol.bitpack_pointers"):
    if name in sys.modules:
        print(sys.modules[name].__file__)
from firmware import model_kernels
from protocol import cobs
print(len(model_kernels.MATVEC) > 0, cobs.encode(b"abc", bytearray(5), 3, 0))
"""
RESTARTED = 75  # the exit code of a soft reset
POWER_ON, HARD, WATCHDOG, SOFT = "1", "2", "3", "5"  # why a run starts
CRASHED = "viper (native kernels crashed)"
NATIVE = ["native/kernels.mpy", "native/model_kernels.mpy", "native/bitpack_pointers.mpy"]


@pytest.fixture(scope="module")
def base():
    """A chip's files without native kernels, and the sources of modules with kernels."""
    model = quantize(tiny_checkpoint())
    plan = tensor_plan(model, 2, 32, reduce="chips", heap=1 << 22)
    sources = {path: (REPOSITORY / path).read_text() for path in TWINS if path != KERNELS}
    columns, size = matrix_columns(model, plan.shards[0]), model.config.head_dim
    sources[KERNELS] = kernel_source(columns, size)
    return chip_files(model, plan, plan.shards[0], "x86", {}), sources, size


@pytest.fixture
def chip(base, tmp_path):
    """Makes a chip's folder; gives a function that starts it and says how that ended."""

    def make(kernels, **config):
        files, sources, size = base
        native = native_files(sources, kernels, size) if kernels else {}
        for path, content in {**files, **native}.items():
            place = tmp_path / path
            place.parent.mkdir(exist_ok=True)
            place.write_bytes(content)

        def start(until=None, confirms=True, weights="[1]", cause=SOFT, program=PROGRAM, **other):
            settings = {"kernels": "auto", **config, **other}
            text = program.format(config=settings, confirms=confirms, weights=weights)
            process = subprocess.Popen(
                [micropython.find(), "-c", text],
                cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                env={"MICROPYPATH": f".:{STANDINS}:.frozen", "FEDERATION_RESET_CAUSE": cause},
            )  # fmt: skip
            if until:
                while not (until.exists() and until.read_text().count("\n") == 3):
                    assert process.poll() is None
                    time.sleep(0.01)
                process.kill()
            out, errors = process.communicate(timeout=30)
            return process.returncode, out.splitlines(), errors

        return start

    return make


def test_kernels_are_proved_once_and_then_run(chip):
    start = chip(standin(), firmware="1")
    assert start() == (RESTARTED, [], "")
    code, said, _ = start()
    assert (code, said) == (0, ["native", *NATIVE, "True 5"])
    assert start()[1][0] == "native"


@pytest.mark.parametrize(("cause", "starts"), [(HARD, 2), (WATCHDOG, 1)])
def test_kernels_that_crash_at_first_starts_are_given_up(chip, cause, starts):
    """At once where the watchdog ended one; a panic is a hard reset, and has to come again."""
    start = chip(standin())
    assert start()[0] == RESTARTED
    assert start(confirms=False)[1][0] == "native, to be confirmed"
    for _ in range(starts - 1):
        assert start(cause=cause)[0] == RESTARTED  # proved again
        assert start(confirms=False)[1][0] == "native, to be confirmed"
    assert start(cause=cause)[1] == [CRASHED, "True 5"]
    assert start(cause=POWER_ON)[1][0] == CRASHED


@pytest.mark.parametrize(("cause", "starts"), [(POWER_ON, 3), (SOFT, 9)])
def test_first_starts_that_others_end_are_not_held_against_kernels(chip, cause, starts):
    """A power loss, or an exception after which the chip restarts, as of a radio."""
    start = chip(standin())
    for _ in range(starts):
        assert start(cause=cause)[0] == RESTARTED
        assert start(confirms=False)[1][0] == "native, to be confirmed"
    assert start(cause=cause)[0] == RESTARTED
    assert start()[1][0] == "native"


RAISING = """
import sys
from firmware.kernel_choice import finish, load_chosen

class Program:
    def start(node, load_passes):
        raise ValueError("words")

chosen = load_chosen({config})
sys.modules["firmware.program"] = Program  # as it is called on chips
try:
    finish({config}, chosen, None, [1])
except ValueError as error:
    print(chosen, error)
"""


def test_an_exception_of_kernels_is_held_against_them(chip):
    start = chip(standin())
    assert start()[0] == RESTARTED
    said = start(program=RAISING)
    assert said == (0, ["native, to be confirmed words"], "")
    assert start()[1][0] == "viper (native kernels: ValueError: words)"


def test_a_first_start_with_a_fault_comes_again(chip):
    start = chip(standin())
    assert start()[0] == RESTARTED
    for weights in ("None", "None", "[1]"):
        assert start(weights=weights)[1][0] == "native"
    assert start(confirms=False)[1][0] == "native"


def test_another_deployment_is_proved_anew(chip):
    start = chip(standin(), firmware="1")
    assert start()[0] == RESTARTED
    assert start(firmware="2")[0] == RESTARTED
    assert start(firmware="2")[1][0] == "native"
    assert start(firmware="2", native="of another model")[0] == RESTARTED


def test_native_kernels_of_another_model_have_another_digest():
    digests = []
    for hidden_dim in (24, 24, 40):
        model = quantize(random_checkpoint(replace(TINY, hidden_dim=hidden_dim)))
        plan = tensor_plan(model, 1)
        files = chip_files(model, plan, plan.shards[0], "x86", {}, standin())
        digests.append(json.loads(files["config.json"])["native"])
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize("name", ["best", "encode", "attend", "put_crc32"])
def test_a_kernel_that_computes_something_else_is_not_run(chip, name):
    empty = b"\xb8\x01\x00\x00\x00\xc3"  # mov eax, 1; ret: the integer 0, and nothing is done
    start = chip(standin(**{name: empty}))
    assert start()[0] == RESTARTED
    assert start()[1] == [f"viper (native {name} is wrong)", "True 5"]


@pytest.mark.parametrize("name", ["rescale", "attend", "decode"])
def test_a_chip_that_crashes_comes_back_with_viper(chip, name):
    start = chip(standin(**{name: CRASH}))
    for cause in (SOFT, HARD):
        code, said, _ = start(cause=cause)
        assert code < 0 and said == []
    assert start(cause=HARD)[1] == [CRASHED, "True 5"]


def test_a_chip_whose_watchdog_ends_its_proof_comes_back_with_viper(chip, tmp_path):
    start = chip(standin(gate=HANG))
    assert start(until=tmp_path / "kernels.txt")[0] < 0
    assert start(cause=WATCHDOG)[1][0] == CRASHED


WATCHED = """
import machine
from firmware.kernel_choice import load_chosen

class Watchdog:
    fed = 0

    def __init__(self, timeout):
        print(timeout)

    def feed(self):
        Watchdog.fed += 1

machine.WDT = Watchdog
machine.soft_reset = lambda: print(Watchdog.fed > 4 * 20)
load_chosen({config})
"""


def test_a_boards_watchdog_is_fed_between_the_kernels_of_its_proof(chip):
    start = chip(standin(), board={})
    assert start(program=WATCHED) == (0, ["8000", "3600000", "True"], "")


def test_files_for_another_processor_are_told(chip, tmp_path):
    start = chip(standin())
    file = tmp_path / "native" / "kernels.mpy"
    content = bytearray(file.read_bytes())
    content[2] = 11 << 2 | content[2] & 3  # rv32imc
    file.write_bytes(content)
    assert start()[0] == RESTARTED
    said = start()[1]
    assert said[0] == "viper (native kernels: ValueError: incompatible .mpy arch)"
    assert said[-1] == "True 5"


def test_kernels_can_be_forced(chip):
    start = chip(standin())
    assert start(kernels="viper")[1] == ["viper (as configured)", "True 5"]
    assert start(kernels="native")[0] == RESTARTED
    assert start(kernels="native")[1][0] == "native"


def test_forced_kernels_that_fail_are_a_fault(chip):
    start = chip(standin(pack=CRASH))
    for cause in (SOFT, HARD):
        assert start(kernels="native", cause=cause)[0] < 0
    expected = "RuntimeError: kernels: native is configured: viper (native kernels crashed)"
    assert start(kernels="native", cause=HARD)[1][0] == expected


def test_a_processor_without_any_says_so(chip):
    assert chip(None)()[1] == ["viper (none else for this processor)", "True 5"]
    expected = "RuntimeError: kernels: native is configured: viper (none else for this processor)"
    assert chip(None)(kernels="native")[1][0] == expected


def test_every_kernel_is_proved():
    """All functions with machine code of ours have cases; matvec and attend by their names."""
    of_programs = {"run_program", "multiply_blocks", "serve", "exchange", "stage", "take_line"}
    assert set(_CORES) == set(proof._CASES) | of_programs


def test_kernels_of_int8_caches_are_proved_by_their_own_names():
    """Those that they replace have other caches."""

    def right(*given):
        given[7][0] = sum(given[2]) & 0xFFFF

    def wrong(*given):
        given[7][0] = 1

    def never(*given):
        raise AssertionError("with buffers of another layout")

    theirs = SimpleNamespace(attend=never, attend_int8=right)
    for kernel, found in ((right, ""), (wrong, "attend_int8")):
        ours = SimpleNamespace(attend=never, attend_int8=kernel)
        assert proof.find_wrong([ours], [theirs], 8, 1) == found


def test_the_widest_models_proof_draws_few_numbers_and_feeds_the_watchdog(monkeypatch):
    """A number takes a chip up to 15 us, and its watchdog 8 s."""
    names = [f"matvec_{size}" for size in (96, 576)] + ["matvec_add_576", "attend", *proof._CASES]
    module = SimpleNamespace(**dict.fromkeys(names, lambda *given: None))
    drawn = [0]
    draw = proof_numbers.Numbers.number

    def number(self, low, high):
        drawn[-1] += 1
        return draw(self, low, high)

    monkeypatch.setattr(proof_numbers.Numbers, "number", number)
    for padding in (1, 2, 16):
        del drawn[1:]
        assert proof.find_wrong([module], [module], 192, padding, lambda: drawn.append(0)) == ""
        assert len(drawn) >= 4 * len(names)
        assert max(drawn) < 10_000
        assert sum(drawn) < 60_000


@pytest.mark.parametrize("make", ["words", "octets", "halves"])
def test_long_buffers_repeat_what_they_begin_with(make):
    draw = [getattr(proof_numbers.Numbers(1, False), make) for _ in range(2)]
    many, few = draw[0](0, 255, 600), draw[1](0, 255, 251)
    assert len(many) * 251 == len(few) * 600
    size = len(few)
    assert many[:size] == many[size : 2 * size] == few
    assert many[2 * size :] == few[: len(many) % size]
