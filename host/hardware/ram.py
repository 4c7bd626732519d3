"""What a board's RAM is spent on: the heap of MicroPython, machine code, Wi-Fi and ESP-IDF."""

from __future__ import annotations

# Machine code of the firmware in bytes, which lies outside the heap, by who adds up the partial
# sums: for Xtensa, where it is longer, with kernels for the shipped model; over the radio, the
# gateway's (tests/host/test_machine_code.py). Native kernels for RISC-V take 3.9 KB less than
# those of viper's compiler, in whose place they are loaded, and programs of them 2.6 KB more;
# what those take of the heap, 3.8 KB with 6 layers, they do without where it is not free.
# RISC-V chips that sign on a serial line take up to SERVING_SIGNED more, out of what IDF is left.
SERVING_SIGNED = 400
MACHINE_CODE = {
    "host": {"uart": 35_900, "espnow": 38_300},
    "chips": {"uart": 43_300, "espnow": 45_800},
}
# Bytes that ESP-IDF takes as it runs, and that areas of the heap lose at their ends: an estimate.
# Over ESP-NOW a chip keeps as many for frames that it sends (firmware/links/wifi.py).
IDF = 4_096
# KiB of PSRAM that are not heap: 8,299,616 bytes of 8 MB were free at the prompt of an ESP32-S3
# (https://github.com/PIBSAS/MicroPython_ESP32-S3-WROOM-1-N16R8_with_SmartConfig/issues/1), which
# is 87 KiB less; the rest is a margin.
PSRAM_OVERHEAD_KB = 92
# Bytes that a board adds to a simulated chip: firmware/board.py and links/repl.py with what they
# keep, and the buffers in which fragments are reassembled, with some that come again;
# tests/system/test_repl_line.py.
ON_BOARD = {"uart": 8_320, "espnow": 3_000}
# Bytes of the code that plans count (host/parallel/heap.py) and that a board does not have, as
# its modules machine, network and espnow are C: measured (tests/simulation/test_standin_heap.py),
# less what their objects may take there: 500 bytes, and on the radio 3,000, for a part of espnow
# is Python on a board too.
STANDINS = {"uart": 3_100, "espnow": 8_700}


def psram_heap(psram_kb: int) -> int:
    """Returns how many bytes of heap lie in so much PSRAM."""
    return (psram_kb - PSRAM_OVERHEAD_KB) * 1024


def internal_heap(ram_kb: int, code_kb: int, wifi_kb: int, link: str, reduce: str) -> int:
    """Returns how many bytes of heap the internal RAM leaves beside machine code and Wi-Fi.

    ram_kb: free at the prompt; code_kb: beside that, for machine code alone; wifi_kb: what Wi-Fi
    takes, over ESP-NOW; link, reduce: as the keys of MACHINE_CODE.
    """
    code = max(0, MACHINE_CODE[reduce][link] - code_kb * 1024)
    wifi = wifi_kb * 1024 if link == "espnow" else 0
    return ram_kb * 1024 - code - IDF - wifi


def planned(heap: int, link: str) -> int:
    """Returns the heap with which a plan, which counts in simulated chips, may count on a board
    whose heap grows to `heap` bytes."""
    return heap - ON_BOARD[link] + STANDINS[link]
