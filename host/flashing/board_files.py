"""Reads and writes the files of a board that runs MicroPython, over its REPL (by mpremote)."""

from __future__ import annotations

import ast
import contextlib
import errno
import io
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from mpremote.transport import (  # type: ignore[import-untyped]
    TransportError,
    TransportExecError,
)
from mpremote.transport_serial import SerialTransport  # type: ignore[import-untyped]

from host.errors import FlashError
from host.flashing.changes import File
from host.links.access import explain_closed

# Seconds for a board to come to its prompt, at each attempt: a board that has just been reset, as
# some are when their port is opened, misses the first.
ATTEMPTS = (2.0, 5.0, 5.0)
_READ_TIMEOUT = 2  # seconds for a byte that is expected at once
_HASHING_TIMEOUT = 60  # seconds for a file: one of several MB fits a board's flash
# Bytes of content in a statement, which has up to four times as many characters: more would be
# faster, but this takes little heap of a board that has just been reset.
_CHUNK = 1024

_SYSTEM = """
import binascii, machine, os, sys
s, v = sys.implementation, os.statvfs("/")
mac = binascii.hexlify(machine.unique_id(), ":").decode()
print((tuple(s[1][:3]), getattr(s, "_mpy", 0), v[0], v[3], mac))
"""

# A folder is listed after its content, so that files can be removed in this order.
_FILES = """
import binascii, hashlib, os
b = memoryview(bytearray(1024))
def show(path):
    h, size = hashlib.sha256(), 0
    with open(path, "rb") as file:
        n = file.readinto(b)
        while n:
            h.update(b[:n])
            size += n
            n = file.readinto(b)
    print((path, size, binascii.hexlify(h.digest()).decode()))
def walk(folder):
    for name, kind, *_ in os.ilistdir(folder):
        path = folder + "/" + name
        if kind & 0x4000:
            walk(path)
            print((path + "/", 0, ""))
        else:
            show(path)
top = [entry[0] for entry in os.ilistdir("/")]
for name in {folders}:
    if name in top:
        walk(name)
for name in {names}:
    if name in top:
        show(name)
"""

# Prints the SHA-256 at the end of a shard in a partition; nothing without such a partition.
_PARTITION = """
try:
    import binascii, esp32
    found = esp32.Partition.find(esp32.Partition.TYPE_DATA, label={label!r})
    if found and found[0].info()[3] >= {size}:
        at, b = {size} - 32, bytearray(32)
        found[0].readblocks(at // 4096, b, at % 4096)
        print(binascii.hexlify(b).decode())
except ImportError:
    pass
"""

_REMOVE = """
import os
if {path!r}.endswith("/"):
    os.rmdir({path!r}[:-1])
else:
    os.remove({path!r})
"""

_MAKE_FOLDER = """
import os
if {folder!r} not in os.listdir("/"):
    os.mkdir({folder!r})
"""

# The pause lets the host close the port first.
_RESET = "import machine, time\ntime.sleep_ms(100)\nmachine.reset()"


@dataclass(frozen=True)
class System:
    """What runs on a board, its file system (bytes of a block, number of free blocks), and its
    MAC, as 34:85:18:00:00:01."""

    version: tuple[int, int, int]
    mpy: int  # sys.implementation._mpy, 0 if .mpy files are not loaded
    block: int
    free_blocks: int
    mac: str


class BoardFiles:
    """A context manager for a board that was soft-reset and waits for statements.

    All methods raise FlashError.
    """

    def __init__(self, port: str) -> None:
        """port: a device or any URL that pyserial knows."""
        self._port = port
        self._doing = "stopping what it runs"
        self._transport = _opened(port)
        try:
            self._interrupt()
        except BaseException:
            self._close()
            raise

    def system(self) -> System:
        """Returns what runs on the board, and how much room its file system has."""
        self._doing = "asking what it is"
        with self._failures():
            return System(*ast.literal_eval(self._run(_SYSTEM)))

    def files(self, folders: Iterable[str], names: Iterable[str]) -> dict[str, File]:
        """Returns all files in `folders`, and those of `names` that exist; a folder comes after
        its content."""
        self._doing = "listing its files"
        program = _FILES.format(folders=tuple(folders), names=tuple(names))
        with self._failures():
            entries = map(ast.literal_eval, self._run(program).splitlines())
            return {path: File(size, sha256) for path, size, sha256 in entries}

    def partition_sha256(self, label: str, size: int) -> str:
        """Returns the SHA-256 at the end of the first `size` bytes of a partition, in hexadecimal;
        "" if the partition does not exist or is smaller."""
        self._doing = "looking at its weights"
        with self._failures():
            return self._run(_PARTITION.format(label=label, size=size)).strip()

    def remove(self, path: str) -> None:
        """Removes a file or, if the path ends with "/", an empty folder."""
        self._doing = f"removing {path}"
        with self._failures():
            self._run(_REMOVE.format(path=path))

    def make_folder(self, name: str) -> None:
        """Makes a folder at the top, if it does not exist."""
        self._doing = f"making the folder {name}"
        with self._failures():
            self._run(_MAKE_FOLDER.format(folder=name))

    def write(self, path: str, content: bytes, written: Callable[[int], None]) -> None:
        """Writes a file; `written` is called with the number of bytes written so far."""
        self._doing = f"writing {path}"
        with self._failures():
            self._transport.fs_writefile(path, content, _CHUNK, lambda done, size: written(done))

    def reset(self) -> None:
        """Resets the board, as switching it off and on would; it cannot be used afterwards."""
        self._doing = "resetting it"
        with self._failures():
            self._transport.exec_raw_no_follow(_RESET)
            self._transport.in_raw_repl = False

    def _run(self, program: str) -> str:
        """Returns what a program prints."""
        output, error = self._transport.exec_raw(program, timeout=_HASHING_TIMEOUT)
        if error:
            raise TransportExecError(output, error.decode(errors="replace"))
        return output.decode()

    def _interrupt(self) -> None:
        """Stops what runs, and brings the board to the raw REPL with an empty heap."""
        for timeout in ATTEMPTS:
            try:
                # mpremote prints what came instead of an answer.
                with contextlib.redirect_stdout(io.StringIO()):
                    self._transport.enter_raw_repl(timeout_overall=timeout)
                return
            except TransportError:
                continue
            except OSError as error:
                raise self._lost(error) from None
        raise FlashError(
            f"no MicroPython answers on {self._port}: check that it is the board's port and that"
            " MicroPython is on the board, or press its reset button"
        )

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        """Turns errors of mpremote and pyserial into FlashError, and adds to a KeyboardInterrupt
        what was being done."""
        try:
            yield
        except KeyboardInterrupt:
            raise KeyboardInterrupt(self._doing) from None
        except TransportExecError as error:
            last = error.error_output.strip().splitlines()[-1]
            raise FlashError(
                f"the board on {self._port} failed while {self._doing}: {last}"
            ) from None
        except OSError as error:
            if error.errno == errno.ENOSPC:  # of the board's file system
                raise FlashError(
                    f"the file system of the board on {self._port} became full while"
                    f" {self._doing}"
                ) from None
            raise self._lost(error) from None
        except (TransportError, struct.error, SyntaxError, ValueError) as error:
            raise self._lost(error) from None

    def _lost(self, error: Exception) -> FlashError:
        return FlashError(
            f"lost the board on {self._port} while {self._doing} ({str(error) or 'no answer'}):"
            " the same command goes on from there"
        )

    def _close(self) -> None:
        with contextlib.closing(self._transport.serial), contextlib.suppress(OSError):
            if self._transport.in_raw_repl:
                # A soft reset starts main.py again, if there is one.
                self._transport.exit_raw_repl()
                self._transport.serial.write(b"\x04")
            self._transport.close()

    def __enter__(self) -> BoardFiles:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()


def _opened(port: str) -> SerialTransport:
    try:
        return SerialTransport(port, timeout=_READ_TIMEOUT)
    except ValueError as error:
        raise FlashError(f"cannot open {port}: {error}") from None
    except TransportError:
        raise FlashError(explain_closed(port)) from None
