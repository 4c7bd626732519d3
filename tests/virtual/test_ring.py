"""A ring of serial lines: what every link bears, and that frames are on its lines as planned."""

from dataclasses import replace

import pytest

from bench.virtual.cluster import virtual_cluster
from bench.virtual.model import CONFIG, reference_text, small_model
from host.errors import ClusterError, ParallelError
from host.parallel.cost.traffic import count_traffic, widest_sums
from host.parallel.parallelism import ALL_REDUCE, HOST_REDUCE, Link, hybrid, pipeline
from host.parallel.partition import partition
from tests.virtual.clusters import PROMPT, STEPS, generate

CHIPS = 3


@pytest.fixture(scope="module")
def model():
    """A layer for each chip."""
    return small_model(replace(CONFIG, layers=CHIPS))


@pytest.fixture(scope="module")
def text(model):
    return reference_text(model, PROMPT, STEPS)


def ring(model, signed=False, chips=CHIPS, parallelism=None, **settings):
    parallelism = parallelism or pipeline(chips)
    return virtual_cluster(model, chips, parallelism, Link("ring", signed=signed), **settings)


@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
@pytest.mark.parametrize("chips", [1, 2, 3])
def test_a_ring_gives_the_reference_s_text(model, text, chips, signed):
    with ring(model, signed, chips) as cluster:
        assert generate(cluster) == text
        assert cluster.executor.recoveries == cluster.coordinator.resends == 0


@pytest.mark.parametrize("parallelism", [HOST_REDUCE, ALL_REDUCE])
def test_so_does_a_single_chip_in_any_way(model, text, parallelism):
    with ring(model, chips=1, parallelism=parallelism) as cluster:
        assert generate(cluster) == text


@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
def test_thirty_per_cent_of_frames_lost_on_each_wire_change_nothing(model, text, signed):
    with ring(model, signed, loss=0.3, seed=3) as cluster:
        began = cluster.world.seconds()
        assert generate(cluster) == text
        assert cluster.world.lost > STEPS
        assert cluster.world.seconds() - began < 4.0 * len(text)


@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
def test_a_restart_of_any_chip_changes_nothing(model, text, signed):
    for chip, ready in enumerate((50, 4_700, 300)):  # milliseconds until it is loaded
        with ring(model, signed, seed=chip, timeout=15.0) as cluster:

            def before(position, cluster=cluster, chip=chip, ready=ready):
                if position == 12:
                    cluster.chips[chip].restart(ready)

            assert generate(cluster, before) == text
            assert cluster.chips[chip].restarts == 1


@pytest.mark.parametrize("signed", [False, True])
def test_a_chip_that_stays_away_ends_the_text_with_advice(model, signed):
    with ring(model, signed) as cluster:

        def before(position):
            if position == 8:
                cluster.chips[1].stop()

        with pytest.raises(ClusterError, match="did not answer"):
            generate(cluster, before)
        assert cluster.world.seconds() < 10


def test_a_fault_of_a_chip_reaches_the_host(model):
    with ring(model) as cluster:

        def fail(*arguments):
            raise ValueError("out of luck")

        cluster.chips[1].node.role.step.model.attention.run = fail
        with pytest.raises(ClusterError, match="^chip 1, .*: FAULT: ValueError: out of luck"):
            generate(cluster)


def test_frames_on_the_lines_are_those_that_are_planned(model):
    """A frame counts on each line that it passes."""
    with ring(model) as cluster:
        cluster.executor.begin()
        logits = cluster.executor.forward(PROMPT)
        for _ in range(5):
            cluster.coordinator.poll(0.1)  # what is still on its way
            before = cluster.transport.frames_on_lines
            logits = cluster.executor.forward([int(logits.argmax())])
            cluster.coordinator.poll(0.1)
            spent = cluster.transport.frames_on_lines - before
            plan = cluster.plan
            token = plan.strategy.synchronizations(plan, True, widest_sums(plan))
            assert spent == count_traffic(plan, token).lines.frames == (CHIPS + 1) ** 2


def test_a_ring_takes_stages_of_one_chip_alone(model):
    for parallelism in (HOST_REDUCE, ALL_REDUCE, hybrid(2)):
        with pytest.raises(ParallelError, match="give --parallel pipeline"):
            partition(model, CHIPS, parallelism=parallelism, link=Link("ring"))
    with pytest.raises(ParallelError, match="give --chips 3"):
        partition(model, 4, parallelism=pipeline(3), link=Link("ring"))
