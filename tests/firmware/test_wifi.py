"""Memory that Wi-Fi needs of ESP-IDF, which MicroPython's heap would take: stand-ins of esp32,
machine and gc have it as a board does."""

import gc
import sys

from firmware import heap
from firmware.links import wifi
from tests.dual import raises


class Board:
    """ESP-IDF's memory, of which `idf` bytes are free in one piece, and modules that show it."""

    HEAP_DATA = 4

    def __init__(self, idf):
        self.idf = idf
        self.uarts = []
        self._modules = {name: sys.modules.get(name) for name in ("esp32", "machine")}

    def __enter__(self):
        sys.modules["esp32"] = sys.modules["machine"] = self
        return self

    def __exit__(self, *_):
        for name, module in self._modules.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module

    def idf_heap_info(self, kind):
        assert kind == self.HEAP_DATA
        return [(400, 96, 96, 96), (200_000, self.idf + 500, self.idf, 0)]

    def UART(self, number, rxbuf):
        return Uart(self, number, rxbuf)


class Uart:
    """machine.UART, whose buffer is ESP-IDF's."""

    def __init__(self, board, number, rxbuf):
        self.board, self.rxbuf = board, rxbuf
        board.idf -= rxbuf
        board.uarts.append(number)

    def deinit(self):
        self.board.idf += self.rxbuf


class GrowingGc:
    """MicroPython's gc on a board: what the heap can grow by counts as free."""

    def __init__(self, board, inside):
        self.board, self.inside = board, inside

    def collect(self):
        pass

    def mem_free(self):
        return self.inside + self.board.idf


def test_a_filler_takes_nothing_that_the_heap_does_not_have_yet():
    before = heap.gc
    try:
        for inside, size, expected in ((60_000, 20_000, True), (20_000, 40_000, False)):
            with Board(100_000) as board:
                heap.gc = GrowingGc(board, inside)
                made = heap.filler(size)
                assert (made is not None) == expected
                assert made is None or len(made) <= inside - size
    finally:
        heap.gc = before


def test_the_heap_of_a_simulated_chip_does_not_grow():
    assert heap.room() is None
    assert wifi.begin({"gateway": False, "uart": {"id": 1}}) is None
    wifi.verify()


def test_memory_for_sending_is_held_until_the_node_stands():
    config = {"gateway": False, "uart": {"id": 1}}
    with Board(50_000) as board:
        held = wifi.begin(config)
        assert heap.room() == 50_000 - 4096 and board.uarts == [1]
        board.idf = 0  # the heap grows as far as it can
        held.deinit()
        wifi.verify()
        assert heap.room() == 4096


def test_a_gateway_whose_line_is_the_uart_that_would_lend_it_holds_none():
    with Board(50_000) as board:
        assert wifi.begin({"gateway": True, "uart": {"id": 1}}) is None
        assert wifi.begin({"gateway": True, "uart": {"id": "repl"}})
        assert board.uarts == [1]


def test_a_chip_that_could_send_nothing_says_so():
    gc.collect()
    with Board(96):
        error = raises(MemoryError, wifi.verify)
    assert "Wi-Fi has 96 bytes left to send with, and needs 1024" in str(error)
