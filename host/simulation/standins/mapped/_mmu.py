# mypy: ignore-errors
"""Stand-in for a chip's MMU, on a simulated chip that maps its flash partition.

The table of entries is memory of this process at an address of its own, which the firmware reads
and writes as it does a chip's; so is the window, in which pages of the partition's file appear. No
access can be trapped here: entries are obeyed when the partition is read by its driver, which the
firmware does before it compares. What no valid entry maps cannot be read: the process ends.

FEDERATION_MMU: the address of the window, those of the tables (one for each core), the number of
entries, the value of a free one, how many are in use from the first on, and what goes wrong: "",
"wrong" (the second page appears as the first), "stale" (a byte within the first page differs), or
"crash" (no entry is obeyed, so that the first access ends the process).
"""

import os

import ffi
import uctypes

_READ, _WRITE = 1, 2  # of mmap: access
_SHARED, _PRIVATE, _FIXED, _ANONYMOUS, _NO_REPLACE = 1, 2, 0x10, 0x20, 0x100000
_PAGE_BITS = 16
_PROGRAM_PAGES = 31
_STALE_AT = 0x2345


def start(file, first, size, address):
    """Makes the tables and the window; returns a function that has entries be obeyed.

    file, first, size: the file that holds the partition, the offset of it there, and its bytes;
    address: of the partition in the flash. Raises OSError if there is no room at these addresses.
    """
    window, tables, entries, free, used, fault = os.getenv("FEDERATION_MMU").split(",")
    window, entries, free, used = int(window), int(entries), int(free), int(used)
    map_memory = ffi.open(None).func("i", "mmap", "iiiiii")
    words = {"words": (uctypes.ARRAY, entries | uctypes.UINT32)}

    def map_at(where, count, access, flags, handle=-1, offset=0):
        if map_memory(where, count, access, flags, handle, offset) != where:
            raise OSError(12)

    def make_table(where):
        map_at(where, 4 * entries, _READ | _WRITE, _PRIVATE | _ANONYMOUS | _NO_REPLACE)
        table = uctypes.struct(where, words).words
        for at in range(entries):
            # Entries in use hold pages of the program; the last one is the bootloader's.
            table[at] = 1 + at % _PROGRAM_PAGES if at < used or at == entries - 1 else free
        return table

    map_at(window, entries << _PAGE_BITS, 0, _PRIVATE | _ANONYMOUS | _NO_REPLACE)
    tables = [int(table) for table in tables.split("+")]
    now = uctypes.bytearray_at(tables[0], 4 * entries)
    tables = [make_table(table) for table in tables]
    seen = bytearray(now)
    page, pages, handle = address >> _PAGE_BITS, -(-size >> _PAGE_BITS), file.fileno()

    def obey():
        """Maps and unmaps what the tables have changed; they must agree."""
        if fault == "crash" or now == seen:
            return
        for at in range(entries):
            value = tables[0][at]
            if now[4 * at : 4 * at + 4] == seen[4 * at : 4 * at + 4] or value != tables[-1][at]:
                continue
            where, which = window + (at << _PAGE_BITS), value - page
            if not 0 <= which < pages:
                map_at(where, 1 << _PAGE_BITS, 0, _PRIVATE | _ANONYMOUS | _FIXED)
                continue
            which -= fault == "wrong" and which == 1
            access, sharing = (_READ | _WRITE, _PRIVATE) if fault == "stale" else (_READ, _SHARED)
            offset = first + (which << _PAGE_BITS)
            map_at(where, 1 << _PAGE_BITS, access, sharing | _FIXED, handle, offset)
            if fault == "stale" and which == 0:
                uctypes.bytearray_at(where + _STALE_AT, 1)[0] ^= 1
        seen[:] = now

    return obey
