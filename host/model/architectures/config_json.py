"""The fields of a config.json as Hugging Face's transformers writes them, by type."""

from __future__ import annotations

import json
from typing import Any

from host.errors import ModelError


class ConfigJson:
    """The fields of a config.json; a field that is null counts as absent."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self.fields = fields

    def get_count(self, name: str, default: int | None = None) -> int:
        """Returns a whole number. Raises ModelError for another value, and for a missing one
        without a default."""
        value = self.fields.get(name)
        value = default if value is None else value
        if not isinstance(value, int) or isinstance(value, bool):
            raise ModelError(f"config.json: {name} is {brief(value)}, expected a whole number")
        return value

    def get_real(self, name: str, default: float) -> float:
        """Returns a number. Raises ModelError for another value."""
        value = self.fields.get(name)
        value = default if value is None else value
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise ModelError(f"config.json: {name} is {brief(value)}, expected a number")
        try:
            return float(value)
        except OverflowError:
            raise ModelError(
                f"config.json: {name} is {brief(value)}, too large a number"
            ) from None

    def require(self, name: str, *supported: object) -> None:
        """Raises ModelError if a field is neither absent nor one of `supported`."""
        value = self.fields.get(name)
        if value is not None and value not in supported:
            raise ModelError(f"{name} is {brief(value)}, which is not supported")

    def rope_theta(self, default: float) -> float:
        """Returns the base of rope's angles, which newer files have in rope_parameters.

        Raises ModelError for a rope that is scaled.
        """
        for group in ("rope_parameters", "rope_scaling"):
            values = self.fields.get(group)
            if values is None:
                continue
            kind = values
            if isinstance(values, dict):
                kind = values.get("rope_type", values.get("type"))
            if kind not in (None, "default"):
                raise ModelError(f"rope scaling {brief(kind)} is not supported")
        nested = self.fields.get("rope_parameters")
        nested = nested if isinstance(nested, dict) else {}
        return ConfigJson({**self.fields, **nested}).get_real("rope_theta", default)

    def architecture(self) -> tuple[str | None, str | None]:
        """Returns what model_type and the first of "architectures" name."""
        names = self.fields.get("architectures")
        first = names[0] if isinstance(names, list) and names else None
        kind = self.fields.get("model_type")
        return (None if kind is None else brief(kind)), (None if first is None else brief(first))


def brief(value: object) -> str:
    """Returns a value of a JSON file as text for messages, shortened if it is long."""
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
