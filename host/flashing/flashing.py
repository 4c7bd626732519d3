"""Writing a board's whole flash, MicroPython and a chip's files, and hearing from the chip."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from typing import Any

from host.build.configuration import REPL_BAUD, REPL_MTU
from host.build.firmware_version import firmware_version
from host.cluster.coordinator import Coordinator
from host.cluster.dispatcher import Dispatcher
from host.errors import ClusterError, FlashError
from host.flashing import esptool
from host.flashing.esptool import ConnectedChip, Segment
from host.flashing.filesystem_image import filesystem_image, segments
from host.flashing.firmware_image import FirmwareImage
from host.flashing.placing import Place
from host.links.access import PortClosed, exclusive_port
from host.links.transport import Line, Transport
from host.model.quantized import QuantizedModel
from host.wire.reports import Ready
from host.wire.session import HostAuthenticator
from protocol.messages import HASH_SIZE

# Seconds: a board starts, waits two for who wants its prompt, and loads its share.
READY_PATIENCE = 20.0

# Seconds in which a board starts, or its program ends. Until then it is sent zeros: nothing to
# MicroPython and, to the node, that nobody wants the prompt.
_START_SECONDS, _POKE_EVERY, _POKE = 3.0, 0.25, b"\0"
_PROMPT = b">>> "
_TRACEBACK = re.compile(rb"Traceback .*\r?\n(?: .*\r?\n)*\S.*\n")
_PORT_PATIENCE = 6.0  # seconds for native USB to come back

# Called with what is being written, and how many bytes are there of how many in all.
Progressed = Callable[[str, int, int], None]


def checked_chip(place: Place) -> ConnectedChip:
    """The chip on the place's port, which stays in its bootloader. Raises FlashError where it is
    not of the board's kind."""
    found = esptool.chip_on(place.port)
    if found.kind != place.board.chip:
        esptool.run_on(place.port)
        raise FlashError(
            f"the chip on {place.port} is an {found.kind}, and {place.board.name} has an"
            f" {place.board.chip}: is it another board, or another port?"
        )
    return found


def flash_content(
    model: QuantizedModel, place: Place, image: FirmwareImage, flash_size: int
) -> list[Segment]:
    """What is to be written to a board's flash of so many bytes, MicroPython first.

    Raises FlashError, BuildError or ModelError.
    """
    assert place.board.flash is not None
    files = place.files(model, place.plan(model), image.version)
    region = image.filesystem(flash_size)
    content = filesystem_image(files, region.size)
    return [
        Segment("MicroPython", place.board.flash.offset, image.content),
        *(Segment("files", region.offset + offset, part) for offset, part in segments(content)),
    ]


def flashed(
    place: Place, content: Sequence[Segment], chip: ConnectedChip, progressed: Progressed
) -> int:
    """Writes `content` to the flash of a board, which then starts; how many bytes that were.

    Raises FlashError.
    """
    total = sum(len(segment.content) for segment in content)
    esptool.write(
        place.port, chip.kind, content, lambda name, written: progressed(name, written, total)
    )
    return total


def ready(
    model: QuantizedModel, place: Place, where: Callable[[], str | None], patience: float
) -> tuple[Ready, str]:
    """What the chip says of itself when it has started, and the port at which it did.

    where: the port of the chip or its gateway, at which a board may be starting; asked again and
    again, for native USB goes away in a reset, and may come back under another name. Raises
    FlashError where it does not answer, has failed to start, or is not what was written.
    """
    port = _started(where)
    transport = Transport({place.chip: Line(port)}, REPL_MTU)
    signer = HostAuthenticator(place.key) if place.key else None
    try:
        coordinator = Coordinator(Dispatcher(transport, [place.chip], signer))
        answer = coordinator.handshake([place.chip], patience, where="after flashing")[place.chip]
    except ClusterError as error:
        raise FlashError(f"the board was written, and does not start: {error}") from None
    finally:
        transport.close()
    expected = model.sha256()[:HASH_SIZE]
    if answer.model_hash != expected:
        raise FlashError(
            f"chip {place.chip} says that it holds model {answer.model_hash.hex()}, not"
            f" {expected.hex()}: flash it again"
        )
    if answer.firmware != firmware_version():
        raise FlashError(
            f"chip {place.chip} runs firmware {answer.firmware}, not {firmware_version()}: flash"
            " it again"
        )
    return answer, port.name


def _started(where: Callable[[], str | None]) -> Any:
    """The open port of a board that has had the time to start.

    Raises FlashError for a board that fails to start, and tells that here or comes to its prompt,
    and for a port that does not come back.
    """
    opened: Any = None
    quiet_until, text = 0.0, b""
    give_up = time.monotonic() + _PORT_PATIENCE
    while opened is None or time.monotonic() < quiet_until:
        try:
            if opened is None:
                opened = _opened(where())
                quiet_until = time.monotonic() + _START_SECONDS
            opened.write(_POKE)
            text += opened.read(opened.in_waiting)
        except PortClosed as error:
            if time.monotonic() > give_up:
                raise FlashError(f"the board was written, and is not heard: {error}") from None
        except OSError:
            opened = None
        if opened is not None and (_PROMPT in text or _TRACEBACK.search(text)):
            opened.close()
            raise FlashError(f"the board was written, and its program fails: {_last_words(text)}")
        time.sleep(_POKE_EVERY)
    return opened


def _opened(url: str | None) -> Any:
    if url is None:
        raise PortClosed("it is on no port", "plug it in")
    return exclusive_port(url, REPL_BAUD)


def _last_words(text: bytes) -> str:
    """The line of a traceback that names the exception."""
    lines = text.decode(errors="replace").split("Traceback")[-1].splitlines()
    named = [line for line in lines[1:] if line and not line.startswith(" ")]
    return named[0] if named else "look at it by mpremote"
