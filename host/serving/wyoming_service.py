"""Serves Wyoming, the protocol by which Home Assistant sends transcripts and receives intents.

The protocol is that of the wyoming library: a line of JSON for each event, and then its data.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from wyoming.asr import Transcript
from wyoming.error import Error
from wyoming.event import Event, Eventable, async_read_event, async_write_event
from wyoming.handle import Handled, NotHandled
from wyoming.info import (
    Attribution,
    Describe,
    HandleModel,
    HandleProgram,
    Info,
    IntentModel,
    IntentProgram,
)
from wyoming.intent import Entity, Intent, IntentsStart, IntentsStop, NotRecognized, Recognize

from host.build.firmware_version import RELEASE
from host.errors import ArgumentError, FederationError
from host.generation.generator import LENGTH
from host.paths import PROJECT
from host.serving.asking import generate
from host.serving.intents import IntentTable, NoIntent
from host.serving.server import LOOPBACK
from host.serving.service import GenerationRequest, ServedModel

_LOG = logging.getLogger("federation")

MOST_EVENT = 1 << 16  # bytes of an event's data or payload
MOST_CONNECTIONS = 64
_READ_TIMEOUT = 60.0  # seconds that a connection may be silent
_WRITE_TIMEOUT = 30.0  # seconds within which the client must read what is sent
_NOT_UNDERSTOOD = "Sorry, I did not understand that"
_BY = Attribution(name=PROJECT, url="")


class _Reader(asyncio.StreamReader):
    """A reader that refuses events longer than ours are, and does not wait for ever."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader

    async def readline(self) -> bytes:
        async with asyncio.timeout(_READ_TIMEOUT):
            return await self._reader.readline()

    async def readexactly(self, n: int) -> bytes:
        if n > MOST_EVENT:
            raise ValueError(f"an event of {n} bytes")
        async with asyncio.timeout(_READ_TIMEOUT):
            return await self._reader.readexactly(n)


class WyomingService:
    """Answers transcripts: with intents if the model answers in action lines, else with text.

    areas: the room of each satellite or device, by its id in Home Assistant, "*" for all others;
    seconds: within which an answer must be complete.
    """

    def __init__(
        self, model: ServedModel, table: IntentTable, areas: Mapping[str, str], seconds: float
    ) -> None:
        self._model, self._table, self._areas, self._seconds = model, table, areas, seconds
        self._recognizes = model.source.prompt_format.grammar is not None
        self._connections = 0
        self._silent: dict[asyncio.StreamWriter, None] = {}  # waiting for an event, oldest first

    def info(self) -> Info:
        """Returns the description of the service."""
        name = self._model.name
        what: dict[str, Any] = {
            "attribution": _BY, "installed": True, "version": RELEASE,
            "description": f"{name} on a cluster of microcontrollers",
        }  # fmt: skip
        if self._recognizes:
            model = IntentModel(name=name, languages=["en"], **what)
            return Info(intent=[IntentProgram(name="federation", models=[model], **what)])
        handler = HandleModel(name=name, languages=["en"], **what)
        return Info(handle=[HandleProgram(name="federation", models=[handler], **what)])

    async def answer(self, text: str, context: Mapping[str, object]) -> list[Eventable]:
        """Returns the events that answer a text."""
        if not text.strip():
            return [NotRecognized(text=_NOT_UNDERSTOOD)]
        request = GenerationRequest(text)
        try:
            found = await generate(self._model, request, "wyoming", self._seconds)
            if not self._recognizes:
                return [Handled(text=found.text.strip())]
            if found.finish_reason == LENGTH:
                return [NotRecognized(text=_NOT_UNDERSTOOD)]
            intents = self._table.translate(found.text, self._area(context))
        except NoIntent as error:
            return [NotRecognized(text=str(error))]
        except FederationError as error:
            if self._recognizes:
                return [Error(text=str(error), code=type(error).__name__)]
            return [NotHandled(text=str(error))]
        if not intents:
            return [NotRecognized(text=_NOT_UNDERSTOOD)]
        confirm = {"needs_confirmation": True} if found.needs_confirmation else None
        events: list[Eventable] = [IntentsStart()]
        for intent in intents:
            entities = [Entity(name, value) for name, value in intent.slots.items()]
            events.append(Intent(name=intent.name, entities=entities, context=confirm))
        return [*events, IntentsStop()]

    def _area(self, context: Mapping[str, object]) -> str:
        for key in ("satellite_id", "device_id"):
            id = str(context.get(key))
            if area := self._areas.get(id) or self._table.area_of(id):
                return self._table.area_of(area.replace(" ", "_")) or area
        area = self._areas.get("*", "")
        return self._table.area_of(area.replace(" ", "_")) or area

    async def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves a connection until it is closed, or sends something other than an event.

        If there are too many connections, the one that was silent for longest is closed.
        """
        self._connections += 1
        has_room = self._connections <= MOST_CONNECTIONS or self._make_room()
        try:
            while has_room and (event := await self._read(reader, writer)):
                for each in await self._answers(event):
                    async with asyncio.timeout(_WRITE_TIMEOUT):
                        await async_write_event(each.event(), writer)
        except (OSError, EOFError, ValueError, LookupError, TypeError, AttributeError,
                RecursionError):  # fmt: skip
            _LOG.info("wyoming: a connection broke off, or sent something that is not an event")
        finally:
            await _close(writer)
            self._connections -= 1

    async def _read(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> Event | None:
        self._silent[writer] = None
        try:
            return await async_read_event(_Reader(reader))
        finally:
            self._silent.pop(writer, None)

    def _make_room(self) -> bool:
        """Closes the connection that has been silent for longest; returns whether there was
        one."""
        for oldest in self._silent:
            del self._silent[oldest]
            oldest.transport.abort()
            return True
        return False

    async def _answers(self, event: Event) -> list[Eventable]:
        if Describe.is_type(event.type):
            return [self.info()]
        if Transcript.is_type(event.type):
            said = Transcript.from_event(event)
            return await self.answer(str(said.text), said.context or {})
        if Recognize.is_type(event.type):
            asked = Recognize.from_event(event)
            return await self.answer(str(asked.text), asked.context or {})
        return []  # other programs ignore unknown events too


async def _close(writer: asyncio.StreamWriter) -> None:
    """Closes a connection; at once, if what was sent is not read in time."""
    writer.close()
    try:
        async with asyncio.timeout(_WRITE_TIMEOUT):
            await writer.wait_closed()
    except OSError:  # a timeout is one
        writer.transport.abort()


def parse_address(text: str, is_insecure: bool = False) -> tuple[str, int]:
    """Returns host and port of tcp://HOST:PORT.

    Raises ArgumentError; unless is_insecure, also if other machines could connect, because Wyoming
    has no keys.
    """
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if host is None or port is None or parts.scheme != "tcp":
        raise ArgumentError(f"--wyoming {text}: give it as tcp://127.0.0.1:10400")
    if host not in LOOPBACK and not is_insecure:
        raise ArgumentError(
            f"--wyoming {text} can be reached from other machines, and Wyoming has no keys: give"
            " --insecure, and let a firewall keep others out"
        )
    return host, port


def parse_areas(texts: list[str]) -> dict[str, str]:
    """Returns rooms by satellite, given texts of the form DEVICE=ROOM. Raises ArgumentError."""
    found = {}
    for text in texts:
        device, equals, room = text.rpartition("=")
        if not equals or not device or not room:
            raise ArgumentError(f"--area {text}: give it as DEVICE=ROOM, or *=ROOM")
        found[device] = room.replace("_", " ")
    return found


@contextlib.asynccontextmanager
async def open_wyoming(
    service: WyomingService, address: tuple[str, int], announce: bool = False
) -> AsyncIterator[int]:
    """Listens while the context lasts, and yields the port; announce: whether to use zeroconf.

    Raises ArgumentError for an address that cannot be listened on.
    """
    try:
        server = await asyncio.start_server(service.connect, *address, limit=MOST_EVENT)
    except OSError as error:
        raise ArgumentError(
            f"--wyoming tcp://{address[0]}:{address[1]}: {error.strerror or error}"
        ) from None
    async with server:
        port: int = server.sockets[0].getsockname()[1]
        if announce:
            async with _announced(address[0], port):
                yield port
        else:
            yield port


@contextlib.asynccontextmanager
async def _announced(host: str, port: int) -> AsyncIterator[None]:
    """Announces the service to Home Assistant by zeroconf while the context lasts."""
    # Imported here: it takes a tenth of a second, and few servers announce themselves.
    from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

    kind = "_wyoming._tcp.local."
    if host in ("0.0.0.0", "::"):
        host = _own_address()
    info = AsyncServiceInfo(kind, f"{PROJECT}.{kind}", parsed_addresses=[host], port=port)
    async with AsyncZeroconf() as zeroconf:
        await zeroconf.async_register_service(info, allow_name_change=True)
        yield


def _own_address() -> str:
    """Returns this machine's address in its network: the one from which it would send
    multicast."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unused:
        unused.connect(("224.0.0.251", 1))
        return str(unused.getsockname()[0])
