"""A board for tests: a REPL on a terminal of its own, a UART, resets, and a plug to pull.

The port behaves as a board's USB serial port does for mpremote. The board is a MicroPython
process that runs repl.py; a reset ends it, and the next is started on the same flash.
"""

import os
import select
import signal
import subprocess
import termios
import threading
import tty

from host.setup import micropython
from tests.simulation.launch import REPOSITORY, STANDINS

_REPL = REPOSITORY / "tests" / "standin_board" / "repl.py"
_SOFT_RESETS = {3: "friendly", 4: "raw"}  # by exit code, as repl.py has them
_HARD_RESET = 72
MPY_SUB_VERSION = 3
ARCHITECTURES = {"x86": 1, "xtensawin": 10, "rv32imc": 11}  # py/persistentcode.h


def mpy_number(arch):
    """`sys.implementation._mpy` of a board that loads version 6 files for `arch`."""
    return (ARCHITECTURES[arch] << 2 | MPY_SUB_VERSION) << 8 | 6


class StandinBoard:
    """A context manager. `port`: path of the REPL's terminal; `uart`: of the cluster's UART;
    `resets`: how often machine.reset() was called; `received`: bytes from the host so far."""

    def __init__(self, folder, arch="x86", version="1.27.0", blocks=256):
        """folder: for the flash, of `blocks` blocks of 4 KB; arch, version: what it claims."""
        self._image = folder / "flash.img"
        self._identity = [str(blocks), version, str(mpy_number(arch))]
        self.resets = self.received = 0
        self._unplug_at = None  # bytes received
        self._uart, self._uart_slave = _terminal()
        os.set_blocking(self._uart, False)
        self.uart = os.ttyname(self._uart_slave)
        self._plug_in()

    def unplug_after(self, size):
        """Power and port go when `size` more bytes have come from the host."""
        self._unplug_at = self.received + size

    def replug(self):
        """Power on again; the port has a new name."""
        self._thread.join()
        self._plug_in()

    def close(self):
        """Power off, for good."""
        self._stop()
        for terminal in (self._uart, self._uart_slave):
            os.close(terminal)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _plug_in(self):
        # Kept open here, so that the port stays while no program has it.
        self._usb, self._usb_slave = _terminal()
        os.set_blocking(self._usb, False)
        self.port = os.ttyname(self._usb_slave)
        self._wake, self._waker = os.pipe()
        self._unplug_at = None
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
                mode = self._until_reset(mode)
        finally:
            for end in (self._usb, self._usb_slave, self._wake):
                os.close(end)

    def _until_reset(self, mode):
        """The mode to start the next process in, None without power."""
        console, slave = os.openpty()
        _board_terminal(slave)
        reports, report = os.pipe()
        process = subprocess.Popen(
            [micropython.find(), "-X", "heapsize=1M", _REPL,
             self._image, *self._identity, mode, str(report)],
            env={**os.environ, "MICROPYPATH": f"{STANDINS}", "FEDERATION_UART": str(self._uart)},
            stdin=slave, stdout=slave, stderr=slave, pass_fds=[report, self._uart],
            start_new_session=True,
        )  # fmt: skip
        os.close(slave)
        os.close(report)
        try:
            powered = self._pump(process, console, reports)
        finally:
            process.kill()
            code = process.wait()
            os.close(console)
            os.close(reports)
        if not powered:
            return None
        self.resets += code == _HARD_RESET
        return _SOFT_RESETS.get(code, "friendly")

    def _pump(self, process, console, reports):
        """Carries bytes until the process ends, or power: whether there is power still."""
        running, interrupted = None, False
        while True:
            ready = select.select([self._usb, console, reports, self._wake], [], [])[0]
            if self._wake in ready:
                return False
            if reports in ready:
                running = os.read(reports, 256)[-1:] == b"R"
                if running and interrupted:
                    process.send_signal(signal.SIGINT)
                interrupted = False
            if console in ready:
                try:
                    self._show(os.read(console, 4096))
                except OSError:
                    return True  # the process has ended
            if self._usb in ready:
                data = os.read(self._usb, 4096)
                self.received += len(data)
                if self._unplug_at is not None and self.received >= self._unplug_at:
                    return False
                if b"\x03" in data and running is not False:
                    # To code that runs, or that will when the board has started.
                    data = data.replace(b"\x03", b"")
                    interrupted = not running
                    if running:
                        process.send_signal(signal.SIGINT)
                os.write(console, data)

    def _show(self, data):
        """What the host does not read in a second is lost."""
        while data and select.select([], [self._usb], [], 1)[1]:
            data = data[os.write(self._usb, data) :]


def _terminal():
    master, slave = os.openpty()
    tty.setraw(slave)
    return master, slave


def _board_terminal(slave):
    """Raw, but \\n goes out as \\r\\n."""
    tty.setraw(slave)
    attributes = termios.tcgetattr(slave)
    attributes[1] |= termios.OPOST | termios.ONLCR
    termios.tcsetattr(slave, termios.TCSANOW, attributes)
