"""The functions that read and write an MMU's table, as compiled for the chips, instruction by
instruction: which words they write, and to which entries."""

import random

import numpy as np
import pytest

from bench.emulation.memory import Memory
from bench.emulation.module import EmulatedModule
from bench.emulation.processor import signed
from host.hardware.mmu import MMUS
from tests.simulation.launch import REPOSITORY

TARGETS = {"esp32s3": "xtensawin", "esp32": "xtensawin", "esp32c3": "rv32imc"}


class WatchedWords:
    """A memory's words; stores: for each that was stored, the address and the value."""

    def __init__(self, memory: Memory) -> None:
        self._words = memory.unsigned[4]
        self.stores: list[tuple[int, int]] = []

    def within(self, begin: int, size: int) -> list[tuple[int, int]]:
        """Those of so many bytes from an address on: others go to the stack."""
        return [(at, value) for at, value in self.stores if begin <= at < begin + size]

    def __len__(self) -> int:
        return len(self._words)

    def __getitem__(self, at: int) -> int:
        return self._words[at]

    def __setitem__(self, at: int, value: int) -> None:
        self.stores.append((Memory.BASE + 4 * at, value))
        self._words[at] = value


@pytest.fixture(scope="module", params=MMUS)
def chip(request):
    """A chip's MMU, and the module on its processor, whose stores are watched."""
    path = REPOSITORY / "firmware" / "compute" / "mapping.py"
    module = EmulatedModule(path.read_text(), path.name, TARGETS[request.param])
    memory = module._processor.memory
    watched = memory.unsigned[4] = WatchedWords(memory)
    return MMUS[request.param], module, watched


def find_run(holds, count):
    """The highest index from which on `count` items hold, -1 if there is none."""
    starts = range(len(holds) - count, -1, -1)
    return next((at for at in starts if all(holds[at : at + count])), -1)


def tables_of(mmu, seed):
    """Random tables with entries in use here and there, and in half of all cases pages 40 on."""
    random.seed(seed)
    values = [mmu.free] * mmu.entries
    for _ in range(random.randrange(1, 9)):
        first = random.randrange(mmu.entries)
        for at in range(first, min(first + random.randrange(1, 40), mmu.entries)):
            values[at] = random.randrange(200)
    if seed % 2:
        first = random.randrange(mmu.entries - 8)
        values[first : first + 8] = range(40, 48)
    tables = [list(values) for _ in mmu.tables]
    if len(tables) > 1 and seed % 3:
        tables[1][random.randrange(mmu.entries)] = 7  # of the other core alone
    return tables


def test_free_entries_are_found_where_all_tables_have_them(chip):
    mmu, module, watched = chip
    for seed in range(12):
        tables = tables_of(mmu, seed)
        module.clear()
        places = [module.placed(np.array(table)) for table in tables]
        watched.stores.clear()
        for count in (1, 3, 24):
            found = module.call("find_free", places[0], places[-1], mmu.entries, mmu.free, count)
            free = [all(table[at] == mmu.free for table in tables) for at in range(mmu.entries)]
            assert signed(found) == find_run(free, count)
        assert not any(watched.within(place, 4 * mmu.entries) for place in places)


def test_pages_that_are_mapped_already_are_found(chip):
    mmu, module, watched = chip
    for seed in range(12):
        tables = tables_of(mmu, seed)
        module.clear()
        places = [module.placed(np.array(table)) for table in tables]
        watched.stores.clear()
        for count in (1, 5, 8, 9):
            found = module.call("find_mapped", places[0], places[-1], mmu.entries, 40, count)
            right = [
                at
                for at in range(mmu.entries - count + 1)
                if all(table[at + i] == 40 + i for table in tables for i in range(count))
            ]
            assert signed(found) == max(right, default=-1)
        assert not any(watched.within(place, 4 * mmu.entries) for place in places)


def test_only_the_entries_of_the_run_are_written(chip):
    mmu, module, watched = chip
    for seed in range(8):
        (values, *_) = tables_of(mmu, seed)
        module.clear()
        table = module.placed(np.array(values))
        for count, page in ((1, 40), (5, 200)):
            at = module.call("find_free", table, table, mmu.entries, mmu.free, count)
            assert signed(at) >= 0
            watched.stores.clear()
            module.call("write_entries", table, at, count, page, 1)
            expected = [(table + 4 * (at + i), page + i) for i in range(count)]
            assert watched.within(table, 4 * mmu.entries) == expected
            mapped = list(values)
            mapped[at : at + count] = range(page, page + count)
            assert list(module.int32s(table, mmu.entries)) == mapped
            module.call("write_entries", table, at, count, mmu.free, 0)
            assert list(module.int32s(table, mmu.entries)) == values
