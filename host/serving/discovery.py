"""Describes a server to Home Assistant, for MQTT discovery: as a device with sensors.

One message has the device and all of its components, as Home Assistant takes them since 2024.11.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from host.build.firmware_version import RELEASE
from host.paths import PROJECT

_OTHERS = re.compile("[^a-zA-Z0-9_-]")  # characters that Home Assistant refuses in such topics
_SENSORS = {
    "boards_online": ("Boards online", "mdi:chip", "measurement"),
    "waiting": ("Commands waiting", "mdi:tray-full", "measurement"),
    "tokens_per_second": ("Speed", "mdi:speedometer", "measurement"),
    "answered": ("Commands answered", "mdi:counter", "total_increasing"),
    "last_command": ("Last command", "mdi:comment-text-outline", None),
    "last_answer": ("Last answer", "mdi:comment-check-outline", None),
}


def describe_device(
    prefix: str, identifier: str, own: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields topics, and the objects to publish there, retained.

    prefix: that of all servers' topics; identifier: the server's name; own: the topic above its
    state.
    """
    unique = _OTHERS.sub("_", f"{prefix}_{identifier}")
    components = {}
    for name, (title, icon, kind) in _SENSORS.items():
        sensor = {
            "platform": "sensor",
            "name": title,
            "unique_id": f"{unique}_{name}",
            "value_template": f"{{{{ value_json.{name} }}}}",
            "icon": icon,
        }
        if kind:
            sensor["state_class"] = kind
        components[name] = sensor
    components["tokens_per_second"]["unit_of_measurement"] = "tokens/s"
    yield (
        f"homeassistant/device/{unique}/config",
        {
            "device": {"identifiers": [unique], "name": f"Federation {identifier}",
                       "manufacturer": PROJECT, "sw_version": RELEASE},
            "origin": {"name": PROJECT, "sw_version": RELEASE},
            "state_topic": f"{own}/state",
            "availability_topic": f"{own}/status",
            "components": components,
        },
    )  # fmt: skip
