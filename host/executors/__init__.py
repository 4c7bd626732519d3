"""Executors: they run a model on connected chips, one module for each way to divide it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from host.cluster.coordinator import Coordinator
from host.executors.executor import Executor
from host.model.quantized import QuantizedModel
from host.parallel.plan import Plan


def open_executor(
    model: QuantizedModel, plan: Plan, coordinator: Coordinator, digests: Mapping[int, bytes]
) -> Executor:
    """Returns the executor of a plan's strategy, not connected yet.

    digests: of each chip's shard file, as host.build.shard.shard_digest returns them.
    """
    module = import_module(f"host.executors.{plan.strategy.executor}")
    executor: Executor = module.EXECUTOR(model, plan, coordinator, digests)
    return executor
