"""Opens and closes what a server speaks besides HTTP: MQTT and Wyoming."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from host.serving.broker import Broker
from host.serving.intents import IntentTable
from host.serving.metrics import Metrics
from host.serving.mqtt import MqttServer, open_mqtt
from host.serving.service import Service
from host.serving.wyoming_service import WyomingService, open_wyoming


@dataclass(frozen=True)
class FrontEndSettings:
    """Settings of MQTT and Wyoming.

    deadline: seconds within which an answer must be complete; broker: of MQTT, None for none;
    mqtt_id: this server's name there; wyoming: host and port to listen on, None for none;
    announces: whether to announce Wyoming by zeroconf; areas: rooms of satellites, as parse_areas
    returns them; may_unlock: whether doors may be unlocked by voice.
    """

    deadline: float
    broker: Broker | None = None
    mqtt_id: str = ""
    wyoming: tuple[str, int] | None = None
    announces: bool = False
    areas: Mapping[str, str] = field(default_factory=dict)
    may_unlock: bool = False


@asynccontextmanager
async def open_front_ends(
    service: Service, metrics: Metrics, settings: FrontEndSettings
) -> AsyncIterator[list[str]]:
    """Opens the front ends while the context lasts, and yields a line of text on each.

    They serve the first model. Raises ArgumentError.
    """
    lines = []
    async with AsyncExitStack() as stack:
        if settings.wyoming:
            home = service.default.source.prompt_format.home
            table = IntentTable.load(settings.may_unlock, home=home)
            wyoming = WyomingService(service.default, table, settings.areas, settings.deadline)
            port = await stack.enter_async_context(
                open_wyoming(wyoming, settings.wyoming, settings.announces)
            )
            lines.append(f"Wyoming on tcp://{settings.wyoming[0]}:{port}")
        if settings.broker:
            mqtt = MqttServer(
                service, settings.broker, settings.mqtt_id, settings.deadline, lambda: metrics.rate
            )
            await stack.enter_async_context(open_mqtt(mqtt))
            lines.append(f"MQTT: {settings.mqtt_id} at {settings.broker}")
        yield lines
