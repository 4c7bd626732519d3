"""The machine code that plans count with, held to that in a chip's files."""

import ast
from dataclasses import replace

import pytest

from bench.emulation.mpy import machine_code
from bench.native import NATIVE_SETS
from host.build.bundle import NATIVE, chip_files
from host.build.machine_code.frames import WORDS
from host.build.packages import chip_path
from host.hardware.board import load
from host.hardware.ram import IDF, MACHINE_CODE, PSRAM_OVERHEAD_KB, SERVING_SIGNED
from host.parallel.parallelism import REDUCERS
from tests.plans import tensor_plan
from tests.shipped import shipped_model
from tests.simulation.launch import REPOSITORY

# What a chip imports where it is needed, of which the rest follows.
ALL = [
    "main", "startup", "devices", "compute/shard", "node", "compute/model_kernels",
    "compute/kernels", "board",
]  # fmt: skip
LINKS = {"uart": ["links/uart"]}
LINKS["espnow"] = [*LINKS["uart"], "links/espnow", "links/gateway"]  # of a gateway
ROLES = {"host": ["roles/host_reduce"], "chips": ["compute/norms", "roles/pipeline"]}
ABOVE = 0.05  # by how much the figure may be above what it is for the shipped model


def imported(names):
    """The modules that these import as they begin, and these, by path without a suffix."""
    found, left = set(), [f"firmware/{name}" for name in names] + ["protocol/session"]
    while left:
        name = left.pop()
        path = REPOSITORY / f"{name}.py"
        if name in found or not path.exists():  # kernels are generated
            found.add(name)
            continue
        found.add(name)
        left += [module.replace(".", "/") for module in at_once(ast.parse(path.read_text()).body)]
    return found


def at_once(statements):
    """The modules that statements import, outside of functions."""
    for node in statements:
        if isinstance(node, ast.ImportFrom):
            yield node.module
        elif isinstance(node, (ast.If, ast.Try)):
            yield from at_once([*node.body, *node.orelse])


@pytest.fixture(scope="module")
def model():
    return shipped_model()


def bytes_of(model, arch, link, combine, kernels=None, more=()):
    """With native kernels in place of the same modules' own, where there are some."""
    mtu = 250 if link == "espnow" else None
    plan = tensor_plan(model, 5, 64, reduce=combine, heap=1 << 22, mtu=mtu, signed=True)
    files = chip_files(model, plan, plan.shards[0], arch, {}, kernels)
    names = {chip_path(f"{name}.py") for name in imported(ALL + LINKS[link] + ROLES[combine])}
    names |= {path for path in more if f"{NATIVE}/{path.rpartition('/')[2]}" in files}
    return sum(
        machine_code(files.get(f"{NATIVE}/{path.rpartition('/')[2]}", content))
        for path, content in files.items()
        if path in names
    )


@pytest.mark.parametrize("combine", REDUCERS)
@pytest.mark.parametrize("link", LINKS)
def test_plans_count_with_the_longer_machine_code(model, link, combine):
    sizes = [bytes_of(model, arch, link, combine) for arch in ("xtensawin", "rv32imc")]
    for kernels in NATIVE_SETS:
        programs = ("firmware/program.mpy", "firmware/serve.mpy", "protocol/hmac_pointers.mpy")
        size = bytes_of(model, kernels.mpy_arch, link, combine, kernels, programs)
        sizes.append(size - (SERVING_SIGNED if (link, combine) == ("uart", "host") else 0))
    assert max(sizes) <= MACHINE_CODE[combine][link] <= (1 + ABOVE) * max(sizes), sizes


@pytest.mark.parametrize("combine", REDUCERS)
def test_machine_code_and_wifi_leave_the_rest_of_a_boards_ram(combine):
    of_code = MACHINE_CODE[combine]
    for name in ("esp32s2", "esp32s3", "esp32c3"):
        board = load(name)
        ram = board.ram_kb * 1024 - IDF
        wifi = board.radio.wifi_kb * 1024
        assert board.python_heap("uart", combine) == ram - of_code["uart"]
        assert board.python_heap("espnow", combine) == ram - of_code["espnow"] - wifi
    own = load("esp32").code_kb * 1024
    ram = load("esp32").ram_kb * 1024 - IDF
    assert load("esp32").python_heap("uart", combine) == ram - of_code["uart"] + own
    roomy = replace(load("esp32"), code_kb=100)
    assert roomy.python_heap("uart", combine) == ram  # and no more than that
    for name in ("esp32s3-psram", "simulated"):
        board = load(name)
        assert board.python_heap("espnow", combine) == (board.psram_kb - PSRAM_OVERHEAD_KB) * 1024


def test_chips_fill_every_word_of_the_block_of_serve():
    """A chip names what it gives, and counts in the others from certain places on."""
    tree = ast.parse((REPOSITORY / "firmware" / "compute" / "serve.py").read_text())
    given = {
        ast.unparse(node.targets[0]): node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
    }
    filled = [key.value for key in given["words"].keys]
    counts = ["received", "bytes_received", "sent", "bytes_sent"]
    assert sorted([*filled, *counts]) == sorted(WORDS)
    first = given["_COUNTS"].args[0].value
    assert list(WORDS[first : first + 4]) == counts
    assert WORDS[given["_SEQUENCE"].args[0].value] == "sequence"
