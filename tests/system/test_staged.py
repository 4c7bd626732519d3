"""Stages of a pipeline equal the reference to the bit, as all other ways to divide a model do.

The default run takes a slice; `verify` takes 1 to 8 chips in all numbers of stages, on every link,
for 128 steps, with losses for 32. In
tests/system/test_every_mode.py all ways are held to one text.
"""

import os
import signal

import pytest

from host.errors import ClusterError
from host.executors.activity import idle_share
from host.launch import open_cluster
from host.parallel.parallelism import LINKS
from host.parallel.theory.pipeline_schedule import bubble_ratio
from tests.cover import Cover
from tests.system.changed_firmware import append_source
from tests.system.conftest import STEPS
from tests.system.federations import assert_prompts_equal, settings
from tests.system.reference_runs import SILENT, assert_equals_reference

LAYERS = 5
VERIFY = pytest.mark.verify
PROMPTS = range(7)
MINUTES_AN_ITEM = 10


def is_possible(row):
    """Whether so many chips can be so many stages: in a ring each chip is one."""
    chips, stages, link = row[:3]
    return stages <= chips and (link != "ring" or stages == chips)


# Pipelines of up to 8 chips, and all hybrids of as many.
STAGES = {"chips": range(1, 9), "stages": range(1, LAYERS + 1), "link": LINKS}
TABLE = Cover({**STAGES, "prompt": PROMPTS}, ("chips", "stages", "link"), is_possible)
LOSSY = Cover({**STAGES, "secure": (False, True)}, (), is_possible)


def staged(chips, stages, *arguments):
    """How to simulate so many chips in stages."""
    return settings(chips, *arguments, stages=stages)


@pytest.mark.parametrize(
    ("chips", "stages", "link", "loss", "secure", "prompts", "steps"),
    [
        (5, 5, "espnow", 0.0, False, PROMPTS[:2], 32),
        (3, 3, "uart", 0.0, True, PROMPTS[2:3], 32),
        (5, 2, "espnow", 0.0, True, PROMPTS[3:4], 24),
        (4, 2, "uart", 0.0, False, PROMPTS[4:5], 24),
        (3, 3, "espnow", 0.2, False, PROMPTS[5:6], 16),
        (2, 2, "uart", 0.2, True, PROMPTS[6:7], 12),
        (3, 3, "ring", 0.2, True, PROMPTS[1:2], 12),
    ],
)
def test_a_slice_of_the_matrix(model, runs, chips, stages, link, loss, secure, prompts, steps):
    how = staged(chips, stages, link, loss, secure)
    assert_prompts_equal(model, runs, prompts, steps, how)


def test_sequences_in_the_pipeline_together_give_what_each_gives_alone(model, runs):
    steps = 40
    with open_cluster(model, staged(4, 4, "espnow")) as cluster:
        executor = cluster.executor
        executor.greedy = True
        sequences, left = {}, list(enumerate(runs))
        texts = {}
        while left or sequences:
            while left and len(sequences) < executor.slots:
                number, run = left.pop(0)
                sequence = executor.open()
                sequences[sequence] = number
                executor.extend(sequence, run.tokens[: run.prompt].tolist())
            sequence, logits = executor.completed()
            token = int(logits[-1].argmax())
            if len(sequence.tokens) == steps:
                texts[sequences.pop(sequence)] = [*sequence.tokens, token]
                executor.close(sequence)
            else:
                executor.extend(sequence, [token])
        busy = {c: s.busy_ms for c, s in cluster.coordinator.statistics().items()}
        activity = executor.activity
        assert activity.most_sequences == executor.slots == 5
        assert activity.completions == sum(steps - run.prompt + 1 for run in runs)
        assert 0 < executor.idle(busy).measured < 1
    assert texts == {i: run.tokens[: steps + 1].tolist() for i, run in enumerate(runs)}


# Work that takes all stages equally long, and much longer than messages do.
SLOWLY = """
import time
_at_once = Step.begin
def _slowly(*arguments):
    time.sleep_ms(200)
    return _at_once(*arguments)
Step.begin = _slowly
"""


def measured_idle_share(model, sequences, tokens, micro_batches):
    """Of three stages that were given so much at once."""
    with open_cluster(model, staged(3, 3, "uart")) as cluster:
        executor = cluster.executor
        for _ in range(sequences):
            executor.extend(executor.open(), list(range(2, 2 + tokens)))
        for _ in range(sequences):
            executor.completed()
        busy = {c: s.busy_ms for c, s in cluster.coordinator.statistics().items()}
        idle = executor.idle(busy)
        assert idle.micro_batches == micro_batches
        return idle.measured


@pytest.mark.parametrize(
    ("sequences", "tokens", "micro_batches"), [(1, 8, 1), (1, 32, 4), (1, 64, 8), (3, 8, 3)]
)
def test_stages_idle_as_the_formula_says(model, monkeypatch, sequences, tokens, micro_batches):
    """A prompt in micro-batches of 8 positions, or several prompts of one each."""
    append_source(monkeypatch, "firmware/roles/step.py", SLOWLY)
    expected = float(bubble_ratio(3, micro_batches))
    assert idle_share(3, micro_batches) == pytest.approx(expected)
    found = []
    while not found or abs(found[-1] - expected) > 0.05:
        assert len(found) < 4, found  # a busy machine makes one or the other wait
        found.append(measured_idle_share(model, sequences, tokens, micro_batches))


@pytest.mark.parametrize(
    ("chips", "stages", "link", "secure", "restarted"),
    [
        (3, 3, "espnow", False, 1),
        (3, 3, "uart", True, 2),
        (4, 2, "espnow", True, 0),
        (4, 2, "uart", False, 3),
        (3, 3, "ring", True, 1),
        pytest.param(5, 5, "ring", False, 4, marks=VERIFY),
    ],
)
def test_a_chip_that_restarts_is_replayed(model, runs, chips, stages, link, secure, restarted):
    with open_cluster(model, staged(chips, stages, link, 0.0, secure)) as cluster:

        def restart(position):
            if position == 20:
                cluster.simulation.chips[restarted].restart()

        assert_equals_reference(cluster.executor, runs[2], 32, restart)
        assert cluster.executor.recoveries >= 1


@pytest.mark.parametrize(
    ("link", "stages"),
    [
        pytest.param("uart", 4, marks=VERIFY),
        pytest.param("espnow", 4, marks=VERIFY),
        ("espnow", 2),
    ],
)
def test_a_chip_that_hangs_is_named(model, runs, link, stages):
    with open_cluster(model, staged(4, stages, link)) as cluster:

        def hang(position):
            if position == 20:
                os.kill(cluster.simulation.chips[2].process.pid, signal.SIGSTOP)

        with pytest.raises(ClusterError, match=rf"^chip 2 {SILENT} \(position "):
            assert_equals_reference(cluster.executor, runs[2], 32, hang)


@pytest.mark.verify
def test_a_chip_that_hangs_silences_a_ring_which_is_said(model, runs):
    with open_cluster(model, staged(3, 3, "ring")) as cluster:

        def hang(position):
            if position == 20:
                os.kill(cluster.simulation.chips[1].process.pid, signal.SIGSTOP)

        advice = r"; in a ring nobody is heard where one chip is off or one wire is loose: "
        with pytest.raises(ClusterError, match=rf"{SILENT} \(position \d+\){advice}"):
            assert_equals_reference(cluster.executor, runs[2], 32, hang)


def test_a_chip_that_dies_is_named(model, runs):
    with open_cluster(model, staged(3, 3, "espnow")) as cluster:

        def kill(position):
            if position == 20:
                os.kill(cluster.simulation.chips[1].process.pid, signal.SIGKILL)

        with pytest.raises(ClusterError, match="^chip 1 died: signal SIGKILL$"):
            assert_equals_reference(cluster.executor, runs[2], 32, kill)


@pytest.mark.verify
@pytest.mark.timeout(60 * MINUTES_AN_ITEM)
@TABLE.parametrize()
def test_without_loss(model, runs, chips, stages, link, prompt):
    assert_prompts_equal(model, runs, [prompt], STEPS, staged(chips, stages, link))


@pytest.mark.verify
@pytest.mark.timeout(60 * MINUTES_AN_ITEM)
@LOSSY.parametrize()
def test_with_a_fifth_of_all_frames_lost(model, runs, chips, stages, link, secure):
    prompt = PROMPTS[(chips + secure) % 7]
    how = staged(chips, stages, link, 0.2, secure)
    assert_prompts_equal(model, runs, [prompt], STEPS // 4, how)
