"""The machine code that plans count with, held to that in a chip's files."""

import ast
import functools
from dataclasses import replace

import pytest

from bench.emulation.mpy import machine_code
from bench.native import NATIVE_SETS
from firmware.roles import handover
from host.build.bundle import NATIVE, chip_files
from host.build.compilation import chip_module
from host.build.machine_code import exchange_words
from host.build.machine_code.exchange_words import STAGE_WORDS
from host.build.machine_code.exchange_words import WORDS as EXCHANGE_WORDS
from host.build.machine_code.frames import WORDS
from host.build.packages import chip_path
from host.hardware.boards import load
from host.hardware.ram import (
    IDF,
    MACHINE_CODE,
    MAPPED_MACHINE_CODE,
    PSRAM_OVERHEAD_KB,
    RING_CODE,
    UNSIGNED_CODE,
)
from host.parallel.boards import BoardSet
from host.parallel.parallelism import ALL_GATHERED, HOST_REDUCE
from tests.plans import staged_plan, tensor_plan
from tests.shipped import shipped_model
from tests.simulation.launch import REPOSITORY

# What a chip imports where it is needed, of which the rest follows.
ALL = [
    "main", "startup", "devices", "compute/shard", "node", "compute/model_kernels",
    "compute/kernels", "board",
]  # fmt: skip
PLACES = {"uart": ["links/uart"], "espnow": ["links/espnow"]}
PLACES["gateway"] = [*PLACES["uart"], *PLACES["espnow"], "links/gateway"]
ROLES = {
    "host": ["roles/host_reduce"],
    "chips": ["compute/norms", "roles/all_reduce"],
    "gather": ["compute/norms", "roles/all_gather"],
    "stages": ["compute/norms", "roles/pipeline"],
}
OF_FLASH = ["partition", "several", "mapping"]
SETS = {"viper": None, **{kernels.name: kernels for kernels in NATIVE_SETS}}
ABOVE = 0.05  # by how much the figure may be above what it is for the shipped model


def imported(names):
    """The modules that these import as they begin, and these, by path without a suffix."""
    found, left = set(), list(names)
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


@functools.cache
def bytes_of(name, reduce, place, is_signed, weights="heap"):
    """With native kernels in place of the same modules' own, where they are longer."""
    kernels = SETS[name]
    arch = kernels.mpy_arch if kernels else "xtensawin"
    like = {"heap": 1 << 22, "mtu": None if place == "uart" else 250, "signed": is_signed}
    like["flash"] = (1 << 22,) * 5 if weights != "heap" else ()
    if reduce == "stages":
        plan = staged_plan(shipped_model(), 5, 5, 64, **like)
    else:
        more = {"exchange": ALL_GATHERED} if reduce == "gather" else {}
        plan = tensor_plan(
            shipped_model(), 5, 64, reduce="host" if reduce == "host" else "chips", **more, **like
        )
    if weights != "heap":
        plan = replace(plan, parallelism=replace(plan.parallelism, weights=weights))
    files = chip_files(shipped_model(), plan, plan.shards[place == "espnow"], arch, {}, kernels)
    modules = [f"firmware/{module}" for module in [*ALL, *PLACES[place], *ROLES[reduce]]]
    modules += ["protocol/session"] if is_signed else []
    modules += [f"firmware/compute/{each}" for each in OF_FLASH] if weights != "heap" else []
    own = {chip_path(f"{module}.py") for module in imported(modules)}
    native = {path.rpartition("/")[2]: path for path in files if path.startswith(f"{NATIVE}/")}
    others = {path for path in files if path.rpartition("/")[2] in native} - set(native.values())

    def total(paths):
        return sum(machine_code(files[path]) for path in paths if path in files)

    loaded = {native.get(path.rpartition("/")[2], path) for path in own | others}
    return max(total(own), total(loaded))


@pytest.mark.parametrize("reduce", ROLES)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", SETS)
def test_plans_count_with_the_longer_machine_code(name, reduce, place):
    figure, size = MACHINE_CODE[name][reduce][place], bytes_of(name, reduce, place, True)
    assert size <= figure <= (1 + ABOVE) * size
    assert bytes_of(name, reduce, place, False) <= figure + UNSIGNED_CODE[name]


@pytest.mark.parametrize("name", SETS)
def test_frames_that_are_not_signed_take_so_much_machine_code_more(name):
    more = [
        bytes_of(name, reduce, place, False) - bytes_of(name, reduce, place, True)
        for reduce in set(ROLES) - {"gather"}
        for place in PLACES
    ]
    assert max(more) <= UNSIGNED_CODE[name] <= 1.05 * max(0, *more)


@pytest.mark.parametrize("name", SETS)
def test_flash_that_is_mapped_adds_the_machine_code_of_blocks_and_of_mapping(name):
    """What maps flash is unloaded, but where its code was nothing else may fit."""
    more = [
        bytes_of(name, reduce, place, True, "flash-mapped") - MACHINE_CODE[name][reduce][place]
        for reduce in set(ROLES) - {"stages"}
        for place in PLACES
    ]
    assert max(more) <= MAPPED_MACHINE_CODE <= 1.1 * max(more)
    for kind, is_less in (("esp32s3", True), ("esp32s3-n16r8", False)):
        boards = BoardSet((load(kind),), "uart", 16, False, weights="flash-mapped")
        in_heap, mapped = (
            boards.heaps(replace(HOST_REDUCE, weights=weights))[0]
            for weights in ("heap", "flash-mapped")
        )
        assert in_heap - mapped == MAPPED_MACHINE_CODE * is_less


def test_a_ring_adds_the_machine_code_of_its_link():
    source = (REPOSITORY / "firmware/links/ring.py").read_text()
    sizes = [machine_code(chip_module(source, "firmware/links/ring.py", arch))
             for arch in ("xtensawin", "rv32imc")]  # fmt: skip
    assert max(sizes) <= RING_CODE <= 1.1 * max(sizes)
    board = load("esp32s3")
    assert board.python_heap("ring", "chips") == board.python_heap("uart", "chips") - RING_CODE


@pytest.mark.parametrize("reduce", ROLES)
def test_machine_code_and_wifi_leave_the_rest_of_a_boards_ram(reduce):
    for name, kernels in (("esp32s2", "viper"), ("esp32s3", "pie"), ("esp32c3", "rv32im")):
        board = load(name)
        of_code = MACHINE_CODE[kernels][reduce]
        ram = board.ram_kb * 1024 - IDF
        wifi = board.radio.wifi_kb * 1024
        assert board.python_heap("uart", reduce) == ram - of_code["uart"]
        assert board.python_heap("espnow", reduce) == ram - of_code["espnow"] - wifi
        less = board.python_heap("uart", reduce) - UNSIGNED_CODE[kernels]
        assert board.python_heap("uart", reduce, is_signed=False) == less
        assert board.gateway_code(reduce) == of_code["gateway"] - of_code["espnow"]
    of_code = MACHINE_CODE["lx6"][reduce]
    own = load("esp32").code_kb * 1024
    ram = load("esp32").ram_kb * 1024 - IDF
    assert load("esp32").python_heap("uart", reduce) == ram - of_code["uart"] + own
    roomy = replace(load("esp32"), code_kb=100)
    assert roomy.python_heap("uart", reduce) == ram  # and no more than that
    for name in ("esp32s3-psram", "simulated"):
        board = load(name)
        assert board.python_heap("espnow", reduce) == (board.psram_kb - PSRAM_OVERHEAD_KB) * 1024
        assert board.gateway_code(reduce) == 0


COUNTS = ["received", "bytes_received", "sent", "bytes_sent"]


def given_in(module):
    """What a module of firmware/compute gives names."""
    tree = ast.parse((REPOSITORY / "firmware" / "compute" / f"{module}.py").read_text())
    return {
        ast.unparse(node.targets[0]): node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
    }


def test_chips_fill_every_word_of_the_block_of_serve():
    """A chip names what it gives, and counts in the others from certain places on."""
    given = given_in("serve")
    filled = [key.value for key in given["words"].keys]
    scoring = ["vocabulary", "vocabulary_values", "first_row", "exponent", "logits_end"]
    assert sorted([*filled, *scoring, *COUNTS]) == sorted(WORDS)
    first = given["_COUNTS"].args[0].value
    assert list(WORDS[first : first + 4]) == COUNTS
    assert WORDS[given["_SEQUENCE"].args[0].value] == "sequence"


def test_chips_fill_every_word_of_the_block_of_exchange():
    """Those of both rounds and of what a chip has for its version of frames among them."""
    trees = [
        ast.parse((REPOSITORY / "firmware" / "compute" / f"{module}.py").read_text())
        for module in ("exchange_block", "exchange_line", "exchange_stage")
    ]
    filled = {
        key.value
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Dict)
        for key in node.keys
    }
    filled |= {"logits_end", "exchange"}  # where there are logits, and a line
    filled |= {"attention_values"}  # of whatever sequence is the current one
    filled -= {"scoring", "values"}  # which are only held
    rounds = {name + suffix for name in ("total", "own", "round") for suffix in ("", "_1")}
    spare = {"spare", "spare_1", "spare_2", *(f"line_state_{place}" for place in range(4))}
    assert filled | rounds | spare | set(COUNTS) == set(STAGE_WORDS)
    assert list(EXCHANGE_WORDS[:4]) == COUNTS
    given = given_in("exchange")
    for name in ("sequence", "positions", "attention_values"):
        assert EXCHANGE_WORDS[given[f"_{name.upper()}"].args[0].value] == name
    assert EXCHANGE_WORDS[given_in("exchange_blocks")["_LAYERS"].args[0].value] == "layers"


def test_machine_code_and_bytecode_know_a_stages_words_by_the_same_places():
    for name, place in exchange_words.Stage.__members__.items():
        assert place == 4 * getattr(handover, name)
    assert 4 * len(exchange_words.Stage) == 4 * handover.STATE_WORDS


def test_machine_code_and_bytecode_of_exchanges_have_the_same_results():
    given = {name: eval(ast.unparse(value.args[0])) for name, value in given_in("results").items()}
    assert given == {"OTHER": exchange_words.OTHER, "PIECES": exchange_words.PIECES,
                     "COMPUTE": exchange_words.COMPUTE, "ANSWER": exchange_words.ANSWER,
                     "ENDED": exchange_words.ENDED, "IDLE": exchange_words.IDLE}  # fmt: skip
    computed = given_in("exchange_blocks")["_COMPUTED"].args[0]
    assert eval(ast.unparse(computed)) == exchange_words.COMPUTED
    by_bytecode = given_in("exchange_block")["_BY_BYTECODE"].args[0]
    assert eval(ast.unparse(by_bytecode)) == exchange_words.BY_BYTECODE
