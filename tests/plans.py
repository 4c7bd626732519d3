"""Short ways to plans, links and settings for tests."""

from dataclasses import replace

from host.parallel.parallelism import ALL_REDUCED, Link, Parallelism, hybrid, pipeline
from host.parallel.partition import partition
from host.parallel.strategies.pipeline import count_stages


def link_of(mtu=None, signed=False):
    """UART, or ESP-NOW with frames of at most `mtu` bytes."""
    return Link("espnow" if mtu else "uart", "pins", mtu, signed)


def stages_of(stages, chips, layers=5):
    """The Parallelism of so many stages: a pipeline, where chips allow no more."""
    return (pipeline if stages == count_stages(layers, chips) else hybrid)(stages)


def tensor_plan(
    model, chips, context=None, *, reduce="host", mtu=None, signed=False, slots=0,
    gateway_code=0, exchange=ALL_REDUCED, **more
):  # fmt: skip
    """Every layer divided among all chips."""
    parallelism = Parallelism(reduce=reduce, slots=slots, exchange=exchange)
    link = replace(link_of(mtu, signed), gateway_code=gateway_code)
    return partition(model, chips, context, parallelism=parallelism, link=link, **more)


def with_positions(plan, positions):
    """A plan with so many positions in a request, whatever heaps allow."""
    stages = [
        replace(stage, shape=replace(stage.shape, positions=positions)) for stage in plan.stages
    ]
    shape = replace(plan.shape, positions=positions)
    return replace(plan, shape=shape, stages=tuple(stages))


def staged_plan(model, chips, stages, context=None, *, mtu=None, signed=False, **more):
    """Layers divided among stages."""
    parallelism = stages_of(stages, chips, model.config.layers)
    link = link_of(mtu, signed)
    return partition(model, chips, context, parallelism=parallelism, link=link, **more)
