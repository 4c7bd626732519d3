"""How sure a model must be of an answer, where its prompt format says so:

    [confidence]
    least = 0.8         # below this the answer is the grammar's refusal
    dangerous = 0.98    # and below this it is, where it would unlock, open or disarm
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from host.errors import ModelError

LOWEST = 0.5  # of a token that ties with another; chips do not report confidences below that


@dataclass(frozen=True)
class Confidence:
    """How sure a model must be of an answer, from LOWEST to 1 (host/generation/constraint.py says
    how that is measured).

    least: for any answer that is passed on; dangerous: for one that must not be given by mistake.
    """

    least: float = LOWEST
    dangerous: float = LOWEST

    def fields(self) -> dict[str, float]:
        """Returns the fields from which `parse_confidence` makes it."""
        return asdict(self)


ANY = Confidence()  # passes on any answer


def parse_confidence(fields: object) -> Confidence:
    """Makes a Confidence from the fields of a TOML or JSON object. Raises ModelError."""
    if not isinstance(fields, dict):
        raise ModelError("confidence must be a table, as [confidence]")
    if unknown := fields.keys() - {"least", "dangerous"}:
        raise ModelError(f"unknown field confidence.{min(unknown)}")
    for name, value in fields.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ModelError(f"confidence.{name} must be a number")
        if not LOWEST <= value <= 1:
            raise ModelError(f"confidence.{name} must be {LOWEST} to 1, got {value}")
    found = Confidence(**fields)
    if found.dangerous < found.least:
        raise ModelError("confidence.dangerous must be confidence.least or more")
    return found
