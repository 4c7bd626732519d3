"""Simulated chips: one MicroPython process each, with the same files that a board would hold."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import tty
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from host.build.bundle import split_files
from host.build.compilation import compiled
from host.errors import ClusterError, naming_file
from host.private_file import open_private
from host.setup import micropython
from host.simulation.hub import HubProcess
from host.simulation.wires import Wires
from protocol.fragment import LEAST_MTU

_STANDINS = Path(__file__).parent / "standins"
_PARTITION = "partition.bin"  # see standins/flash/esp32.py
_ENTRIES_IN_USE = 24  # from the first on, as an emulated ESP32-S3 had them
_START = "from firmware.main import run; run()"
_CONFIG = "config.json"
_UART = "FEDERATION_UART", "FEDERATION_UART_NEXT"  # see standins/_uart.py
_LAST_WORDS = 400  # characters of a dead chip's output worth showing
# Exit codes of a chip that resets itself (standins/machine.py): 70 and the cause it sees then.
_RESET_EXIT, _RESETS = 70, (72, 73, 75)


class SimulatedChip:
    """One chip's folder, process and UART.

    The UART is a terminal whose other end the host opens or, in a ring, wires from the chip before
    and to the next one.
    """

    def __init__(
        self,
        chip: int,
        folder: Path,
        config: bytes,
        heap: int,
        environment: Mapping[str, str],
        uart: tuple[int, ...] = (),
        url: str = "",
    ) -> None:
        """config: the content of config.json. Since it has the cluster key, the folder only has a
        link to a file that disappears with the process. uart: file descriptors, as described in
        standins/_uart.py; url: where the host opens the chip's line, empty if it has none."""
        self.chip = chip
        self.folder = folder
        self._config = config
        self._heap = heap
        self._environment = dict(environment)
        self._uart, self.url = uart, url
        self.process = self._started()

    def _started(self) -> subprocess.Popen[bytes]:
        link = self.folder / _CONFIG
        link.unlink(missing_ok=True)
        with (
            open(self.folder / "output.txt", "ab") as output,
            open_private(self._config) as config,
        ):
            link.symlink_to(config.path)
            return subprocess.Popen(
                [micropython.find(), "-X", f"heapsize={self._heap}", "-c", _START],
                cwd=self.folder,
                env={
                    **self._environment,
                    "MICROPYPATH": ".:standins:.frozen",
                    **dict(zip(_UART, map(str, self._uart), strict=False)),
                },
                pass_fds=[*self._uart, config.descriptor],
                stdin=subprocess.PIPE,  # when it closes, the chip knows that its host is gone
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the host, which ends the chips
            )

    def restart(self) -> None:
        """Switches the chip off and on: all that it held in memory is lost."""
        self._environment.pop("FEDERATION_RESET_CAUSE", None)
        self._end()
        self.process = self._started()

    def resume(self) -> None:
        """Starts the process again if the chip has reset itself, as a board does by itself."""
        code = self.process.poll()
        if code in _RESETS:
            self._environment["FEDERATION_RESET_CAUSE"] = str(code - _RESET_EXIT)
            self._end()
            self.process = self._started()

    def fate(self) -> str | None:
        """Returns how the process ended, as text, None while it runs."""
        code = self.process.poll()
        if code is None:
            return None
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        text = (self.folder / "output.txt").read_text(errors="replace").strip()
        last = text.splitlines()[-1][-_LAST_WORDS:] if text else ""
        return how + (f", last words: {last}" if last else "")

    def close(self) -> None:
        """Ends the process."""
        self._end()

    def _end(self) -> None:
        self.process.kill()
        self.process.wait()
        with suppress(BrokenPipeError):
            assert self.process.stdin is not None
            self.process.stdin.close()


class SimulatedCluster:
    """All chips of a simulation and, for ESP-NOW, the radio between them.

    A context manager: at its end all processes end, and their folders are removed.
    """

    def __init__(
        self,
        files: Mapping[int, Mapping[str, bytes]],
        *,
        arch: str,
        heap: int,
        radio: Mapping[str, Any] | None = None,
        mtus: Mapping[int, int] | None = None,
        weights_room: int = 0,
        ring: Mapping[str, Any] | None = None,
    ) -> None:
        """files: each chip's files, content by path; arch: for which mpy-cross compiles; heap:
        bytes of each chip's; radio: options of the hub, None for no radio; mtus: by chip, bytes of
        the longest packet that its radio takes, by default 250; weights_room: bytes of the flash
        partition of chips whose weights stay there; ring: options of Wires, None if each chip has
        its own line to the host.

        Raises SetupError if there is no MicroPython.
        """
        self._exit = ExitStack()
        self.chips: dict[int, SimulatedChip] = {}
        micropython.find()
        try:
            temporary = tempfile.TemporaryDirectory(prefix="federation")
            folder = Path(self._exit.enter_context(temporary))
            environment: dict[str, str] = {}
            if radio is not None:
                hub = self._exit.enter_context(_hub(radio))
                environment["FEDERATION_HUB"] = str(hub.port)
            # As machine code, which lies outside the heap, like the C modules of a board.
            standins = _standins(_STANDINS, arch)
            written: dict[bytes, Path] = {}
            uarts = self._uarts(len(files), ring)
            for chip, content in files.items():
                own = folder / f"chip{chip}"
                named, weights = split_files(content)
                del named[_CONFIG]
                _write(own, {**standins, **named}, written)
                if weights:
                    _write(own, _standins(_STANDINS / "flash", arch), written)
                    _write_partition(own / _PARTITION, weights, weights_room)
                config = content[_CONFIG]
                mapping = mapping_environment(config)
                if mapping:
                    _write(own, _standins(_STANDINS / "mapped", arch), written)
                own_radio = {
                    "FEDERATION_MAC": f"0242{chip:08x}",
                    "FEDERATION_MTU": str((mtus or {}).get(chip, LEAST_MTU)),
                    **mapping,
                }
                self.chips[chip] = SimulatedChip(
                    chip, own, config, heap, {**environment, **own_radio}, *uarts[chip]
                )
                self._exit.callback(self.chips[chip].close)
        except BaseException:
            self.close()
            raise

    def _uarts(
        self, count: int, ring: Mapping[str, Any] | None
    ) -> list[tuple[tuple[int, ...], str]]:
        """Returns each chip's `uart` and `url`."""
        if ring is None:
            terminals = [self._exit.enter_context(_terminal()) for _ in range(count)]
            return [((master,), url) for master, url in terminals]
        wires = Wires(count, **ring)
        self._exit.callback(wires.close)
        host, url = self._exit.enter_context(_terminal())
        return [
            ((host if source is None else source, host if sink is None else sink), url)
            for source, sink in wires.ends
        ]

    def watch(self) -> None:
        """Raises ClusterError, with its last output, if a chip's process has ended for good."""
        for chip in self.chips.values():
            chip.resume()
            fate = chip.fate()
            if fate is not None:
                raise ClusterError(f"chip {chip.chip} died: {fate}")

    def close(self) -> None:
        """Ends all processes."""
        self._exit.close()

    def __enter__(self) -> SimulatedCluster:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def _terminal() -> Iterator[tuple[int, str]]:
    """Yields a chip's end of a terminal, and the path of the other end, which the host opens.

    The other end is kept open here too, so that the chip sees no hang-up before the host opens it.
    """
    master, slave = os.openpty()
    try:
        tty.setraw(slave)
        os.set_blocking(master, False)
        yield master, os.ttyname(slave)
    finally:
        os.close(master)
        os.close(slave)


def _standins(folder: Path, arch: str) -> dict[str, bytes]:
    """Returns the modules that stand in for a board's, content by path on the chip."""
    return {
        f"standins/{path.stem}.mpy": compiled(path.read_bytes(), path.name, arch, "native")
        for path in folder.glob("*.py")
        if path.name != "__init__.py" or folder == _STANDINS
    }


def mapping_environment(config: bytes, fault: str = "") -> dict[str, str]:
    """Returns the environment variables that describe a chip's MMU to its stand-in, none for a
    chip that maps no weights.

    config: the content of config.json; fault: what goes wrong, as
    host/simulation/standins/mapped/_mmu.py lists it.
    """
    mapping = json.loads(config).get("weights", {}).get("map")
    if not isinstance(mapping, list):
        return {}
    _, free, entries, window, *tables = mapping
    where = "+".join(map(str, tables))
    described = f"{window},{where},{entries},{free},{_ENTRIES_IN_USE},{fault}"
    return {"FEDERATION_MMU": described}


def _write_partition(path: Path, content: bytes, size: int) -> None:
    """Writes a flash partition of `size` bytes: the content, then erased flash."""
    with naming_file(path), open(path, "wb") as file:
        file.write(content)
        while (left := size - file.tell()) > 0:
            file.write(b"\xff" * min(left, 1 << 16))


def _hub(options: Mapping[str, float]) -> HubProcess:
    try:
        return HubProcess(**options)
    except RuntimeError as error:
        raise ClusterError(f"the simulated radio did not start: {error}") from None


def _write(folder: Path, files: Mapping[str, bytes], written: dict[bytes, Path]) -> None:
    """Writes a chip's files; written: where each content has been written already.

    Equal files of several chips are hard links to one file: chips do not write to these files.
    """
    for parent in {(folder / name).parent for name in files}:
        parent.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = folder / name
        with naming_file(path):
            if content in written:
                path.hardlink_to(written[content])
            else:
                path.write_bytes(content)
                written[content] = path
