"""The shipped model on five chips: what boards have room for, in figures."""

from dataclasses import replace

import pytest

from host.build.bundle import compiled
from host.evaluate import held_out
from host.flashing.filesystem_image import filesystem_image, segments
from host.flashing.placing import Place
from host.hardware import board as boards
from host.model import loading
from host.model.tokenizers.bpe import BpeTokenizer
from host.parallel.heap import usable_heap
from host.parallel.plan import DoesNotFit
from tests.simulation.launch import REPOSITORY

REAL = [name for name in boards.names() if boards.load(name).flash]
SMALLEST = min(REAL, key=lambda name: boards.load(name).python_heap("uart"))
KEY = bytes(32)
# Positions that docs/flashing.md tells of, and by how many they may be more by now.
ROOM = {
    "esp32": {"uart": 128, "espnow": 52},
    "esp32c3": {"uart": 68, "espnow": 0},
    "esp32c6": {"uart": 68, "espnow": 0},
    "esp32s2": {"uart": 52, "espnow": 0},
    "esp32s3": {"uart": 128, "espnow": 128},
    "esp32s3-psram": {"uart": 128, "espnow": 128},
}
MORE = 4


@pytest.fixture(scope="module")
def model():
    return loading.load_model(REPOSITORY / "models" / "home.bin").quantize()


def largest_context(model, name, link, chips=5, combine="host"):
    """How many positions so many boards of a kind have room for, 0 where none."""
    place = Place(boards.load(name), "", 0, chips, link, None, KEY, combine=combine)
    low, high = 0, model.config.context
    while low < high:
        context = (low + high + 1) // 2
        try:
            replace(place, context=context).plan(model)
            low = context
        except DoesNotFit:
            high = context - 1
    return low


@pytest.mark.parametrize("link", ["uart", "espnow"])
@pytest.mark.parametrize("name", REAL)
def test_five_boards_have_room_for_so_many_positions(model, name, link):
    told = ROOM[name][link]
    most = told + MORE if told else 0
    assert told <= largest_context(model, name, link) <= most


@pytest.mark.parametrize(("name", "chips", "told"), [("esp32c3", 8, 44), ("esp32s2", 9, 44)])
def test_over_the_radio_small_boards_are_more_than_five(model, name, chips, told):
    assert told <= largest_context(model, name, "espnow", chips) <= told + MORE
    assert largest_context(model, name, "espnow", chips - 2) < told // 2


@pytest.mark.parametrize(("name", "chips", "told"), [("esp32s3", 5, 98), ("esp32", 9, 20)])
def test_chips_that_combine_take_more_room(model, name, chips, told):
    assert told <= largest_context(model, name, "espnow", chips, "chips") <= told + MORE
    assert largest_context(model, name, "espnow", chips - 1, "chips") < told // 2


def test_the_smallest_board_answers_all_but_a_few_commands(model):
    """With as many positions as five of them have room for: BOS, a command and its answer."""
    tokenizer = BpeTokenizer.load(REPOSITORY / "models" / "tok512.bin", 512)
    lengths = [
        len(tokenizer.encode(f"{command.text}\n{command.action}")) for command in held_out()
    ]
    room = largest_context(model, SMALLEST, "uart")
    answered = sum(length <= room for length in lengths) / len(lengths)
    assert SMALLEST == "esp32s2" and 0.97 <= answered < 0.98
    assert max(lengths) == 82 <= ROOM["esp32"]["uart"]


@pytest.mark.parametrize("name", sorted({SMALLEST, "esp32", "esp32c3"}))
def test_a_deployment_fits_the_smallest_file_system_and_heap(model, name):
    """The smallest: 2 MB on the boards with 4 MB of flash, and the S2's heap."""
    board = boards.load(name)
    place = Place(board, "", 0, 5, "uart", ROOM[name]["uart"], KEY)
    plan = place.plan(model)
    for shard in plan.shards:
        assert plan.heap_need(shard).total <= usable_heap(board.planned_heap("uart"))
    files = place.files(model, plan, (1, 27, 0))
    smallest = min(boards.load(one).flash.filesystem_size for one in REAL)
    assert smallest == 2 << 20
    used = sum(len(part) for _, part in segments(filesystem_image(files, smallest)))
    # Blocks of 4 KB, some 40 files: about a tenth of the file system.
    assert sum(map(len, files.values())) < used < smallest // 4


@pytest.mark.parametrize("arch", ["x86", "xtensawin", "rv32imc"])
@pytest.mark.parametrize("folder", ["firmware", "protocol"])
def test_every_file_compiles_for_every_architecture(folder, arch):
    for path in sorted((REPOSITORY / folder).glob("*.py")):
        code = compiled(path.read_bytes(), f"{folder}/{path.name}", arch)
        assert code[:2] == b"M\x06"
