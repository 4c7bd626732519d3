"""What is known of the MMUs through which chips read flash at addresses, by chip.

From ESP-IDF (components/soc/CHIP/include/soc/ext_mem_defs.h, components/hal/CHIP/include/hal/
mmu_ll.h): SOC_MMU_ENTRY_NUM, SOC_MMU_INVALID, SOC_MMU_DBUS_VADDR_BASE, pages of 64 KB, and that a
valid entry for flash is the number of its page; the tables' addresses: DR_REG_MMU_TABLE, and on an
ESP32 DPORT_PRO_FLASH_MMU_TABLE and DPORT_APP_FLASH_MMU_TABLE. Of an ESP32's entries, the first 64
are for data. docs/flash-mapped.md tells what was tried.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from host.hardware.board import PAGE, Board


@dataclass(frozen=True)
class Mmu:
    """One chip's MMU.

    machine: how MicroPython ends the machine's name (`sys.implementation._machine`), without
    dashes; free: what a free entry reads; entries: their number, of which `taken` are what a
    program and its bootloader have at most; window: the address of the first entry's page; tables:
    their addresses, for each core its own; has_psram: whether PSRAM is mapped by the same entries.
    """

    machine: str
    free: int
    entries: int
    taken: int
    window: int
    tables: tuple[int, ...]
    has_psram: bool = False

    @property
    def settings(self) -> list[object]:
        """What firmware/compute/mapping.py reads."""
        return [self.machine, self.free, self.entries, self.window, *self.tables]


# MicroPython's image ends at 2 MB: 31 pages from 64 KB on, one more where read-only data ends and
# code begins, and the entry at the end of the table that the bootloader reads flash through. On an
# ESP32 the entries from 40 on were free in an emulator.
_TAKEN = 33
MMUS = {
    "esp32s3": Mmu("ESP32S3", 0x4000, 512, _TAKEN, 0x3C000000, (0x600C5000,), has_psram=True),
    "esp32c3": Mmu("ESP32C3", 0x100, 128, _TAKEN, 0x3C000000, (0x600C5000,)),
    "esp32": Mmu("ESP32", 0x100, 64, 40, 0x3F400000, (0x3FF10000, 0x3FF12000)),
}
# Where the MMU of a simulated chip is in the memory of its process
# (host/simulation/standins/mapped/_mmu.py).
_WINDOW, _TABLES = 0x24000000, (0x20000000, 0x20010000)


def find_mmu(board: Board) -> Mmu | None:
    """Returns a board's MMU, that of an ESP32-S3 for simulated chips; None if it is not known."""
    return MMUS.get(board.chip or "esp32s3")


def map_settings(board: Board, *, is_simulated: bool = False) -> list[object] | str:
    """Returns the settings of a chip that describe its MMU, or why it cannot map anything."""
    mmu = find_mmu(board)
    if not mmu:
        return f"the MMU of an {board.chip} is not known"
    if is_simulated:
        tables = _TABLES[: len(mmu.tables)]
        mmu = replace(mmu, machine="", window=_WINDOW, tables=tables)
    return mmu.settings


def mapped_room(board: Board) -> int:
    """Returns how many bytes of a board's flash can be mapped beside its program and its PSRAM, 0
    if none."""
    mmu = find_mmu(board)
    if not mmu:
        return 0
    psram = 1024 * board.psram_kb // PAGE if mmu.has_psram else 0
    return max(0, mmu.entries - mmu.taken - psram) * PAGE
