"""The plans that benchmarks compare: every layer divided among all chips."""

from __future__ import annotations

from typing import Any

from host.model.quantized import QuantizedModel
from host.parallel.parallelism import ALL_REDUCED, Link, Parallelism
from host.parallel.partition import partition
from host.parallel.plan import Plan


def tensor_plan(
    model: QuantizedModel,
    chips: int,
    context: int | None = None,
    *,
    reduce: str = "host",
    exchange: str = ALL_REDUCED,
    mtu: int | None = None,
    signed: bool = False,
    **more: Any,
) -> Plan:
    """Returns the plan. mtu: of ESP-NOW, None for UART; more: as for partition."""
    link = Link("espnow" if mtu else "uart", "pins", mtu, signed)
    parallelism = Parallelism(reduce=reduce, exchange=exchange)
    return partition(model, chips, context, parallelism=parallelism, link=link, **more)
