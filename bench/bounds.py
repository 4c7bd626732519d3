"""Upper bounds of what is deterministic: kernels must not come to execute more.

bench/bounds.json holds what was counted last, by kernel, target and shape; tests allow SLACK more.
`python -m bench.bounds` counts anew and writes the file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from bench.kernels import figures_of_shapes
from bench.results import Row

FILE = Path(__file__).resolve().parent / "bounds.json"
SLACK = 1.02  # compilers of other versions may order a few instructions differently


def stored() -> dict[str, float]:
    """The bounds by Row.key."""
    bounds: dict[str, float] = json.loads(FILE.read_text())
    return bounds


def exceeded(rows: Iterable[Row], bounds: dict[str, float]) -> list[str]:
    """What is wrong, a line for each row that is beyond its bound or has none, and for each bound
    that no row belongs to."""
    values = {row.key: row.value for row in rows}
    faults = [f"{key}: has no bound" for key in values.keys() - bounds.keys()]
    faults += [f"{key}: a bound for nothing" for key in bounds.keys() - values.keys()]
    faults += [
        f"{key}: {values[key]} instead of {bound}"
        for key, bound in bounds.items()
        if values.get(key, bound) > bound * SLACK
    ]
    return sorted(faults)


def main() -> None:
    """Writes the bounds."""
    counted = {row.key: row.value for row in figures_of_shapes()}
    FILE.write_text(json.dumps(counted, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
