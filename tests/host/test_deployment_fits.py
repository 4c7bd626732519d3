"""The shipped model on five chips: what boards have room for, in figures."""

import pytest

from host import boards
from host.deploy.bundle import REPOSITORY, compiled
from host.deploy.filesystem_image import filesystem_image, segments
from host.deploy.placing import Place
from host.model import loading
from host.parallel.memory import board_heap
from host.parallel.plan import DoesNotFit

REAL = [name for name in boards.names() if boards.load(name).flash]
KEY = bytes(32)


@pytest.fixture(scope="module")
def model():
    return loading.loaded(REPOSITORY / "models" / "home.bin").quantized()


def largest_context(model, name, link):
    """How many positions five boards of a kind have room for, 0 where none."""
    low, high = 0, model.config.context
    while low < high:
        context = (low + high + 1) // 2
        try:
            Place(boards.load(name), "", 0, 5, link, context, KEY).plan(model)
            low = context
        except DoesNotFit:
            high = context - 1
    return low


@pytest.mark.parametrize("link", ["uart", "espnow"])
@pytest.mark.parametrize("name", REAL)
def test_five_boards_have_room_for_so_many_positions(model, name, link):
    """All 128 on an S3, most of them on chips with 160 KB, next to none on an S2."""
    enough = {"esp32s3": (128, 128), "esp32s3-psram": (128, 128), "esp32s2": (0, 10)}
    least, most = enough.get(name, (96, 120) if link == "uart" else (72, 96))
    assert least <= largest_context(model, name, link) <= most


def test_an_s2_takes_more_than_five(model):
    with pytest.raises(DoesNotFit) as raised:
        Place(boards.load("esp32s2"), "", 0, 5, "uart", 64, KEY).plan(model)
    assert raised.value.chips is not None and 6 <= raised.value.chips <= 10


@pytest.mark.parametrize("arch", ["xtensawin", "rv32imc"])
def test_a_deployment_fits_the_smallest_file_system_and_heap(model, arch):
    """The smallest: 2 MB on the boards with 4 MB of flash, a heap of 160 KB."""
    name = {"xtensawin": "esp32", "rv32imc": "esp32c3"}[arch]
    board = boards.load(name)
    assert board.mpy_arch == arch
    place = Place(board, "", 0, 5, "uart", 64, KEY)
    plan = place.plan(model)
    for share in plan.shares:
        assert plan.heap_need(share).total <= board_heap(board.heap_kb)
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
