"""What a board's RAM is spent on: the heap of MicroPython, machine code, Wi-Fi and ESP-IDF."""

from __future__ import annotations

from protocol.fragment import LEAST_MTU

# Machine code of the firmware in bytes, which lies outside the heap: by the kernels that a board
# has beside viper's (host/hardware/kernels.py), who adds up the partial sums, and the place of a
# chip, with kernels for the shipped model (tests/host/test_machine_code.py). It is that of native
# kernels, or of viper's where they are longer, in whose place they are loaded. What programs take
# of the heap, 3.8 KB with 6 layers, they do without where it is not free.
MACHINE_CODE = {
    "viper": {
        "host": {"uart": 30_000, "espnow": 28_400, "gateway": 32_500},
        "chips": {"uart": 40_100, "espnow": 38_500, "gateway": 42_600},
    },
    "rv32im": {
        "host": {"uart": 30_300, "espnow": 26_000, "gateway": 29_600},
        "chips": {"uart": 40_300, "espnow": 39_300, "gateway": 42_900},
    },
    "lx6": {
        "host": {"uart": 26_300, "espnow": 23_400, "gateway": 27_500},
        "chips": {"uart": 35_100, "espnow": 33_500, "gateway": 37_600},
    },
}
MACHINE_CODE["pie"] = MACHINE_CODE["lx6"]
# What is added where frames are not signed, and have a CRC-32.
UNSIGNED_CODE = 1_300
# What firmware/links/ring.py adds to a serial line's.
RING_CODE = 500
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
ON_BOARD = {"uart": 2_300, "espnow": 2_900, "ring": 2_300}
# Bytes of the code that plans count (host/parallel/heap.py) and that a board does not have, as
# its modules machine, network and espnow are C: measured (tests/simulation/test_standin_heap.py),
# less what their objects may take there: 500 bytes, and on the radio 3,000, for a part of espnow
# is Python on a board too.
STANDINS = {"uart": 3_100, "espnow": 8_700, "ring": 3_100}


# Of the five longest frames that plans count beside ESP-NOW's receive buffer, a board has one. The
# rest count as far as they are longer than short ones, of which STANDINS knows.
_STANDIN_FRAMES = 4


def psram_heap(psram_kb: int) -> int:
    """Returns how many bytes of heap lie in so much PSRAM."""
    return (psram_kb - PSRAM_OVERHEAD_KB) * 1024


def internal_heap(ram_kb: int, code_kb: int, wifi_kb: int, code: int) -> int:
    """Returns how many bytes of heap the internal RAM leaves beside machine code and Wi-Fi.

    ram_kb: free at the prompt; code_kb: beside that, for machine code alone; wifi_kb: what Wi-Fi
    takes; code: bytes of machine code.
    """
    return ram_kb * 1024 - max(0, code - code_kb * 1024) - IDF - wifi_kb * 1024


def planned(heap: int, link: str, mtu: int | None = None) -> int:
    """Returns the heap with which a plan, which counts in simulated chips, may count on a board
    whose heap grows to `heap` bytes; mtu: of its radio, None on UART."""
    longer = max(0, (mtu or 0) - LEAST_MTU)
    return heap - ON_BOARD[link] + STANDINS[link] + _STANDIN_FRAMES * longer
