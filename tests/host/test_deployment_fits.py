"""The shipped model on five chips: what boards have room for, in figures."""

import re
from dataclasses import replace

import pytest

from host.build.compilation import compiled
from host.cluster.place import Place
from host.flashing.filesystem_image import make_filesystem, used_segments
from host.generation.command_tables import load_commands
from host.hardware import boards
from host.model.tokenizers.bpe import BpeTokenizer
from host.parallel.heap import usable_heap
from host.parallel.parallelism import Link, Parallelism
from host.parallel.refusal import DoesNotFit
from host.paths import HELD_OUT
from tests.shipped import shipped_model
from tests.simulation.launch import REPOSITORY

REAL = [name for name in boards.names() if not boards.load(name).is_simulated]
LEAST = min(REAL, key=lambda name: boards.load(name).python_heap("uart"))
KEY = bytes(32)
PAGE = (REPOSITORY / "docs" / "flashing.md").read_text()
# Positions that docs/flashing.md names, by board and link, and how many more they may be by now.
ROOM = {
    (name, link): int(count)
    for kinds, *counts in re.findall(r"^\| (`.*`) \| (\d+) \| (\d+|-) \|$", PAGE, re.MULTILINE)
    for name in re.findall("`(.*?)`", kinds)
    for link, count in zip(("uart", "espnow"), counts, strict=True)
    if count != "-"
}
LARGER = re.findall(
    r"^\| (\d+) `(.*)` \| (host|chips) \| `(uart|espnow)` \| (\d+) \|$", PAGE, re.MULTILINE
)
MORE = 4


@pytest.fixture(scope="module")
def model():
    return shipped_model()


def largest_context(model, name, link, chips=5, reduce="host"):
    """How many positions so many boards of a kind have room for, 0 where none."""
    place = Place(boards.load(name), "", 0, chips, Link(link), Parallelism(reduce=reduce), key=KEY)
    low, high = 0, model.config.context
    while low < high:
        context = (low + high + 1) // 2
        try:
            replace(place, context=context).plan(model)
            low = context
        except DoesNotFit:
            high = context - 1
    return low


def test_the_page_names_boards_of_all_kinds():
    assert len(ROOM) > 10 and len(LARGER) > 3


@pytest.mark.parametrize(("name", "link"), ROOM)
def test_five_boards_have_room_for_so_many_positions(model, name, link):
    message = ROOM[name, link]
    most = message + MORE if message else 0
    assert message <= largest_context(model, name, link) <= most


@pytest.mark.parametrize(("chips", "name", "reduce", "link", "message"), LARGER)
def test_more_boards_have_more_room(model, chips, name, reduce, link, message):
    chips, message = int(chips), int(message)
    assert message <= largest_context(model, name, link, chips, reduce) <= message + MORE
    assert largest_context(model, name, link, chips - 2, reduce) < message


def test_small_boards_answer_nearly_all_commands(model):
    """With as many positions as five of them have room for: BOS, a command and its answer."""
    tokenizer = BpeTokenizer.load(REPOSITORY / "models" / "tok512.bin", 512)
    lengths = [
        len(tokenizer.encode(f"{command.text}\n{command.expected}"))
        for command in load_commands(HELD_OUT)
    ]
    room = largest_context(model, "esp32c3", "espnow")
    answered = sum(length <= room for length in lengths) / len(lengths)
    assert 0.98 <= answered < 1
    assert max(lengths) == 94 <= ROOM["esp32c3", "uart"]


@pytest.mark.parametrize("name", REAL)
def test_a_deployment_fits_the_smallest_file_system_and_its_heap(model, name):
    """The smallest: 2 MB on the boards with 4 MB of flash."""
    board = boards.load(name)
    chips = 13 if name == LEAST else 5
    place = Place(board, "", 0, chips, Link("uart"), context=24, key=KEY)
    plan = place.plan(model)
    for shard in plan.shards:
        assert plan.heap_need(shard).total <= usable_heap(board.planned_heap("uart"))
    files = place.files(model, (1, 27, 0))
    smallest = min(boards.load(one).flash.filesystem_size for one in REAL)
    assert smallest == 2 << 20
    used = sum(len(part) for _, part in used_segments(make_filesystem(files, smallest)))
    # Blocks of 4 KB, some 40 files: about a tenth of the file system.
    assert sum(map(len, files.values())) < used < smallest // 4


@pytest.mark.parametrize("arch", ["x86", "xtensawin", "rv32imc"])
@pytest.mark.parametrize("folder", ["firmware", "protocol"])
def test_every_file_compiles_for_every_architecture(folder, arch):
    """As it stands too, for `mpremote mip install` brings sources onto a board."""
    for path in sorted((REPOSITORY / folder).rglob("*.py")):
        code = compiled(path.read_bytes(), path.relative_to(REPOSITORY).as_posix(), arch)
        assert code[:2] == b"M\x06"
