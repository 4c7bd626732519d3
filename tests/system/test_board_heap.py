"""What plans for boards add to those of simulated chips: a board's own modules and line."""

import pytest

from host.hardware.ram import ON_BOARD
from host.parallel.heap import SIXTH_STRINGS
from tests.heap_use import kept_bytes
from tests.system.repl_chips import BOARD, repl_federation

HEAP = 1 << 20
ROUNDING = 900  # bytes by which a figure is above what is measured, at most
# Before the program: what stands in for a board's C, which counts for nothing, and so many names
# that no piece more of the table of strings is needed with the board than without.
BEFORE = b"""import machine, neopixel
machine.Pin, machine.WDT
class Names: pass
for i in range(300):
    setattr(Names, "some_name_%d" % i, i)
"""


def used(model, folder, link, key, board, is_prepared):
    """Bytes that each of three chips has in use beside what is planned, by chip."""

    def prepare(chip, files):
        if is_prepared:
            files["main.py"] = BEFORE + files["main.py"]

    with repl_federation(
        model, folder, 3, heap=HEAP, mtu=250 if link == "espnow" else None, key=key, board=board,
        change=prepare,
    ) as (running, _, _):  # fmt: skip
        executor = running.executor
        kept = kept_bytes(executor, running.coordinator)
    return {
        shard.chip: kept[shard.chip] - executor.plan.heap_need(shard).kept
        for shard in executor.plan.shards
    }


@pytest.mark.parametrize("link", ["uart", "espnow"])
@pytest.mark.parametrize(
    "key", [b"", pytest.param(bytes(32), marks=pytest.mark.verify)], ids=["unsigned", "signed"]
)
def test_plans_for_boards_count_their_modules_and_their_line(model, tmp_path, link, key):
    plain = used(model, tmp_path / "a", link, key, None, is_prepared=False)
    without = used(model, tmp_path / "b", link, key, None, is_prepared=True)
    with_board = used(model, tmp_path / "c", link, key, BOARD, is_prepared=True)
    if link == "espnow" and key:
        # Stand-ins' names, which a board has in its C, are what this gateway's strings take one
        # piece more for.
        assert plain[0] > SIXTH_STRINGS / 2
        plain[0] -= SIXTH_STRINGS
    more = {chip: plain[chip] + with_board[chip] - without[chip] for chip in plain}
    assert ON_BOARD[link] - ROUNDING <= max(more.values()) <= ON_BOARD[link], more
