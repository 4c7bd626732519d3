"""Maps the flash partition with weights into the chip's addresses, so that kernels read in place.

A chip's MMU has a table of entries, one for each 64 KB of addresses at which flash appears. A
valid entry is the number of a 64 KB page of the flash. ESP-IDF fills the table when it starts and
when a program asks it to, from the lowest free addresses upwards, and does not know of what is
written here: so entries are taken from the top downwards, and only such as read as free, in one
piece. Entries that hold exactly these pages already, from before a soft reset, are used as they
are. What is mapped is then compared with what the flash driver reads.

No silicon has confirmed this. A file says that a trial is under way: a chip that crashes in one
does not map again until it is flashed. This module is unloaded when the weights are loaded.
"""

import sys

from protocol.compat import const, micropython, ptr32

_PAGE_BITS = const(16)
_PAGE = const(65535)
_SECTOR_BITS = const(12)
_ADDRESS = const(2)  # the index of the address in what Partition.info returns
_SAMPLE = const(64)  # bytes that are compared at each end of a page
_TRIED = "being tried"
_RIGHT = "mapped"
_OUTCOME = "mapping.txt"
# Points, as firmware/kernel_choice.py counts them: one reset that is no power loss is enough.
_ENOUGH = const(4)
# Milliseconds: much more than reading 16 MB takes; and for the rest of the start, because an
# ESP32's watchdog cannot be stopped.
_LIMIT_MS = const(120_000)
_STARTING_MS = const(3_600_000)


class MapError(Exception):
    """Why the weights are not mapped, as text."""


def map_weights(settings, file, buffers, verify):
    """Maps as much of a partition as there are free entries for.

    settings: as firmware/compute/partition.py describes them; their "map" is the end of the
    machine's name, the value of a free entry, the number of entries, the address of the first
    one's page, and the addresses of the tables, of which each core may have its own; or a text.
    Afterwards it is a text: "mapped", "mapped in part (which)" or "in blocks (why)".
    file: a PartitionFile, which then reads what is mapped there; buffers: two, to work in;
    verify(file): returns the digest of the file, or raises an exception.
    Returns that digest; None if nothing is mapped.
    """
    try:
        said, digest = _map(settings, file, buffers, verify)
    except Exception as error:
        file.mapped = b""
        said, digest = "in blocks (%s)" % error, None
    settings["map"] = said
    return digest


def _map(settings, file, buffers, verify):
    wanted = settings["map"]
    if isinstance(wanted, str):
        raise MapError(wanted)
    machine, free, entries, window = wanted[:4]
    tables = wanted[4:]
    address = file.partition.info()[_ADDRESS]
    page, pages = address >> _PAGE_BITS, (file.size + _PAGE) >> _PAGE_BITS
    name = getattr(sys.implementation, "_machine", "").replace("-", "")
    if not name.endswith(machine):
        raise MapError("flashed for %s, and this is %s" % (machine, name))
    if address & _PAGE:
        raise MapError("the partition does not begin at a multiple of 64 KB")
    is_new, at, count = _find(tables, entries, free, page, pages)
    key = "%s %s" % (settings["sha256"][:16], sys.version)
    from firmware import kernel_choice as trial

    is_right = _begin_trial(trial, key)
    # An access that hangs is a crash too. No watchdog on a simulated chip, which names no machine.
    watchdog = trial.machine.WDT if machine and not is_right else dict  # dict() does nothing
    watchdog(timeout=_LIMIT_MS)
    try:
        if is_new:
            for table in tables:
                write_entries(table, at, count, page, 1)
        from uctypes import bytearray_at

        mapped = bytearray_at(window + (at << _PAGE_BITS), count << _PAGE_BITS)
        _compare(file, mapped, buffers)
        file.mapped = mapped
        digest = verify(file)
    except Exception as error:
        # Entries that held these pages before may be of another program.
        for table in tables if is_new else ():
            write_entries(table, at, count, free, 0)
        trial.record(key, str(error), 0, _OUTCOME)
        raise
    finally:
        watchdog(timeout=_STARTING_MS)
    if not is_right:
        trial.record(key, _RIGHT, 0, _OUTCOME)
    if count < pages:
        return "mapped in part (%d of %d pages of 64 KB)" % (count, pages), digest
    return _RIGHT, digest


def _find(tables, entries, free, page, pages):
    """Returns whether entries have to be written, the first of them, and how many there are, at
    most `pages`. Raises MapError if none is free."""
    first, last = tables[0], tables[-1]
    for count in range(pages, 0, -1):
        at = find_mapped(first, last, entries, page, count)
        if at >= 0:
            return False, at, count
        at = find_free(first, last, entries, free, count)
        if at >= 0:
            return True, at, count
    raise MapError("the MMU has no free entry")


def _begin_trial(trial, key):
    """Records that a trial has begun, unless this mapping has proved right: then it returns True.
    Raises MapError if it has failed."""
    outcome, points = trial.recorded(key, _OUTCOME)
    if outcome == _TRIED:
        outcome, points = "", points + trial.points_of_restart()
        if points >= _ENOUGH:
            outcome = "the chip crashed when it mapped them"
            trial.record(key, outcome, 0, _OUTCOME)
    if outcome and outcome != _RIGHT:
        raise MapError(outcome)
    if not outcome:
        trial.record(key, _TRIED, points, _OUTCOME)
    return outcome == _RIGHT


def _compare(file, mapped, buffers):
    """Raises MapError unless each page begins and ends as the flash driver reads it."""
    end = min(len(mapped), file.size)
    read, seen = [memoryview(buffer)[:_SAMPLE] for buffer in buffers]
    view = memoryview(mapped)
    for page in range((end + _PAGE) >> _PAGE_BITS):
        begin = page << _PAGE_BITS
        for at in (begin, min(begin + _PAGE + 1, end) - _SAMPLE):
            at = max(at, 0)
            file.partition.readblocks(at >> _SECTOR_BITS, read, at & ((1 << _SECTOR_BITS) - 1))
            seen[:] = view[at : at + _SAMPLE]
            if seen != read:
                raise MapError("page %d is not what the flash driver reads" % page)


@micropython.viper
def find_free(table: ptr32, other: ptr32, entries: int, free: int, count: int) -> int:
    """Returns the highest entry from which on `count` entries are free in both tables; -1 if there
    is none."""
    run = 0
    while entries:
        entries -= 1
        run += 1
        if table[entries] != free:
            run = 0
        if other[entries] != free:
            run = 0
        if run == count:
            return entries
    return -1


@micropython.viper
def find_mapped(table: ptr32, other: ptr32, entries: int, page: int, count: int) -> int:
    """Returns the highest entry from which on `count` entries hold the pages from `page` on, in
    both tables; -1 if there is none."""
    run = 0
    page += count - 1
    while entries:
        entries -= 1
        value = table[entries]
        if other[entries] != value:
            value = -1
        if value != page - run:
            run = 0
        if value == page - run:
            run += 1
        if run == count:
            return entries
    return -1


@micropython.viper
def write_entries(table: ptr32, at: int, count: int, value: int, step: int):
    """Writes `value` into the entry `at` of a table, and `step` more into each of the `count`
    entries from there on."""
    count += at
    while at < count:
        table[at] = value
        value += step
        at += 1
