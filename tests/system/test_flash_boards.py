"""Five boards of two kinds, flashed by the commands that a user gives, then run as a cluster.

The stand-in boards execute x86 code, so theirs is the architecture that their boards' files name;
that the same commands write xtensawin and rv32imc for the boards as they ship is checked too.
"""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace

import pytest

import host.flash
import host.run
from host.cluster import cluster_file
from host.cluster.place import Place
from host.flashing.filesystem_image import BLOCK, make_filesystem
from host.flashing.firmware_image import read_image
from host.hardware import boards
from host.simulation.hub import HubProcess
from tests.shipped import shipped_model
from tests.simulation.launch import REPOSITORY
from tests.standin_board.board import StandinBoard
from tests.standin_board.farm import standin_boards, standin_firmware
from tests.standin_board.micropython_image import read_files

MODEL = REPOSITORY / "models" / "home.bin"
KINDS = ["esp32s3", "esp32c3", "esp32s3", "esp32c3", "esp32c3"]
PROMPT = "turn off the kitchen lights\n"
ROOMY = "esp32s3-psram"  # of which three hold it
CONTEXT = 64  # more, and the model does not fit boards with the C3's heap


@pytest.fixture(scope="module")
def model():
    return shipped_model()


@pytest.fixture
def firmware(tmp_path):
    return standin_firmware(tmp_path / "firmware")


def farm(stack, folder, kinds=KINDS, **options):
    """Blank boards of these kinds."""
    found = []
    for chip, kind in enumerate(kinds):
        own = folder / f"board{chip}"
        own.mkdir()
        mac = f"240ac400000{chip}"
        board = StandinBoard(own, kind=kind, mac=mac, blank=True, **options)
        found.append(stack.enter_context(board))
    return found


def command(folder, module, *arguments, boards_folder=None):
    """What a command prints, run in the folder as a user would."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    if boards_folder:
        environment["FEDERATION_BOARDS"] = str(boards_folder)
    return subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=100,
    )  # fmt: skip


def flash(folder, chip, board, firmware, boards_folder=None, *arguments):
    ended = command(
        folder, "host.flash", "--board", KINDS[chip], "--chip-id", chip, "--port", board.port,
        "--firmware", firmware, "--model", MODEL, "--link", "uart", "--context", CONTEXT,
        *arguments,
        boards_folder=boards_folder,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def all_flashed(folder, farm, firmware, boards_folder=None, *arguments):
    """The first board alone, for it makes the key; then all others at once."""
    said = [flash(folder, 0, farm[0], firmware, boards_folder, *arguments)]
    with ThreadPoolExecutor(2) as pool:
        said += pool.map(
            lambda chip: flash(folder, chip, farm[chip], firmware, boards_folder, *arguments),
            range(1, len(farm)),
        )
    return said


def check_flash(board, kind, content, files):
    """Compares a board's flash with MicroPython's image and the file system, byte for byte but for
    what a chip writes of its own kernels' proof."""
    image = read_image(content, kind)
    assert board.flash.read(kind.flash.offset, len(image.content)) == image.content
    region = image.filesystem(kind.flash.size)
    flash = board.flash.read(region.offset, region.size)
    if any(path.startswith("native/") for path in files):
        written = read_files(flash)
        written.pop("kernels.txt", None)
        assert written == files
    else:
        assert flash == make_filesystem(files, region.size)


def expected_files(model, cluster, chip, kind, kinds):
    """What should be on the board, and the image it was flashed with."""
    others = tuple(kinds[one.id] for one in cluster.flashed if one.id != chip)
    place = Place(
        kind, "", chip, len(KINDS), cluster.link, cluster.parallelism, CONTEXT, cluster.key,
        others=others,
    )  # fmt: skip
    return place.files(model, (1, 27, 0))


def image_of(firmware, kind):
    return firmware / f"{kind.flash.image}-{kind.flash.version}.bin"


def mpremote(board, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "mpremote", "connect", board.port, *arguments],
        check=True, capture_output=True, text=True, timeout=60,
    ).stdout  # fmt: skip


def listed(board):
    """The size of each file on a board, as mpremote lists them."""
    sizes = {}
    for folder in ("", "protocol/", "firmware/"):
        for line in mpremote(board, "fs", "ls", f":{folder}").splitlines()[1:]:
            size, name = line.split(maxsplit=1)
            if not name.endswith("/"):
                sizes[folder + name] = int(size)
    return sizes


@pytest.mark.verify
@pytest.mark.timeout(600)  # 26 s on a machine that has nothing else to do
def test_five_boards_are_flashed_and_speak(model, micropython, tmp_path, firmware):
    folder = standin_boards(tmp_path / "boards")
    kinds = [boards.load(name, [boards.BOARDS, folder]) for name in KINDS]
    with ExitStack() as stack:
        five = farm(stack, tmp_path)
        for chip, said in enumerate(all_flashed(tmp_path, five, firmware, folder)):
            first = f"chip {chip} of 5 on {five[chip].port} ({KINDS[chip]}, "
            assert said.splitlines()[chip == 0].startswith(first)
            assert ("--parallel tensor --reduce host: all that" in said) == (chip == 0)
            assert re.search(r"^ready: model [0-9a-f]{16}, firmware ", said, re.MULTILINE)
        cluster = cluster_file.read(tmp_path / "federation.toml")
        assert [one.id for one in cluster.flashed] == list(range(5))
        assert [one.mac for one in cluster.flashed] == [b.mac.hex(":") for b in five]
        assert len(cluster.key) == 32
        assert (tmp_path / "federation.toml").stat().st_mode & 0o777 == 0o600
        ports = ",".join(board.port for board in five)
        options = (
            "--model", MODEL, "--context", CONTEXT, "--no-stats", "--prompt", PROMPT,
        )  # fmt: skip
        ran = command(
            tmp_path, "host.run", "--ports", ports, "--link", "uart", *options,
            boards_folder=folder,
        )  # fmt: skip
        simulated = command(REPOSITORY, "host.run", *options)
        assert simulated.returncode == 0 and "light.kitchen off" in simulated.stdout
        assert (ran.stdout, ran.returncode) == (simulated.stdout, 0), ran.stderr
        for chip, board in enumerate(five):
            files = expected_files(model, cluster, chip, kinds[chip], kinds)
            check_flash(board, kinds[chip], image_of(firmware, kinds[chip]), files)
        for chip in (0, 1):  # of each kind one
            files = expected_files(model, cluster, chip, kinds[chip], kinds)
            assert listed(five[chip]) == {path: len(data) for path, data in files.items()}
        said = flash(tmp_path, 1, five[1], firmware, folder, "--update")
        assert f"0 files (0 bytes) copied, {len(files)} were there\nready: model " in said


def test_the_default_link_from_flashing_to_text(micropython, tmp_path, monkeypatch, capsys):
    """Radio, as README.md has it: the chips behind the gateway flashed before it and after it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FEDERATION_BOARDS", str(standin_boards(tmp_path / "boards")))
    firmware = standin_firmware(tmp_path / "images", kinds=[ROOMY])
    options = ("--chips", 3, "--model", MODEL, "--context", 48)
    with ExitStack() as stack:
        hub = stack.enter_context(HubProcess())
        three = farm(stack, tmp_path, [ROOMY] * 3, hub=hub)
        heard = []
        for chip in (1, 0, 2):
            words = (
                "--board", ROOMY, "--chip-id", chip, "--port", three[chip].port, "--firmware",
                firmware, *options,
            )  # fmt: skip
            assert host.flash.main(list(map(str, words))) == 0, capsys.readouterr().err
            heard.append(capsys.readouterr().out.splitlines()[-1])
            options = ()  # they are in the cluster's file now
        assert heard[0] == (
            "not asked whether it is ready: it is reached through chip 0, not flashed yet"
        )
        assert all(line.startswith("ready: model ") for line in heard[1:]), heard
        code = host.run.main(["--ports", "auto", "--no-stats", "--prompt", PROMPT])
    ran = capsys.readouterr()
    assert (ran.out, code) == ("light.kitchen off\n", 0), ran.err


def test_boards_as_they_ship_get_code_of_their_own_architecture(
    model, micropython, tmp_path, firmware
):
    """Nothing here can execute it, so nobody waits for these boards: their line is on pins."""
    kinds = [boards.load(name) for name in KINDS]
    assert [kind.mpy_arch for kind in kinds[:2]] == ["xtensawin", "rv32imc"]
    with ExitStack() as stack:
        two = farm(stack, tmp_path)[:2]
        for chip, board in enumerate(two):
            flash(
                tmp_path, chip, board, firmware, None, "--line", "pins", "--parallel", "tensor"
            )
        cluster = cluster_file.read(tmp_path / "federation.toml")
        for chip, board in enumerate(two):
            # The first was flashed before the second was known of; the plan is the same.
            flashed = replace(cluster, flashed=cluster.flashed[:chip])
            files = expected_files(model, flashed, chip, kinds[chip], kinds)
            assert len(files["firmware/kernels.mpy"]) % BLOCK
            check_flash(board, kinds[chip], image_of(firmware, kinds[chip]), files)
