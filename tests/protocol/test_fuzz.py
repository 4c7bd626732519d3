"""A storm of frames raises only ProtocolError and leaves no memory behind. On MicroPython `verify`
runs one of 50,000 (tests/test_under_micropython.py)."""

import gc

from tests.protocol.fuzz import Storm

FRAMES = 12000
# What may differ between two collected heaps that hold the same: blocks that a conservative
# collector keeps for a stale word on the stack.
SLACK = 2048


def collected_heap():
    """Bytes in use after a collection under MicroPython; 0 under CPython, whose allocations
    tests/host/test_wire_fuzz.py watches."""
    gc.collect()
    return gc.mem_alloc() if hasattr(gc, "mem_alloc") else 0


def check_storm(frames):
    """Throws so many frames, and holds what became of them to what must."""
    storm = Storm(1)
    storm.run(2000)
    before = collected_heap()
    storm.run(frames)
    assert collected_heap() - before < SLACK
    assert storm.opened > frames // 4
    assert storm.refused > frames // 4
    assert storm.decoded > frames // 10
    assert storm.reassembled > frames // 1000  # whole messages, fragment by fragment
    assert storm.read > frames // 50


def test_a_storm_of_frames():
    check_storm(FRAMES)
