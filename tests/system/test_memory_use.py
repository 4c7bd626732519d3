"""What a token takes of a chip's heap, and the heaps and shards that the model needs at least."""

import pytest

from host.launch import SimulatedChips, open_cluster
from tests.system.changed_firmware import append_source
from tests.system.reference_runs import assert_equals_reference

# Bytes that a token leaves as garbage, at most: on a wire, on the radio and at its gateway, for
# frames with a checksum and signed ones. Measured 2,900, 3,600, 6,500 and 11,800, 12,500, 15,400.
GARBAGE = {
    ("uart", False): (3_300, 3_300),
    ("espnow", False): (7_300, 4_100),
    ("uart", True): (13_000, 13_000),
    ("espnow", True): (17_000, 13_800),
}
BLOCK = 16  # bytes of MicroPython's heap


def settings(link, *, heap_kb=4096, context=None, secure=False):
    heap = heap_kb * 1024
    return SimulatedChips.alike(5, link, signed=secure, heap=heap, context=context)


def heaps(cluster, collect):
    statistics = cluster.coordinator.statistics(collect)
    return [statistics[chip].heap_used for chip in sorted(statistics)]


LINKS = [
    ("uart", False),
    ("espnow", True),
    pytest.param("uart", True, marks=pytest.mark.verify),
    pytest.param("espnow", False, marks=pytest.mark.verify),
]


@pytest.mark.parametrize(("link", "secure"), LINKS)
def test_fifty_tokens_leave_no_chip_with_more_in_use(model, link, secure):
    with open_cluster(model, settings(link, secure=secure)) as cluster:
        executor = cluster.executor
        executor.begin()
        executor.forward([1, 400, 300])
        before = heaps(cluster, collect=True)
        for token in range(50):
            executor.forward([token])
        after = heaps(cluster, collect=True)
    growth = [now - then for then, now in zip(before, after, strict=True)]
    assert max(growth) <= 4 * BLOCK, growth


@pytest.mark.parametrize(("link", "secure"), LINKS)
def test_a_token_leaves_little_garbage(model, monkeypatch, link, secure):
    # Without the threshold, nothing is collected in a large heap unless it is asked for.
    append_source(monkeypatch, "firmware/heap.py", "\ndef finish():\n    gc.collect()\n")
    tokens = 8
    with open_cluster(model, settings(link, secure=secure)) as cluster:
        executor = cluster.executor
        executor.begin()
        executor.forward([1, 400, 300])
        turns = []
        for _ in range(3):
            before = heaps(cluster, collect=True)
            for token in range(tokens):
                executor.forward([token])
            after = heaps(cluster, collect=False)
            turns.append([(now - then) // tokens for then, now in zip(before, after, strict=True)])
    garbage = list(map(min, zip(*turns, strict=True)))  # of the turn with the fewest resends
    print(f"{link}{', signed' if secure else ''}: {garbage} bytes of garbage a token")
    first, others = GARBAGE[link, secure]
    assert 0 < garbage[0] <= first and 0 < max(garbage[1:]) <= others


@pytest.mark.parametrize("link", ["uart", "espnow"])
def test_a_context_of_256_runs_in_160_kb(model, runs, link):
    with open_cluster(model, settings(link, heap_kb=160, context=256)) as cluster:
        assert cluster.executor.plan.context == 256
        for run in runs[1:3]:
            assert_equals_reference(cluster.executor, run, 64)
        statistics = cluster.coordinator.statistics()
        assert max(of_one.heap_used for of_one in statistics.values()) < 160 * 1024


@pytest.mark.parametrize("link", ["uart", "espnow"])
def test_a_full_context_of_256_runs_in_160_kb(model, link):
    with open_cluster(model, settings(link, heap_kb=160, context=256)) as cluster:
        sequence = cluster.executor.open()
        for tokens in ([1 + position % 500 for position in range(255)], [7]):
            cluster.executor.extend(sequence, tokens)
            assert cluster.executor.completed()[0] is sequence
        assert sequence.position == 256


def test_shards_of_five_chips_take_at_most_64_kib(model):
    with open_cluster(model, settings("espnow")) as cluster:
        assert len(cluster.shard_bytes) == 5
        assert max(cluster.shard_bytes.values()) <= 64 * 1024
