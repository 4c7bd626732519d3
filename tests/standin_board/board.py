"""A board for tests: a USB serial port, a UART, a flash chip, resets, and a plug to pull.

The port is a pseudo-terminal, and behind it is what would be on a real board: the ROM bootloader
(rom.py) while esptool talks to it, and otherwise what is in the flash, which is the REPL of a
MicroPython process (repl.py) on the littlefs that the partition table tells of, or nothing.
"""

import os
import select
import termios
import threading
import time
import tty

from host.flashing.filesystem_image import make_filesystem
from host.hardware.boards import load
from host.setup import micropython
from tests.simulation.launch import REPOSITORY, STANDINS
from tests.standin_board.flash_chip import SECTOR, FlashChip
from tests.standin_board.micropython_image import (
    filesystem_in,
    micropython_image,
    version_in,
    weights_in,
)
from tests.standin_board.rom import SYNC, Rom
from tests.standin_board.spawner import Spawner

_REPL = REPOSITORY / "tests" / "standin_board" / "repl.py"
_SOFT_RESETS = {3: "friendly", 4: "raw"}  # by exit code, as repl.py has them
_HARD_RESET = 72
_BOOTLOADER = "bootloader"
_LOOK_EVERY = 0.1  # seconds
_RESET_S = 30  # this machine may be busy
_SMALL_APP_END = 0x30000  # where the file system of a small flash begins
MPY_SUB_VERSION = 3
ARCHITECTURES = {"x86": 1, "xtensawin": 10, "rv32imc": 11}  # py/persistentcode.h


def mpy_number(arch):
    """`sys.implementation._mpy` of a board that loads version 6 files for `arch`."""
    return (ARCHITECTURES[arch] << 2 | MPY_SUB_VERSION) << 8 | 6


class StandinBoard:
    """A context manager. `port`: path of the USB port's terminal; `uart`: of the cluster's UART;
    `flash`: its FlashChip; `resets`: how often machine.reset() was called; `received`: bytes from
    the host so far."""

    def __init__(self, folder, arch="x86", version="1.27.0", blocks=256, *, kind="esp32s3",
                 blank=False, mac="240a c400 0001", hub=None, files=None):  # fmt: skip
        """folder: for the flash; arch: what its MicroPython claims to load; version: of the
        MicroPython that is there, on a file system of `blocks` blocks of 4 KB; blank: with the
        whole flash that boards/<kind>.toml tells of, erased, in their place; hub: of the radio;
        files: what the file system holds, by path, as if it had been flashed before."""
        self.mac = bytes.fromhex(mac)
        self._kind, self._arch = load(kind).chip, arch
        size = load(kind).flash.size if blank else _SMALL_APP_END + blocks * SECTOR
        self.flash = FlashChip(folder / "flash.img", size)
        if not blank:
            board = load(kind)
            image = micropython_image(board, version, end=_SMALL_APP_END)
            self.flash.write(board.flash.offset, image)
        if files:
            offset, room = filesystem_in(self.flash)
            self.flash.write(offset, make_filesystem(files, room))
        self.resets = self.received = 0
        self.noisy_above = None  # bits a second beyond which its line damages what it carries
        self._unplug_at = self._unplug_written = None  # bytes received, an offset in the flash
        self._uart, self._uart_slave = _terminal()
        os.set_blocking(self._uart, False)
        self.uart = os.ttyname(self._uart_slave)
        self._environment = {
            **os.environ,
            "MICROPYPATH": f"{STANDINS}",
            "FEDERATION_UART": "{uart}",
            "FEDERATION_MAC": self.mac.hex(),
        }
        if hub is not None:
            self._environment["FEDERATION_HUB"] = str(hub.port)
        self._spawner = Spawner()
        self._usb_slaves = []
        self._plug_in()

    def unplug_after(self, size):
        """Power and port go when `size` more bytes have come from the host."""
        self._unplug_at = self.received + size

    def unplug_at(self, offset):
        """Power and port go when the bootloader has written to this offset of the flash or a
        higher one, before it answers."""
        self.flash.last_written = -1
        self._unplug_written = offset

    @property
    def is_plugged(self):
        """Whether it has power, and so a port."""
        return self._thread.is_alive()

    def await_reset(self, resets):
        """Returns as soon as it was reset more often than so many times."""
        deadline = time.monotonic() + _RESET_S
        while self.resets <= resets:
            assert time.monotonic() < deadline, "no reset came"
            time.sleep(0.01)

    def replug(self, pause=0.0):
        """Power on again, so many seconds after it went; the port has a new name."""
        self._thread.join()
        time.sleep(pause)
        self._plug_in()

    def close(self):
        """Power off, for good."""
        self._stop()
        self._spawner.close()
        for terminal in (self._uart, self._uart_slave, *self._usb_slaves):
            os.close(terminal)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _plug_in(self):
        self._usb, self._usb_slave = _terminal()
        # Open to the end: the port stays while no program has it, and no other terminal gets the
        # name of one that was unplugged, under which esptool looks for it again.
        self._usb_slaves.append(self._usb_slave)
        os.set_blocking(self._usb, False)
        self.port = os.ttyname(self._usb_slave)
        self._wake, self._waker = os.pipe()
        self._unplug_at = self._unplug_written = None
        self._waiting = b""  # bytes from the host, for what starts next
        self._thread = threading.Thread(target=self._powered, daemon=True)
        self._thread.start()

    def _stop(self):
        if self._waker is not None:
            os.close(self._waker)
            self._waker = None
        self._thread.join()

    def _powered(self):
        mode = "friendly"
        try:
            while mode:
                if mode == _BOOTLOADER:
                    mode = self._in_bootloader()
                elif version_in(self.flash) is None:
                    mode = self._without_program()
                else:
                    mode = self._until_reset(mode)
        finally:
            for end in (self._usb, self._wake):
                os.close(end)

    def _from_host(self, *others, timeout=None):
        """Bytes from the host, empty when one of `others` is ready too or after `timeout` seconds;
        None without power."""
        if self._waiting:
            data, self._waiting = self._waiting, b""
            return data
        ready = select.select([self._usb, self._wake, *others], [], [], timeout)[0]
        if self._wake in ready:
            return None
        if self._usb not in ready:
            return b""
        data = os.read(self._usb, 4096)
        if self.noisy_above is not None and _baud(self._usb_slave) > self.noisy_above:
            data = data[:-1] + bytes([data[-1] ^ 0x10])
        self.received += len(data)
        if self._unplug_at is not None and self.received >= self._unplug_at:
            return None
        return data

    def _in_bootloader(self):
        """The mode to start in after the reset that ends it; None without power."""
        rom = Rom(self._kind, self.flash, self.mac)
        while True:
            data = self._from_host(timeout=_LOOK_EVERY)
            if data is None:
                return None
            if not data and rom.flash_was_compared and not self._is_held():
                return "friendly"  # esptool has reset it, by lines that a terminal does not have
            answers, self._waiting = rom.feed(data)
            written = self.flash.last_written
            if self._unplug_written is not None and written >= self._unplug_written:
                return None
            self._show(answers)
            if self._waiting:
                return "friendly"

    def _is_held(self):
        """Whether a program has locked the port, as esptool does for as long as it runs."""
        status = os.fstat(self._usb_slave)
        device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
        with open("/proc/locks") as locks:
            return any(device in line.split() for line in locks)

    def _without_program(self):
        """The ROM finds nothing to start and says so."""
        self._show(b"invalid header: 0xffffffff\r\n")
        data = b""
        while data is not None:
            if SYNC in data:
                self._waiting = data[data.index(SYNC) :]
                return _BOOTLOADER
            data = self._from_host()
        return None

    def _until_reset(self, mode):
        """The mode to start the next process in, None without power."""
        console, slave = os.openpty()
        _board_terminal(slave)
        command = [
            micropython.find(), "-X", "heapsize=1M", _REPL, self.flash.path,
            *filesystem_in(self.flash), version_in(self.flash), mpy_number(self._arch), mode,
        ]  # fmt: skip
        environment = self._environment
        if weights := weights_in(self.flash):
            where = f"{self.flash.path} {weights[0]} {weights[1]}"
            environment = {**environment, "FEDERATION_PARTITION": where}
        self._spawner.start(list(map(str, command)), environment, slave, uart=self._uart)
        os.close(slave)
        try:
            mode = self._pump(console)
        finally:
            code = self._spawner.end()
            os.close(console)
        if mode != "ended":
            return mode
        self.resets += code == _HARD_RESET
        return _SOFT_RESETS.get(code, "friendly")

    def _pump(self, console):
        """Carries bytes until the process has "ended", or to the next mode; None without power.

        What comes as the process ends is for the next one: neither end of a terminal tells when.
        """
        while True:
            data = self._from_host(console)
            if data is None:
                return None
            if SYNC in data:
                self._waiting = data[data.index(SYNC) :]
                return _BOOTLOADER
            try:
                if select.select([console], [], [], 0)[0]:
                    self._show(os.read(console, 4096))
                if data:
                    os.write(console, data)
            except OSError:
                self._waiting = data
                return "ended"

    def _show(self, data):
        """What the host does not read in a second is lost."""
        while data and select.select([], [self._usb], [], 1)[1]:
            data = data[os.write(self._usb, data) :]


def _baud(slave):
    """Bits a second that a host has set a terminal to, as far as they differ here."""
    speed = termios.tcgetattr(slave)[5]
    return {termios.B115200: 115_200, termios.B57600: 57_600}.get(speed, 460_800)


def _terminal():
    master, slave = os.openpty()
    tty.setraw(slave)
    return master, slave


def _board_terminal(slave):
    """Raw, but \\n goes out as \\r\\n; the program may let Ctrl-C alone interrupt it."""
    tty.setraw(slave)
    attributes = termios.tcgetattr(slave)
    attributes[1] |= termios.OPOST | termios.ONLCR
    attributes[3] |= termios.NOFLSH  # a board keeps what else has come
    for key in (termios.VQUIT, termios.VSUSP):
        attributes[6][key] = b"\0"
    termios.tcsetattr(slave, termios.TCSANOW, attributes)
