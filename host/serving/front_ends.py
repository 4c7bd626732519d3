"""What a server speaks beside HTTP, opened and closed together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from host.serving.metrics import Metrics
from host.serving.service import Service


@dataclass(frozen=True)
class FrontEndSettings:
    """mqtt: a broker's URL, "" for none; mqtt_id: this server's name there; wyoming: a URI, "" for
    none; announces: whether by zeroconf; areas: rooms of satellites, as
    DEVICE=ROOM; may_unlock: whether doors are unlocked by voice; deadline: seconds in which an
    answer must be there; is_insecure: whether anybody in the network may ask."""

    mqtt: str = ""
    mqtt_id: str = ""
    wyoming: str = ""
    announces: bool = False
    areas: list[str] = field(default_factory=list)
    may_unlock: bool = False
    deadline: float = 600.0
    is_insecure: bool = False

    def verify(self) -> None:
        """Raises ArgumentError for what cannot be, before anything is started."""
        if self.wyoming:
            from host.serving import wyoming_service

            wyoming_service.verify_address(self.wyoming, self.is_insecure)
            wyoming_service.parse_areas(self.areas)
        if self.mqtt:
            from host.serving.mqtt import Broker

            Broker.parse(self.mqtt)


@asynccontextmanager
async def open_front_ends(
    service: Service, metrics: Metrics, settings: FrontEndSettings
) -> AsyncIterator[list[str]]:
    """Opens them while the context lasts; gives a line on each. Raises ArgumentError.

    They serve the first model.
    """
    lines = []
    async with AsyncExitStack() as stack:
        if settings.wyoming:
            from host.serving.intents import IntentTable
            from host.serving.wyoming_service import (
                WyomingService,
                open_wyoming,
                parse_address,
                parse_areas,
            )

            table, areas = IntentTable.load(settings.may_unlock), parse_areas(settings.areas)
            wyoming = WyomingService(service.default, table, areas, settings.deadline)
            address = parse_address(settings.wyoming)
            port = await stack.enter_async_context(
                open_wyoming(wyoming, address, settings.announces)
            )
            lines.append(f"Wyoming on tcp://{address[0]}:{port}")
        if settings.mqtt:
            from host.serving.mqtt import Broker, MqttServer, open_mqtt

            broker = Broker.parse(settings.mqtt)
            mqtt = MqttServer(
                service, broker, settings.mqtt_id, settings.deadline, lambda: metrics.rate
            )
            await stack.enter_async_context(open_mqtt(mqtt))
            lines.append(f"MQTT: {settings.mqtt_id} at {broker}")
        yield lines
