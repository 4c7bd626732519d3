"""federation.toml: both directions, what is wrong with one, and two writers at once."""

import os
import re
import stat
import threading
import tomllib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host.cluster import cluster_file
from host.cluster.cluster_fields import ClusterFile, FlashedChip
from host.cluster.cluster_file import ClusterFileError, change, format_cluster, read
from host.links.discovery import format_mac
from host.parallel.parallelism import ALL_REDUCE, Link, hybrid
from tests.simulation.launch import REPOSITORY

CHIPS = tuple(
    FlashedChip(number, "esp32s3", f"34:85:18:00:00:0{number}", f"/dev/ttyACM{number}")
    for number in range(3)
)
CLUSTER = ClusterFile(
    "models/home.bin", bytes(range(8)), 5, 128, bytes(range(32)), Link("espnow", mtu=250),
    channel=6, flashed=CHIPS[:2],
)  # fmt: skip


@pytest.fixture
def path(tmp_path):
    return tmp_path / "federation.toml"


def test_what_is_written_is_read(path):
    assert read(path) is None
    assert change(lambda old: CLUSTER if old is None else old, path) == CLUSTER
    assert read(path) == CLUSTER
    other = replace(CLUSTER, link=Link("uart", "pins"), parallelism=ALL_REDUCE, key=b"")
    assert change(lambda old: other, path) == read(path) == other
    staged = replace(CLUSTER, parallelism=hybrid(2))
    assert change(lambda old: staged, path) == read(path) == staged
    change(lambda old: CLUSTER, path)
    fields = tomllib.loads(path.read_text())
    assert fields["model_hash"] == "0001020304050607" and fields["chips"] == 5
    assert fields["chip"][1] == {
        "id": 1, "board": "esp32s3", "mac": "34:85:18:00:00:01", "port": "/dev/ttyACM1",
    }  # fmt: skip


def test_what_a_writer_that_was_killed_has_left_is_replaced(path):
    left = path.with_name("federation.toml.new")
    left.write_text("key = ")
    left.chmod(0o644)
    change(lambda _: CLUSTER, path)
    assert read(path) == CLUSTER and stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_is_read_as_it_was_written(text):
    assert tomllib.loads(format_cluster(replace(CLUSTER, model=text)))["model"] == text


def test_the_boards_of_all_chips_are_kept(path):
    named = replace(CLUSTER, boards=("esp32s3",) * CLUSTER.chips)
    change(lambda _: named, path)
    assert read(path) == named


def test_only_its_owner_reads_it_and_git_does_not_take_it(path):
    change(lambda old: CLUSTER, path)
    path.chmod(0o644)
    change(lambda old: old, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(path.parent) == [path.name]
    assert "/federation.toml" in (REPOSITORY / ".gitignore").read_text().splitlines()


def test_keys_are_long_and_never_the_same():
    assert len(cluster_file.make_key()) == 32
    assert cluster_file.make_key() != cluster_file.make_key()


def test_a_chip_takes_the_place_of_its_id_and_of_its_board():
    third = CLUSTER.with_chip(CHIPS[2])
    assert third.flashed == CHIPS
    assert third.chip(2) == CHIPS[2] == third.chip_of(CHIPS[2].mac)
    assert CLUSTER.chip(2) is None is CLUSTER.chip_of(CHIPS[2].mac)
    moved = replace(CHIPS[0], id=2)  # the board that was chip 0
    assert third.with_chip(moved).flashed == (CHIPS[1], moved)
    other = replace(CHIPS[1], mac="00:00:00:00:00:09")
    assert third.with_chip(other).flashed == (CHIPS[0], other, CHIPS[2])


def test_writers_wait_for_each_other(path):
    change(lambda old: replace(CLUSTER, chips=40, flashed=()), path)
    boards = [
        FlashedChip(number, "esp32", f"00:00:00:00:00:{number:02x}", "") for number in range(40)
    ]
    writers = [
        threading.Thread(target=change, args=(lambda old, one=one: old.with_chip(one), path))
        for one in boards
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert read(path).flashed == tuple(boards)


def test_a_change_that_fails_leaves_the_file(path):
    change(lambda old: CLUSTER, path)

    def fail(old):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        change(fail, path)
    with pytest.raises(ClusterFileError, match="a name in it is not Unicode"):
        change(lambda old: replace(old, model="\udcff"), path)
    assert read(path) == CLUSTER and os.listdir(path.parent) == [path.name]


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(ClusterFileError, match=r"^cannot write .*: No such file or directory$"):
        change(lambda old: CLUSTER, tmp_path / "none" / "federation.toml")
    with pytest.raises(ClusterFileError, match=r"^cannot read .*: Is a directory$"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ('kind = "espnow"\n', "", "field link.kind is missing"),
        ('kind = "espnow"', 'kind = "air"',
         "field link.kind is 'air', expected uart or espnow or ring"),
        ('line = "usb"', 'line = "wifi"', "field link.line is 'wifi', expected usb or pins"),
        ('reduce = "host"', 'reduce = "all"',
         "field parallelism.reduce is 'all', expected host or chips"),
        ('strategy = "tensor"', "strategy = 1", "field parallelism.strategy is 1, expected text"),
        ('strategy = "tensor"', 'strategy = "mixed"',
         "field parallelism.strategy is 'mixed', expected tensor or pipeline or hybrid"),
        ("stages = 1", "stages = 6", "field parallelism.stages is 6, expected 1 to 5"),
        ("stages = 1", "stages = 0", "field parallelism.stages is 0, expected 1 to 5"),
        ("chips = 5", "chips = 0", "field chips is 0, expected 1 to 254"),
        ("chips = 5", "chips = 1", "field chip[1].id is 1, expected 0 to 0"),
        ("channel = 6", "channel = true", "field link.channel is True, expected 1 to 14"),
        ("channel = 6", "channel = 15", "field link.channel is 15, expected 1 to 14"),
        ("context = 128", 'context = "x"', "field context is 'x', expected 1 to 65535"),
        ('model = "m', 'other = 1\nmodel = "m', "field other is not known"),
        ('model = "models/home.bin"', "model = 3", "field model is 3, expected text"),
        ('model_hash = "00', 'model_hash = "', "field model_hash is '01020304050607', expected 8"
         " bytes in hexadecimal digits"),
        ('key = "00', 'key = "0', f"field key is '0{bytes(range(1, 32)).hex()}', expected at most"
         " 64 bytes in hexadecimal digits"),
        (bytes(range(32)).hex(), "00", "field key has 1 bytes, 16 at least are needed"),
        ("id = 1", "id = 0", "two chips have the id 0"),
        ("00:01", "00:00", "two chips have the mac 34:85:18:00:00:00"),
        ("34:85:18:00:00:01", "34:85", "'34:85' is not a MAC"),
        ("id = 1", "id = 1, colour = 2", "field chip.colour is not known"),
        ("[parallelism]", "boards = 3\n[parallelism]", "field boards is 3, expected a list"),
        ("[parallelism]", 'boards = ["a"]\n[parallelism]',
         "field boards has 1 names, expected 5"),
    ],
)  # fmt: skip
def test_each_fault_is_named(path, old, new, line):
    change(lambda _: CLUSTER, path)
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
    with pytest.raises(ClusterFileError) as caught:
        read(path)
    assert str(caught.value) == f"{path}: {line}: correct it, or remove it and flash again"


@pytest.mark.parametrize(
    ("chip", "line"),
    [
        ("chip = 3", "field chip is 3, expected a list"),
        ("chip = [3]", "field chip[0] is 3, expected a table"),
    ],
)
def test_chips_that_are_no_tables(path, chip, line):
    change(lambda _: replace(CLUSTER, flashed=()), path)
    path.write_text(path.read_text().replace("version", f"{chip}\nversion"))
    with pytest.raises(ClusterFileError, match=re.escape(f": {line}: correct it")):
        read(path)


@pytest.mark.parametrize("content", [b"model = ", b"\xff", b"model = " + 5000 * b"["])
def test_what_is_no_toml(path, content):
    path.write_bytes(content)
    with pytest.raises(ClusterFileError, match="not a TOML file: .*: correct it, or remove") as it:
        read(path)
    assert "\n" not in str(it.value)


def test_a_file_of_another_version(path):
    """Those before version 2 had neither a version nor tables for link and parallelism."""
    for text in ('model = "m"\nchips = 5\nlink = "uart"\n', "version = 3\n"):
        path.write_text(text)
        with pytest.raises(ClusterFileError) as caught:
            read(path)
        assert str(caught.value) == (
            f"{path} was written by another version of this program: remove it, and flash all"
            " boards again"
        )


def test_macs_are_written_in_one_way():
    assert format_mac("34-85-18-AB-CD-EF") == format_mac("348518abcdef") == "34:85:18:ab:cd:ef"
    for text in ("", "34:85", "34:85:18:ab:cd:eg", "348518abcdef00"):
        with pytest.raises(ValueError, match="is not a MAC"):
            format_mac(text)
