"""Opens clusters of simulated chips or of boards: the one way in for commands, tests and the API.

with open_cluster(model, SimulatedChips.alike(5)) as cluster:
    cluster.executor.begin()
    logits = cluster.executor.forward(tokens)
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from host.launch.choice import Choice
from host.launch.cluster import Chips, OnReady, OpenCluster
from host.launch.flashed import FlashedBoards
from host.launch.rewritten import RewrittenBoards
from host.launch.simulated import SimulatedChips
from host.model.quantized import QuantizedModel

__all__ = [
    "Chips", "Choice", "FlashedBoards", "OpenCluster", "RewrittenBoards", "SimulatedChips",
    "open_cluster",
]  # fmt: skip


def open_cluster(
    model: QuantizedModel,
    chips: Chips,
    on_ready: OnReady = lambda chip: None,
    *,
    batch: bool = False,
    on_choice: Callable[[Choice], None] = lambda choice: None,
) -> AbstractContextManager[OpenCluster]:
    """Opens a cluster: starts simulated chips, or connects to boards; the context closes it.

    batch: whether the planner, if it chooses how the model is divided, shall choose for several
    sequences at once; on_choice: called with the choice before anything is started; on_ready:
    called with each chip that is ready. Raises ModelError, DoesNotFit or BoardError before
    anything is started, ClusterError for a chip that fails, SetupError if there is no MicroPython.
    """
    choice = chips.choose(model, batch)
    on_choice(choice)
    return chips.open(model, choice, on_ready)
