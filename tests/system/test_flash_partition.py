"""A board whose weights stay in a flash partition, flashed by the command that a user gives."""

import hashlib
import re
import struct
from contextlib import ExitStack

import pytest

from host.hardware.board import FILESYSTEM
from host.hardware.boards import load
from tests.standin_board.farm import standin_boards, standin_firmware
from tests.standin_board.micropython_image import TABLE, filesystem_in, read_files, weights_in
from tests.system.test_flash_boards import MODEL, PROMPT, command, farm

BOARD = "esp32s3"
APP_END = 0x200000


def flash(folder, board, firmware, boards_folder, *arguments):
    return command(
        folder, "host.flash", "--board", BOARD, "--chip-id", 0, "--chips", 1, "--port", board.port,
        "--firmware", firmware, "--model", MODEL, "--link", "uart", *arguments,
        boards_folder=boards_folder,
    )  # fmt: skip


def run(folder, board, boards_folder, *arguments):
    return command(
        folder, "host.run", "--ports", board.port, "--link", "uart", "--no-stats", "--prompt",
        PROMPT, *arguments, boards_folder=boards_folder,
    )  # fmt: skip


def entries(board):
    """The partition table: name, type, subtype, offset and size of each, its MD5 compared."""
    table, found = board.flash.read(TABLE, 0xC00), []
    while table[32 * len(found) :][:2] == b"\xaa\x50":
        _, kind, subtype, offset, size, name, _ = struct.unpack_from(
            "<HBBII16sI", table, 32 * len(found)
        )
        found.append((name.rstrip(b"\0").decode(), kind, subtype, offset, size))
    end = 32 * len(found)
    assert table[end : end + 16] == b"\xeb\xeb" + b"\xff" * 14
    assert table[end + 16 : end + 32] == hashlib.md5(table[:end]).digest()
    return found


def shard_in(board):
    """The shard in a board's partition, by what its configuration says of it."""
    files = read_files(board.flash.read(*filesystem_in(board.flash)))
    assert "shard.bin" not in files and "firmware/blocks.mpy" in files
    size, sha256 = re.search(rb'"size": (\d+), "sha256": "(\w+)"', files["config.json"]).groups()
    shard = board.flash.read(weights_in(board.flash)[0], int(size))
    assert shard[-32:].hex() == sha256.decode()
    return shard


@pytest.mark.verify
@pytest.mark.timeout(600)
def test_weights_in_flash_are_written_run_and_mended(micropython, tmp_path):
    folder = standin_boards(tmp_path / "boards")
    firmware = standin_firmware(tmp_path / "firmware")
    with ExitStack() as stack:
        (board,) = farm(stack, tmp_path, [BOARD])
        options = ("--weights", "flash", "--context", 48)
        said = flash(tmp_path, board, firmware, folder, *options)
        assert said.returncode == 0, said.stderr
        assert "ready: model " in said.stdout
        place, size = weights_in(board.flash)
        assert entries(board) == [
            ("nvs", 1, 2, 0x9000, 0x6000), ("phy_init", 1, 1, 0xF000, 0x1000),
            ("factory", 0, 0, 0x10000, APP_END - 0x10000),
            ("vfs", 1, 0x81, APP_END, FILESYSTEM), ("weights", 1, 6, place, size),
        ]  # fmt: skip
        assert place + size == load(BOARD).flash.size and size == load(BOARD).weights_room
        shard = shard_in(board)
        assert shard[-32:] == hashlib.sha256(shard[:-32]).digest()
        ran = run(tmp_path, board, folder)
        assert (ran.stdout, ran.returncode) == ("light.kitchen off\n", 0), ran.stderr
        # What is there already is not written again; nor does --update take it for missing.
        board.flash.last_written = -1
        said = flash(tmp_path, board, firmware, folder, "--context", 48)
        assert said.returncode == 0 and board.flash.last_written == -1, said.stderr
        said = flash(tmp_path, board, firmware, folder, "--context", 48, "--update")
        assert re.search(r": MicroPython .*, 0 files \(0 bytes\) copied", said.stdout), said
        # Another plan's weights, of which power goes in the middle, are refused until they are
        # whole.
        board.unplug_at(place + 100_000)
        assert flash(tmp_path, board, firmware, folder, "--context", 40).returncode != 0
        board.replug()
        ran = run(tmp_path, board, folder)
        assert "the partition weights" in ran.stderr and "flash this chip again" in ran.stderr
        update = flash(tmp_path, board, firmware, folder, "--context", 40, "--update")
        assert "flash it without --update" in update.stderr and update.returncode == 1
        said = flash(tmp_path, board, firmware, folder, "--context", 40)
        assert said.returncode == 0, said.stderr
        assert shard_in(board) != shard
        ran = run(tmp_path, board, folder)
        assert (ran.stdout, ran.returncode) == ("light.kitchen off\n", 0), ran.stderr
        # A chip that is not what the addresses are of does not touch them.
        options = ("--weights", "flash-mapped", "--context", 40)
        said = flash(tmp_path, board, firmware, folder, *options)
        assert "weights: flash, in blocks (flashed for ESP32S3, and this is" in said.stdout, said
        ran = run(tmp_path, board, folder)
        assert (ran.stdout, ran.returncode) == ("light.kitchen off\n", 0), ran.stderr
