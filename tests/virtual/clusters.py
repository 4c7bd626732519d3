"""The strategies and links of virtual clusters in tests."""

from bench.virtual.cluster import virtual_cluster
from host.parallel.parallelism import ALL_GATHER, ALL_REDUCE, HOST_REDUCE, Link, hybrid, pipeline

PROMPT, STEPS = [1, 5, 9], 24
# And how many chips.
STRATEGIES = {
    "host": (HOST_REDUCE, 3),
    "chips": (ALL_REDUCE, 3),
    "pipeline": (pipeline(2), 2),
    "hybrid": (hybrid(2), 4),
}
# Whose own tests are in test_all_gather.py: what differs from all-reduce is what chips exchange.
_OTHERS = {"gather": (ALL_GATHER, 3)}
LINKS = ("uart", "espnow")


def open_virtual(model, strategy, link, signed=False, mtu=250, **settings):
    """A virtual cluster with one of these strategies."""
    parallelism, chips = {**STRATEGIES, **_OTHERS}[strategy]
    mtu = mtu if link == "espnow" else None
    return virtual_cluster(model, chips, parallelism, Link(link, "pins", mtu, signed), **settings)


def generate(cluster, before=None):
    """The greedy text of the prompt."""
    return cluster.generate(PROMPT, STEPS, before)
