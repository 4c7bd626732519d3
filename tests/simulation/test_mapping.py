"""A chip that maps its flash partition: the firmware's own code on a stand-in of the MMU."""

import ast
import hashlib
import json
import random
import subprocess

import pytest

from host.hardware.boards import load
from host.hardware.mmu import map_settings
from host.simulation.chips import mapping_environment
from tests.simulation.launch import REPOSITORY, STANDINS

PROGRAM = """
import uctypes
from firmware.compute import partition
from firmware.compute.mapping import map_weights, write_entries

settings = {settings}
file = partition.PartitionFile(settings)
buffers = bytearray(8000), bytearray(8000)

class Moved:
    def info(self):
        return (1, 6, 0x281000, 0, "weights", False)

if {is_moved}:
    file.partition = Moved()
_, free, entries, window, *tables = {mapping}

def read_tables():
    words = {{"words": (uctypes.ARRAY, entries | uctypes.UINT32)}}
    return [[uctypes.struct(at, words).words[i] for i in range(entries)] for at in tables]

import machine

for at in tables if {is_held} else ():
    write_entries(at, 30, {pages}, {first}, 1)
timeouts, before, out = [], read_tables(), []
machine.WDT = lambda timeout: timeouts.append(timeout)
for _ in range(2):
    settings["map"] = {asked}
    verify = lambda file: partition._verify(file, settings, buffers[0])
    digest = map_weights(settings, file, buffers, verify)
    said = settings["map"] + (", %s" % timeouts if timeouts else "")
    out.append((said, digest, len(file.mapped), read_tables()))
print([before, out])
"""
PAGE, PAGES, FIRST = 0x10000, 5, 40  # of the partition, whose first page has this number
POWER_ON, HARD = "1", "2"  # why a chip starts


@pytest.fixture
def content(tmp_path):
    """A partition that ends within a page, with its SHA-256."""
    body = random.Random(1).randbytes(4 * PAGE + 1234)
    content = body + hashlib.sha256(body).digest()
    (tmp_path / "partition.bin").write_bytes(content + b"\xff" * (8 * PAGE - len(content)))
    return content


@pytest.fixture
def start(micropython, content, tmp_path):
    """Starts a chip that maps its partition twice; gives its exit code, its tables before that
    and, of both times, what it says, the digest, the mapped bytes, and the tables."""

    def run(board="esp32", used=24, fault="", asked=None, cause=POWER_ON, is_moved=False, sha="",
            is_held=False):  # fmt: skip
        mapping = map_settings(load(board), is_simulated=True)
        settings = {
            "label": "weights", "size": len(content), "block": 8000,
            "sha256": sha or content[-32:].hex(), "map": mapping,
        }  # fmt: skip
        environment = mapping_environment(json.dumps({"weights": settings}).encode(), fault)
        parts = environment["FEDERATION_MMU"].split(",")
        environment["FEDERATION_MMU"] = ",".join([*parts[:4], str(used), parts[5]])
        program = PROGRAM.format(
            settings=settings, mapping=mapping, is_moved=is_moved, asked=asked or mapping,
            is_held=is_held, pages=PAGES, first=FIRST,
        )  # fmt: skip
        standins = ":".join(str(STANDINS / name) for name in ("", "flash", "mapped"))
        process = subprocess.run(
            [micropython, "-X", "heapsize=1M", "-c", program],
            cwd=tmp_path, capture_output=True, text=True, check=False,
            env={
                "MICROPYPATH": f"{standins}:{REPOSITORY}:.frozen", "FEDERATION_RESET_CAUSE": cause,
                **environment,
            },
        )  # fmt: skip
        if process.returncode:
            return process.returncode, process.stderr, []
        return 0, *ast.literal_eval(process.stdout)

    return run


@pytest.mark.parametrize("board", ["esp32", "esp32c3", "esp32s3"])
def test_the_highest_free_entries_are_written_and_no_others(start, content, board):
    code, before, said = start(board)
    assert code == 0 and all(table == before[0] for table in before)
    assert len(before) == (2 if board == "esp32" else 1)
    at = len(before[0]) - 1 - PAGES  # the last entry is in use
    expected = list(before[0])
    expected[at : at + PAGES] = range(FIRST, FIRST + PAGES)
    # And after a soft reset the same entries are used as they are.
    assert said == [("mapped", content[-32:], PAGES * PAGE, [expected] * len(before))] * 2


@pytest.mark.parametrize(
    ("fault", "why"),
    [("wrong", "page 1 is not what the flash driver reads"), ("stale", "SHA-256")],
)
def test_what_is_mapped_wrongly_is_unmapped_and_not_tried_again(start, fault, why):
    code, before, (first, second) = start(fault=fault)
    assert code == 0 and why in first[0] and first[0].startswith("in blocks (")
    assert first[1:] == second[1:] == (None, 0, before) and second[0] == first[0]
    # Nor at a later start, until other weights are flashed.
    assert start()[2][0] == first
    other = start(sha="00" * 32)[2][0]
    assert "it does not have this chip's shard whole" in other[0] and other[2:] == (0, before)


def test_entries_that_held_the_pages_before_stay(start):
    """They may be of another program: whatever fails, they are not this one's to free."""
    _, before, said = start(sha="00" * 32, is_held=True)
    assert all(table[30 : 30 + PAGES] == [*range(FIRST, FIRST + PAGES)] for table in before)
    for text, digest, size, tables in said:
        assert text.startswith("in blocks (it does not have this chip's shard whole")
        assert (digest, size, tables) == (None, 0, before)


@pytest.mark.parametrize(("used", "count"), [(60, 3), (62, 1)])
def test_as_much_is_mapped_as_there_are_entries_for(start, content, used, count):
    _, before, (said, again) = start(used=used)
    assert said[:3] == (
        f"mapped in part ({count} of {PAGES} pages of 64 KB)", content[-32:], count * PAGE,
    )  # fmt: skip
    for table, mapped in zip(before, said[3], strict=True):
        assert mapped == [*table[:used], *range(FIRST, FIRST + count), table[63]]
    assert again == said


def test_without_a_free_entry_nothing_is_written(start):
    _, before, said = start(used=64)
    assert said == [("in blocks (the MMU has no free entry)", None, 0, before)] * 2


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"is_moved": True}, "the partition does not begin at a multiple of 64 KB"),
        ({"asked": "the MMU of an esp32c6 is not known"}, "the MMU of an esp32c6 is not known"),
        ({"asked": map_settings(load("esp32s3"))}, "flashed for ESP32S3, and this is linux"),
    ],
)
def test_what_cannot_be_mapped_is_told(start, tmp_path, how, why):
    _, before, said = start(**how)
    for text, digest, size, tables in said:
        assert text.startswith(f"in blocks ({why}") and (digest, size, tables) == (None, 0, before)
    assert not (tmp_path / "mapping.txt").exists()


def test_a_chip_that_crashes_as_it_maps_does_not_do_so_again(start):
    code, _, _ = start(fault="crash")
    assert code < 0  # by a signal
    _, before, said = start(cause=HARD)
    crashed = "in blocks (the chip crashed when it mapped them)", None, 0, before
    assert said == [crashed] * 2
    assert start()[2] == [crashed] * 2


def test_an_access_that_hangs_is_taken_for_a_crash(start):
    """The watchdog is set for the attempt, and to an hour after it. Any end of the machine's name
    will do."""
    mapping = map_settings(load("esp32"), is_simulated=True)
    expected = ["version", *mapping[1:]]
    _, _, said = start(asked=expected)
    assert [each[0] for each in said] == ["mapped, [120000, 3600000]"] * 2
    _, _, said = start(asked=expected, fault="wrong", sha="11" * 32)
    assert all(each[0].endswith("), [120000, 3600000]") for each in said)


def test_a_power_loss_while_it_maps_is_not_taken_for_a_crash(start):
    assert start(fault="crash")[0] < 0
    assert [each[0] for each in start(cause=POWER_ON)[2]] == ["mapped"] * 2
