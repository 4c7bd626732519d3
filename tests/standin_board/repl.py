# ruff: noqa: RUF005, SIM115 (MicroPython has no contextlib, and files stay open)
"""What runs on a stand-in board: MicroPython's REPL with littlefs at / and a board's identity.

The unix port of 1.25 has no raw REPL, so this program is one: friendly, raw, raw-paste and soft
reset as shared/runtime/pyexec.c has them, for whoever is at the terminal (tests/standin_board/
board.py) that controls this process. While code runs, the terminal turns Ctrl-C into an interrupt.

Arguments: the flash's image file, offset and size of the file system in it, the version to claim
("1.27.0"), the `sys.implementation._mpy` to claim, "raw" or "friendly".
"""

import gc
import io
import os
import select
import sys
import termios
import time
from collections import namedtuple

import micropython
import vfs

BLOCK_SIZE = micropython.const(4096)
# Bytes that a host may send before it is asked for more. Boards have 128; each time costs turns of
# three processes.
_PASTE_WINDOW = micropython.const(1024)
_ISIG = micropython.const(1)  # of Linux's termios.h: keys of the terminal send signals
_VMIN = micropython.const(6)  # how many bytes a read waits for
SOFT_RESET, SOFT_RESET_RAW, HARD_RESET = 3, 4, 72  # exit codes; the last is machine.reset's

_CTRL_A, _CTRL_B, _CTRL_C, _CTRL_D, _CTRL_E = b"\x01", b"\x02", b"\x03", b"\x04", b"\x05"

Implementation = namedtuple("Implementation", ("name", "version", "_machine", "_mpy", "_build"))


class Flash:
    """A block device on a part of a file."""

    def __init__(self, path, offset, size):
        self._offset, self._blocks = offset, size // BLOCK_SIZE
        self._file = open(path, "r+b")

    def mounted(self):
        """The file system, made where there is none, as ports/esp32/modules/inisetup.py does."""
        first = bytearray(BLOCK_SIZE)
        self.readblocks(0, first)
        if first == b"\xff" * BLOCK_SIZE:
            vfs.VfsLfs2.mkfs(self)
        try:
            return vfs.VfsLfs2(self)
        except OSError:
            print("The filesystem appears to be corrupted.")
            while True:
                time.sleep(1)

    def readblocks(self, block, buffer, offset=0):
        self._file.seek(self._offset + block * BLOCK_SIZE + offset)
        self._file.readinto(buffer)

    def writeblocks(self, block, buffer, offset=0):
        self._file.seek(self._offset + block * BLOCK_SIZE + offset)
        self._file.write(buffer)

    def ioctl(self, operation, argument):
        if operation == 4:
            return self._blocks
        return BLOCK_SIZE if operation == 5 else 0


class BoardMicropython:
    """The module `micropython`, whose kbd_intr would end the process here."""

    def __init__(self, idle):
        """idle: what machine.idle waits with."""
        self._idle = idle
        self._watched = False
        # None of the keys at which a terminal sends a signal does so.
        self._terminal = termios.tcgetattr(0)
        self._poller = select.poll()
        self._poller.register(sys.stdin, select.POLLIN)

    def kbd_intr(self, key):
        """Ctrl-C as an interrupt (3), or no key (-1): then the terminal is the program's."""
        if key >= 0:
            self._unwatch()
            self._set(self._terminal[1], _ISIG)
        else:
            self._set(0, 0)  # frames go out as they are
            if not self._watched:
                self._watched = True
                self._idle.watch(sys.stdin, self)

    def code_has_ended(self):
        """Ctrl-C is for the prompt."""
        self._set(self._terminal[1], 0)
        self._unwatch()

    def _unwatch(self):
        if self._watched:
            self._watched = False
            self._idle.unwatch(sys.stdin, self)

    def _set(self, output, signals, least=1):
        attributes = list(self._terminal)
        attributes[1], attributes[3] = output, attributes[3] | signals
        attributes[6] = list(attributes[6])
        attributes[6][_VMIN] = least
        termios.tcsetattr(0, termios.TCSANOW, attributes)

    def begin_paste(self):
        """`paste` is called, and nothing else reads the terminal, until code_has_ended."""
        self._set(self._terminal[1], 0, 0)

    def paste(self, most):
        """What has come, at least a byte and at most so many; nothing where the terminal is
        gone."""
        self._poller.poll()
        return sys.stdin.buffer.read(most)

    def waiting(self):
        """Whether there is input, for machine.idle."""
        return bool(self._poller.poll(0))

    def held(self):
        """False, for machine.idle: what is not taken from the terminal stays in it."""
        return False

    def __getattr__(self, name):
        return getattr(micropython, name)


class Modules:
    """sys.modules of a board, from which those that are C cannot be taken."""

    def __init__(self, fixed):
        """fixed: names of modules that are C on a board."""
        self._fixed = fixed

    def pop(self, name, *default):
        return sys.modules[name] if name in self._fixed else sys.modules.pop(name, *default)

    def get(self, name):
        return sys.modules.get(name)

    def __getitem__(self, name):
        return sys.modules[name]


class BoardSys:
    """The module `sys` of a board of another version or architecture."""

    def __init__(self, version, mpy, fixed):
        self.modules = Modules(fixed)
        numbers = tuple(int(part) for part in version.split("."))
        self.implementation = Implementation(
            "micropython", numbers + ("",), "Stand-in board with x86", mpy, "STANDIN"
        )
        self.version = "3.4.0; MicroPython v" + version
        self.platform = "esp32"

    def __getattr__(self, name):
        return getattr(sys, name)


class Repl:
    """Reads statements from the terminal and runs them."""

    def __init__(self, board):
        """board: the BoardMicropython."""
        self._in = sys.stdin.buffer
        self._write = sys.stdout.buffer.write
        self._board = board
        self._ahead = b""  # came behind what was pasted
        self._globals = {"__name__": "__main__"}

    def run(self, source, name, interactive=False):
        """Runs a statement, which is bytes: on a board too, whatever comes in on the line. What it
        raises is printed in the friendly REPL, returned in raw."""
        try:
            code = compile(source.decode(), name, "single" if interactive else "exec")
            try:
                self._board.kbd_intr(3)
                exec(code, self._globals)
            finally:
                self._board.code_has_ended()
        except SystemExit:
            raise
        except BaseException as error:
            text = io.StringIO()
            sys.print_exception(error, text)
            return text.getvalue().encode()
        return b""

    def boot(self):
        """Runs the board's boot.py and, unless that fails, its main.py, where it has them."""
        for name in ("boot.py", "main.py"):
            try:
                with open(name, "rb") as file:
                    source = file.read()
            except OSError:
                continue
            error = self.run(source, name)
            self._write(error)
            if error:
                break

    def friendly(self):
        """The prompt for people; does not return."""
        banner = sys.modules["sys"].version.split("; ")[1]
        self._write(banner.encode() + b'; stand-in\nType "help()" for more information.\n>>> ')
        line = b""
        while True:
            key = self._key()
            if key == _CTRL_A:
                self.raw()
            elif key == _CTRL_D and not line:
                self._write(b"\nMPY: soft reboot\n")
                sys.exit(SOFT_RESET)
            elif key == b"\r" and line:
                self._write(b"\n")
                self._write(self.run(line, "<stdin>", True))
            elif key not in (b"\r", _CTRL_B, _CTRL_C):
                line += key
                self._write(key)
                continue
            line = b""
            self._write(b"\n>>> ")

    def raw(self):
        """The REPL for programs; returns at Ctrl-B."""
        self._write(b"raw REPL; CTRL-B to exit\n>")
        source = bytearray()
        while True:
            key = self._key()
            if key == _CTRL_A:
                self._write(b"raw REPL; CTRL-B to exit\n>")
            elif key == _CTRL_B:
                return
            elif key == _CTRL_E and not source:
                self._paste()
            elif key == _CTRL_D and not source:
                self._write(b"OK\nMPY: soft reboot\n")
                sys.exit(SOFT_RESET_RAW)
            elif key == _CTRL_D:
                self._write(b"OK")
                self._answer(source)
            elif key != _CTRL_C:
                source.extend(key)
                continue
            source = bytearray()

    def _paste(self):
        if self._key() != b"A" or self._key() != _CTRL_A:
            self._write(b"R\x00")
            return
        window = bytes((_PASTE_WINDOW & 0xFF, _PASTE_WINDOW >> 8))
        self._write(b"R\x01" + window + b"\x01")
        source, left = bytearray(), _PASTE_WINDOW
        self._board.begin_paste()
        while True:
            came = self._board.paste(left)
            if not came:
                sys.exit(0)
            end = min(came.find(key) % (left + 1) for key in (_CTRL_C, _CTRL_D))
            source.extend(came[:end])
            if end < len(came):
                break
            left -= len(came)
            if left == 0:
                self._write(b"\x01")
                left = _PASTE_WINDOW
        self._board.code_has_ended()
        key, self._ahead = came[end : end + 1], came[end + 1 :]
        self._write(_CTRL_D)
        if key == _CTRL_D:
            self._answer(source)
        else:
            self._write(b"\x04\x04>")

    def _answer(self, source):
        error = self.run(source, "<stdin>")
        self._write(_CTRL_D + error + b"\x04>")
        gc.collect()

    def _key(self):
        if self._ahead:
            key, self._ahead = self._ahead[:1], self._ahead[1:]
            return key
        key = self._in.read(1)
        if not key:
            sys.exit(0)  # the terminal is gone
        return key


def main(image, offset, size, version, mpy, mode):
    """Starts as a board does; does not return."""
    # Modules of the board, which lie outside its flash.
    fixed = [name[:-3] for name in os.listdir(STANDINS) if name.endswith(".py")]
    if os.getenv("FEDERATION_PARTITION"):
        fixed.append("esp32")  # which has a partition for weights
        sys.path.append(STANDINS + "/flash")
    for name in fixed:
        __import__(name)
    import _idle  # of the stand-in modules

    flash = Flash(image, int(offset), int(size))
    board = BoardMicropython(_idle)
    repl = Repl(board)
    vfs.umount("/")
    vfs.mount(flash.mounted(), "/")
    os.chdir("/")
    sys.path[:] = ["", ".frozen", "/lib"]
    sys.modules["sys"] = BoardSys(version, int(mpy), fixed)
    sys.modules["micropython"] = board
    started = False
    while True:
        try:
            if not started:
                started = True
                _start(repl, mode)
            repl.friendly()
        except KeyboardInterrupt:
            pass  # came as the code that it was for had just ended


def _start(repl, mode):
    if mode == "raw":
        repl.raw()
        repl._write(b"\n")
    else:
        repl.boot()


STANDINS = os.getenv("MICROPYPATH")
main(*sys.argv[1:])
