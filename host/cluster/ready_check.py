"""Verifies that a flashed board starts: its chip must report READY with what was written."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from host.build.configuration import REPL_MTU
from host.build.firmware_version import firmware_version
from host.cluster.coordinator import Coordinator
from host.cluster.dispatcher import Dispatcher
from host.cluster.place import Place
from host.errors import ClusterError, FlashError
from host.links.access import REPL_BAUD, PortClosed, open_exclusively
from host.links.transport import Line, Port, Transport
from host.model.quantized import QuantizedModel
from host.wire.reports import Ready
from host.wire.session import HostAuthenticator
from protocol.messages import HASH_SIZE

# Seconds: a board starts, waits two seconds for a user who wants its prompt, and loads its shard.
READY_TIMEOUT = 20.0

# Seconds in which a board starts, or its program ends. Until then it is sent zeros: MicroPython
# ignores them, and to the node they mean that no user wants the prompt.
_START_SECONDS, _POKE_EVERY, _POKE = 3.0, 0.25, b"\0"
_PROMPT = b">>> "
_TRACEBACK = re.compile(rb"Traceback .*\r?\n(?: .*\r?\n)*\S.*\n")
_PORT_TIMEOUT = 6.0  # seconds for native USB to come back


class _StartingPort:
    """A board's port that keeps all that was read from it, to find the error of a program."""

    def __init__(self, port: Port) -> None:
        self.name, self._port, self._text = port.name, port, b""
        self.baudrate = port.baudrate

    @property
    def in_waiting(self) -> int:
        return self._port.in_waiting

    def fileno(self) -> int:
        return self._port.fileno()

    def read(self, size: int) -> bytes:
        data = self._port.read(size)
        self._text += data
        return data

    def write(self, data: bytes) -> int:
        return self._port.write(data)

    def close(self) -> None:
        self._port.close()

    def find_failure(self) -> FlashError | None:
        """Returns an error if the board has printed an exception or come to its prompt, else None.

        A program that fails is started again every few seconds, and fails again.
        """
        if _PROMPT not in self._text and not _TRACEBACK.search(self._text):
            return None
        return FlashError(
            f"the board was written, and its program fails: {_exception(self._text)}"
        )


def await_ready(
    model: QuantizedModel, place: Place, locate: Callable[[], str | None], timeout: float
) -> tuple[Ready, str]:
    """Returns the READY of a chip that has started, and the port at which it came.

    locate: returns the port of the chip or its gateway; it is called again and again, because
    native USB disappears in a reset and may come back under another name. timeout: seconds. Raises
    FlashError if the chip does not answer, has failed to start, or is not what was written.
    """
    port = _open_started(locate)

    def watch() -> None:
        if failure := port.find_failure():
            raise failure

    transport = Transport({place.chip: Line(port)}, REPL_MTU)
    signer = HostAuthenticator(place.key) if place.key else None
    try:
        coordinator = Coordinator(Dispatcher(transport, [place.chip], signer), watch=watch)
        answers = coordinator.handshake([place.chip], timeout, where="after flashing")
    except ClusterError as error:
        raise FlashError(f"the board was written, and does not start: {error}") from None
    finally:
        transport.close()
    _check(answers[place.chip], place.chip, model)
    return answers[place.chip], port.name


def _check(ready: Ready, chip: int, model: QuantizedModel) -> None:
    expected = model.sha256()[:HASH_SIZE]
    if ready.model_hash != expected:
        raise FlashError(
            f"chip {chip} holds model {ready.model_hash.hex()}, not {expected.hex()}: flash it"
            " again"
        )
    if ready.firmware != firmware_version():
        raise FlashError(
            f"chip {chip} runs firmware {ready.firmware}, not {firmware_version()}: flash it again"
        )


def _open_started(locate: Callable[[], str | None]) -> _StartingPort:
    """Opens the port of a board, and waits until it has had time to start.

    Raises FlashError if the board has failed to start by then, or its port does not come back.
    """
    opened: _StartingPort | None = None
    quiet_until = 0.0
    give_up = time.monotonic() + _PORT_TIMEOUT
    while opened is None or time.monotonic() < quiet_until:
        try:
            if opened is None:
                opened = _open(locate())
                quiet_until = time.monotonic() + _START_SECONDS
            opened.write(_POKE)
            opened.read(opened.in_waiting)
        except PortClosed as error:
            if time.monotonic() > give_up:
                raise FlashError(f"the board was written, and does not answer: {error}") from None
        except OSError:
            opened = None
        if opened is not None and (failure := opened.find_failure()):
            opened.close()
            raise failure
        time.sleep(_POKE_EVERY)
    return opened


def _open(url: str | None) -> _StartingPort:
    if url is None:
        raise PortClosed("it is on no port", "plug it in")
    return _StartingPort(open_exclusively(url, REPL_BAUD))


def _exception(text: bytes) -> str:
    """Returns the line of a traceback that names the exception."""
    lines = text.decode(errors="replace").split("Traceback")[-1].splitlines()
    named = [line for line in lines[1:] if line and not line.startswith(" ")]
    return named[0] if named else "look at it by mpremote"
