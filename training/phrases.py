"""All phrases for devices."""

from __future__ import annotations

from training.actions import Action, switched
from training.climate import AC, FAN, HEATING
from training.lights import LIGHT
from training.media import SPEAKER, TV
from training.movers import BLINDS, GATE, LOCK, SECURITY, VACUUM

_SWITCHED = ("light", "fan", "heating", "ac", "tv", "speaker", "plug")
ACTIONS: tuple[Action, ...] = (
    *(action for device in _SWITCHED for action in switched(device)),
    *LIGHT, *FAN, *BLINDS, *HEATING, *TV, *SPEAKER, *LOCK, *VACUUM, *AC, *GATE, *SECURITY,
)  # fmt: skip
