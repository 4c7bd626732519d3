"""A storm of 50,000 frames raises only ProtocolError and leaves no memory behind."""

import gc

from tests.protocol.fuzz import Storm

FRAMES = 50000
# What may differ between two collected heaps that hold the same: blocks that a conservative
# collector keeps for a stale word on the stack.
SLACK = 2048


def collected_heap():
    """Bytes in use after a collection under MicroPython; 0 under CPython, whose allocations
    tests/host/test_wire_fuzz.py watches."""
    gc.collect()
    return gc.mem_alloc() if hasattr(gc, "mem_alloc") else 0


def test_a_storm_of_frames():
    storm = Storm(1)
    storm.run(2000)
    before = collected_heap()
    storm.run(FRAMES)
    assert collected_heap() - before < SLACK
    assert storm.opened > FRAMES // 4
    assert storm.refused > FRAMES // 4
    assert storm.decoded > FRAMES // 10
    assert storm.reassembled > 50  # whole messages, fragment by fragment
    assert storm.read > 1000
