"""Maps an entity of Home Assistant to the grammar: its kind, its name, and what it can do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from host.home.home import verbs_of

_KINDS = {
    "light": "light", "fan": "fan", "cover": "blinds", "climate": "heating",
    "media_player": "speaker", "switch": "plug", "input_boolean": "plug", "lock": "lock",
    "vacuum": "vacuum", "alarm_control_panel": "security", "scene": "scene",
}  # fmt: skip
_GATES = ("garage", "gate", "door")
# Bits of `supported_features`, and the verbs that need them.
_FEATURES: dict[str, dict[str, int]] = {
    "cover": {"open": 1, "close": 2, "position": 4, "stop": 8},
    "fan": {"speed": 1},
    "media_player": {
        "pause": 1, "resume": 1 << 14, "volume": 4, "mute": 8, "unmute": 8, "previous": 16,
        "next": 32, "on": 128, "off": 256, "play": 512, "stop": 4096,
    },
    "vacuum": {"pause": 4, "stop": 8, "dock": 16, "start": 1 << 13},
}  # fmt: skip
_COLOURED = {"hs", "rgb", "rgbw", "rgbww", "xy"}


@dataclass(frozen=True)
class Entity:
    """An entity's row of the registry, and the row of its device, empty if it has none."""

    row: dict[str, Any]
    device: dict[str, Any]

    @property
    def id(self) -> str:
        """Such as "light.kitchen"."""
        return str(self.row.get("entity_id", ""))

    @property
    def domain(self) -> str:
        """Such as "light"."""
        return self.id.partition(".")[0]

    @property
    def device_class(self) -> str:
        """Such as "garage", "" for none."""
        return str(self.row.get("device_class") or self.row.get("original_device_class") or "")

    @property
    def name(self) -> str:
        """The name that the user gave, else its own name after the device's."""
        device = self.device.get("name_by_user") or self.device.get("name") or ""
        own = self.row.get("original_name") or ""
        if given := self.row.get("name"):
            return str(given)
        if self.row.get("has_entity_name") and device:
            return f"{device} {own}".strip()
        return str(own or device or self.id.partition(".")[2].replace("_", " "))

    @property
    def is_exposed(self) -> bool:
        """Whether it is for voice commands: not hidden or disabled, not a setting, and not kept
        from Home Assistant's own voice assistant."""
        row, options = self.row, self.row.get("options")
        said = options.get("conversation", {}) if isinstance(options, dict) else {}
        is_kept = isinstance(said, dict) and said.get("should_expose") is False
        return not (
            row.get("disabled_by") or row.get("hidden_by") or row.get("entity_category") or is_kept
        )


def find_kind(entity: Entity) -> str:
    """Returns the grammar's kind of an entity, "" for none."""
    if entity.domain == "cover" and entity.device_class in _GATES:
        return "gate"
    if entity.domain == "media_player" and entity.device_class == "tv":
        return "tv"
    if entity.domain == "climate":
        modes = _capability(entity, "hvac_modes")
        return "ac" if "cool" in modes and "heat" not in modes else "heating"
    return _KINDS.get(entity.domain, "")


def find_abilities(entity: Entity, kind: str) -> list[str]:
    """Returns the verbs that an entity supports; none if it does not say, or supports all of its
    kind."""
    verbs = list(verbs_of(kind))
    lacking: set[str] = set()
    if modes := _capability(entity, "supported_color_modes"):
        lacking |= set() if _COLOURED & set(modes) else {"color"}
        lacking |= {"brightness"} if set(modes) <= {"onoff", "unknown"} else set()
    features = entity.row.get("supported_features")
    needed = _FEATURES.get(entity.domain, {})
    if isinstance(features, int) and features and needed:
        lacking |= {verb for verb, bit in needed.items() if not features & bit}
        lacking |= {"resume"} if "start" in needed and "start" in lacking else set()
    return [verb for verb in verbs if verb not in lacking] if lacking & set(verbs) else []


def _capability(entity: Entity, name: str) -> list[str]:
    capabilities = entity.row.get("capabilities")
    found = capabilities.get(name) if isinstance(capabilities, dict) else None
    return [str(each) for each in found] if isinstance(found, list) else []
