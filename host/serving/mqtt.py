"""MQTT: commands on a topic, answers on the topic that they name, for any number of servers.

Servers share <prefix>/commands by a shared subscription (MQTT 5): the broker gives each command to
one of them, and keeps it until that server acknowledges it, after its answer was sent. The
commands of a server that is gone are taken over by another. Since mosquitto does not hand them out
again by itself, the first of the other servers, in the order of their names, connects under the
name of the one that is gone, and gets what was kept for it. So no command is lost; one may be
answered twice.

    <prefix>/commands           in: a command, as text; response topic and correlation data say
                                where the answer goes, else it goes to <prefix>/answers
    <prefix>/servers/ID/status  out, retained: "online", and by the last will "offline"
    <prefix>/servers/ID/state   out, retained: figures, as JSON
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiomqtt
import msgspec
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from host.errors import FederationError
from host.generation.generator import LENGTH
from host.serving.asking import describe_answer, generate
from host.serving.broker import AcknowledgingClient, Broker
from host.serving.discovery import describe_device
from host.serving.engine import LOADING, READY
from host.serving.job_queue import QueueFull
from host.serving.service import GenerationRequest, NotReady, Service

_LOG = logging.getLogger("federation")

GROUP = "federation"  # the name of the shared subscription
MOST_COMMAND = 1 << 14  # bytes
_MOST_PACKET = 1 << 16  # bytes of the longest message that the broker may send
MOST_WAITING = 1000  # waiting commands that the broker does not keep: those of QoS 0
MOST_SERVERS = 1000  # servers of a broker whose states are kept
_STATE_EVERY = 5.0  # seconds between two states
_LONGEST_WAIT = 30.0  # seconds between two attempts to connect
_SESSION = 3600  # seconds for which a broker keeps what an absent server has not acknowledged
_AT_ONCE = 8  # commands that the broker hands out before the first is acknowledged
_KEEP_ALIVE = 10  # seconds; a broker gives up a server that is silent for 1.5 times as long
_QUIET = 1.0  # seconds without a command after which nothing more is kept for a server
_POLL = 0.25  # seconds
ONLINE, OFFLINE, _TAKEN = "online", "offline", "taken"


class MqttServer:
    """A server's connection to a broker.

    identifier: the server's name, by which the broker knows it again; seconds: within which an
    answer must be complete; rate: returns the tokens per second of the last answer.
    """

    def __init__(
        self,
        service: Service,
        broker: Broker,
        identifier: str,
        seconds: float,
        rate: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._service, self._broker, self._id = service, broker, identifier
        self._seconds, self._rate = seconds, rate
        self._own = f"{broker.prefix}/servers/{identifier}"
        self._answered = 0
        self._last = {"command": "", "answer": ""}
        self._states: dict[str, str] = {}  # by name, of all servers of the broker
        self._answering: set[asyncio.Task[None]] = set()
        self._taking_over = asyncio.Lock()
        self.is_connected = asyncio.Event()

    async def run(self) -> None:
        """Serves until it is cancelled; reconnects, after ever longer waits, if it must."""
        wait, reported = 1.0, ""
        while True:
            try:
                while self._service.default.state == LOADING:
                    await asyncio.sleep(_POLL)
                async with self._client(self._id, _SESSION, self._will()) as client:
                    wait, reported = 1.0, ""
                    try:
                        await self._serve(client)
                    except asyncio.CancelledError:
                        await self._publish_offline(client)
                        raise
            except* (aiomqtt.MqttError, OSError) as group:
                self.is_connected.clear()
                reason = str(group.exceptions[0])
                if reason != reported:  # once, and not at each attempt
                    _LOG.error("MQTT, %s: %s: trying again", self._broker.host, reason)
                reported = reason
            except* Exception:
                self.is_connected.clear()
                _LOG.exception("MQTT, %s: a fault of this program", self._broker.host)
            await asyncio.sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT)

    async def _publish_offline(self, client: AcknowledgingClient) -> None:
        """Publishes "offline", which the broker itself does only for a server that it has lost."""
        with contextlib.suppress(aiomqtt.MqttError):
            await client.publish(f"{self._own}/status", OFFLINE, qos=1, retain=True)

    @property
    def _shared(self) -> str:
        return f"$share/{GROUP}/{self._broker.prefix}/commands"

    def _will(self) -> aiomqtt.Will:
        return aiomqtt.Will(f"{self._own}/status", OFFLINE, qos=1, retain=True)

    def _client(
        self, identifier: str, session: int, will: aiomqtt.Will | None = None
    ) -> AcknowledgingClient:
        """Returns a client; session: seconds for which the broker keeps what is not acknowledged
        after the client is gone."""
        broker, connecting = self._broker, Properties(PacketTypes.CONNECT)
        connecting.SessionExpiryInterval = session
        connecting.ReceiveMaximum = _AT_ONCE
        connecting.MaximumPacketSize = _MOST_PACKET
        return AcknowledgingClient(
            broker.host, broker.port, username=broker.user, password=broker.password,
            identifier=f"{GROUP}-{identifier}", protocol=aiomqtt.ProtocolVersion.V5, will=will,
            clean_start=False, properties=connecting, keepalive=_KEEP_ALIVE,
            tls_context=broker.tls_context(),
        )  # fmt: skip

    async def _serve(self, client: AcknowledgingClient) -> None:
        others = f"{self._broker.prefix}/servers/+/status"
        await self._announce(client)
        self._states.clear()
        await client.subscribe(others, qos=0)
        await client.subscribe(self._shared, qos=1)
        await client.publish(f"{self._own}/status", ONLINE, qos=1, retain=True)
        self.is_connected.set()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._report(client))
            async for message in client.messages:
                if str(message.topic).endswith("/commands"):
                    if message.qos or len(self._answering) < MOST_WAITING:
                        task = tasks.create_task(self._answer(client, message))
                        self._answering.add(task)
                        task.add_done_callback(self._answering.discard)
                    continue
                self._note_state(message)
                for gone in self._abandoned():
                    self._states[gone] = _TAKEN
                    tasks.create_task(self._take_over(gone))

    def _note_state(self, message: aiomqtt.Message) -> None:
        """Records that a server came or went. Any client may publish there, and anything."""
        name, state = str(message.topic).split("/")[-2], _content(message).decode(errors="replace")
        if state not in (ONLINE, OFFLINE):
            self._states.pop(name, None)
        elif name in self._states or len(self._states) < MOST_SERVERS:
            self._states[name] = state

    def _abandoned(self) -> list[str]:
        """Returns the servers whose commands this one must take over."""
        online = [name for name, state in self._states.items() if state == ONLINE]
        if self._id != min(online, default=""):
            return []
        return [name for name, state in self._states.items() if state == OFFLINE]

    async def _take_over(self, gone: str) -> None:
        """Answers the commands that the broker keeps for a server that is gone."""
        _LOG.info("MQTT: taking over what %r has left", gone)
        try:
            async with self._taking_over, self._client(gone, _SESSION) as client:
                await client.unsubscribe(self._shared)  # otherwise it would be given more
                messages = aiter(client.messages)
                with contextlib.suppress(TimeoutError):
                    while True:
                        async with asyncio.timeout(_QUIET):
                            message = await anext(messages)
                        if str(message.topic).endswith("/commands"):
                            await self._answer(client, message)
                topic = f"{self._broker.prefix}/servers/{gone}/status"
                await client.publish(topic, b"", qos=1, retain=True)
        except (aiomqtt.MqttError, OSError) as error:  # the server is back
            _LOG.info("MQTT: %r goes on itself: %s", gone, error)

    async def _answer(self, client: AcknowledgingClient, message: aiomqtt.Message) -> None:
        """Answers a command, and then acknowledges it."""
        answer = await self._ask(_content(message))
        if answer is None:
            return
        self._answered += 1
        self._last = {"command": answer["command"], "answer": answer.get("text", "")}
        properties: Any = message.properties
        replying = Properties(PacketTypes.PUBLISH)
        if correlation := getattr(properties, "CorrelationData", None):
            replying.CorrelationData = correlation
        topic = getattr(properties, "ResponseTopic", None)
        if not topic or set(topic) & set("#+\0"):  # nothing can be published there
            topic = f"{self._broker.prefix}/answers"
        await client.publish(topic, msgspec.json.encode(answer), qos=1, properties=replying)
        client.acknowledge(message)

    async def _ask(self, content: bytes) -> dict[str, Any] | None:
        """Returns the answer to a command, None to leave it to another server."""
        command = content[:MOST_COMMAND].decode(errors="replace")
        found: dict[str, Any] = {"command": command, "server": self._id}
        if len(content) > MOST_COMMAND:
            return {**found, "error": f"the command is longer than {MOST_COMMAND} bytes"}
        request = GenerationRequest(command)
        while True:
            try:
                generation = await generate(self._service.default, request, "mqtt", self._seconds)
                break
            except (QueueFull, NotReady):  # the broker has no other server to give it to
                await asyncio.sleep(_POLL)
            except FederationError as error:
                return None if self._service.is_stopping else {**found, "error": str(error)}
        found |= {"text": generation.text, "tokens": len(generation.tokens)}
        if self._service.default.source.prompt_format.grammar:
            found |= describe_answer(generation)
        if generation.finish_reason == LENGTH:
            found["is_cut"] = True
        return found

    async def _announce(self, client: AcknowledgingClient) -> None:
        for topic, content in describe_device(self._broker.prefix, self._id, self._own):
            await client.publish(topic, msgspec.json.encode(content), qos=1, retain=True)

    async def _report(self, client: AcknowledgingClient) -> None:
        while True:
            state = msgspec.json.encode(self.state())
            await client.publish(f"{self._own}/state", state, qos=0, retain=True)
            await asyncio.sleep(_STATE_EVERY)

    def state(self) -> dict[str, Any]:
        """Returns the figures to publish."""
        engines = self._service.engines
        clusters = [engine.cluster for engine in engines if engine.state == READY]
        return {
            "boards_online": sum(each.executor.plan.chips for each in clusters if each),
            "clusters_ready": len(clusters),
            "waiting": self._service.waiting,
            "tokens_per_second": round(self._rate(), 1),
            "answered": self._answered,
            "last_command": self._last["command"][:200],
            "last_answer": self._last["answer"][:200],
        }


def _content(message: aiomqtt.Message) -> bytes:
    payload = message.payload
    return bytes(payload) if isinstance(payload, bytes | bytearray) else b""


@contextlib.asynccontextmanager
async def open_mqtt(server: MqttServer) -> AsyncIterator[None]:
    """Serves while the context lasts."""
    task = asyncio.create_task(server.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
