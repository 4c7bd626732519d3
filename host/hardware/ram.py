"""Computes how a board's RAM is divided: heap of MicroPython, machine code, Wi-Fi and ESP-IDF."""

from __future__ import annotations

from protocol.fragment import LEAST_MTU

# Bytes of the firmware's machine code, which lies outside the heap: by the board's native kernels
# (host/hardware/kernels.py), by whose code it is (Parallelism.code), and by the chip's place, with
# kernels for the shipped model (tests/host/test_machine_code.py). It is that of native kernels, or
# of viper's if these are longer, since a chip may run either. Programs take 3.8 KB of heap with 6
# layers, but are not used if that is not free.
MACHINE_CODE = {
    "viper": {
        "host": {"uart": 30_000, "espnow": 28_400, "gateway": 32_500},
        "chips": {"uart": 40_300, "espnow": 38_600, "gateway": 42_700},
        "gather": {"uart": 45_600, "espnow": 43_900, "gateway": 48_100},
        "stages": {"uart": 41_400, "espnow": 39_800, "gateway": 43_900},
    },
    "rv32im": {
        "host": {"uart": 30_300, "espnow": 26_000, "gateway": 29_600},
        "chips": {"uart": 43_400, "espnow": 41_200, "gateway": 44_800},
        "gather": {"uart": 44_500, "espnow": 42_600, "gateway": 47_100},
        "stages": {"uart": 44_800, "espnow": 42_500, "gateway": 46_100},
    },
    "lx6": {
        "host": {"uart": 26_300, "espnow": 23_400, "gateway": 27_500},
        "chips": {"uart": 35_200, "espnow": 33_600, "gateway": 37_700},
        "gather": {"uart": 43_100, "espnow": 41_400, "gateway": 45_600},
        "stages": {"uart": 39_000, "espnow": 37_300, "gateway": 41_400},
    },
}
MACHINE_CODE["pie"] = MACHINE_CODE["lx6"]
# Bytes added where frames are not signed, and have a CRC-32. On RISC-V, signing takes more, except
# for all-gather: its figures there are such that they hold for frames that are not signed too.
UNSIGNED_CODE = {"viper": 1_300, "rv32im": -400, "lx6": 1_300, "pie": 1_300}
# Bytes that mapped flash adds: what reads weights in blocks and what maps them, beside programs
# that take weights from there.
MAPPED_MACHINE_CODE = 7_500
# Bytes that firmware/links/ring.py adds to those of a serial line.
RING_CODE = 500
# An estimate of the bytes that ESP-IDF takes as it runs, and that areas of the heap lose at their
# ends. On ESP-NOW a chip reserves as many for frames to send (firmware/links/wifi.py).
IDF = 4_096
# KiB of PSRAM that are not heap: 8,299,616 bytes of 8 MB were free at the prompt of an ESP32-S3
# (https://github.com/PIBSAS/MicroPython_ESP32-S3-WROOM-1-N16R8_with_SmartConfig/issues/1), which
# is 87 KiB less; the rest is a margin.
PSRAM_OVERHEAD_KB = 92
# Bytes that a board adds to a simulated chip: firmware/board.py and links/repl.py with what they
# keep, and the buffers in which fragments are reassembled, with some that come again;
# tests/system/test_repl_line.py.
ON_BOARD = {"uart": 2_150, "espnow": 2_950, "ring": 2_300}
# Bytes of code that plans count (host/parallel/heap.py) but that take no heap on a board, because
# its modules machine, network and espnow are in C: measured (tests/simulation/
# test_standin_heap.py), less what their objects may take there: 500 bytes, and 3,000 on the radio,
# since a part of espnow is Python on a board too.
STANDINS = {"uart": 3_100, "espnow": 8_700, "ring": 3_100}


# Plans count five longest frames besides ESP-NOW's receive buffer, but a board has one. The others
# count here only by how much longer they are than short ones, which STANDINS includes.
_STANDIN_FRAMES = 4


def psram_heap(psram_kb: int) -> int:
    """Returns the bytes of heap in `psram_kb` KiB of PSRAM."""
    return (psram_kb - PSRAM_OVERHEAD_KB) * 1024


def internal_heap(ram_kb: int, code_kb: int, wifi_kb: int, code: int) -> int:
    """Returns the bytes of heap that internal RAM leaves beside machine code and Wi-Fi.

    ram_kb: KiB free at the prompt; code_kb: KiB besides these that only machine code can use;
    wifi_kb: KiB that Wi-Fi takes; code: bytes of machine code.
    """
    return ram_kb * 1024 - max(0, code - code_kb * 1024) - IDF - wifi_kb * 1024


def planned(heap: int, link: str, mtu: int | None = None) -> int:
    """Returns the heap, in bytes, that a plan may count with on a board whose heap grows to `heap`
    bytes. Plans count in simulated chips. mtu: of the board's radio, None on UART."""
    longer = max(0, (mtu or 0) - LEAST_MTU)
    return heap - ON_BOARD[link] + STANDINS[link] + _STANDIN_FRAMES * longer
