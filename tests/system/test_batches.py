"""Several sequences together, and drafts: on simulated chips, each text is the reference's."""

from dataclasses import replace

import numpy as np
import pytest

from host.generation.choosing import TokenChooser
from host.generation.decoding import decode
from host.generation.drafts import Drafter, NgramTable
from host.launch import SimulatedChips, open_cluster
from host.model.sampling import Sampler
from host.parallel.strategies import STRATEGIES
from tests.system.federations import HEAP

STEPS, SLOTS = 32, 3
PROMPTS = (0, 2, 3, 5, 6)


class Task:
    def __init__(self, run):
        self.tokens = run.tokens[: run.prompt].tolist()
        self.text = list(self.tokens)
        self.chooser = TokenChooser(len(self.tokens), STEPS, Sampler(), 0, ())


def name_of(value):
    return getattr(value, "name", None) and f"{value.name}-{value.role}"


ON_AIR, LOSSY = ("espnow", True, 0.0), ("uart", False, 0.02)
VERIFY = pytest.mark.verify
CASES = [
    pytest.param(strategy, *way, marks=VERIFY if strategy.role == "all_gather" else ())
    for strategy in STRATEGIES
    for way in (ON_AIR, LOSSY)
]


@pytest.mark.parametrize(("strategy", "link", "long", "loss"), CASES, ids=name_of)
def test_sequences_together_and_drafted_are_the_references(
    model, runs, strategy, link, long, loss
):
    parallelism = replace(strategy.make_parallelism(5, 4, None), slots=SLOTS)
    # Frames of 1,470 bytes, and so several positions in each.
    mtu = 1470 if long else None
    chips = SimulatedChips.alike(
        4, link, heap=HEAP, parallelism=parallelism, loss=loss, radio_mtu=mtu
    )
    # Of half of the texts, so that others are drafted wrongly.
    table = NgramTable([runs[at].tokens[:STEPS] for at in PROMPTS[::2]], 512)
    drafter = Drafter(table)
    tasks = [Task(runs[at]) for at in PROMPTS]
    with open_cluster(model, chips) as cluster:
        assert cluster.executor.slots == SLOTS
        assert cluster.executor.plan.positions > 4
        for task, token in decode(cluster.executor, tasks, drafter):
            if token is not None:
                task.text.append(token)
    for at, task in zip(PROMPTS, tasks, strict=True):
        np.testing.assert_array_equal(task.text, runs[at].tokens[: STEPS + 1])
    assert 0 < drafter.accepted < drafter.drafted
