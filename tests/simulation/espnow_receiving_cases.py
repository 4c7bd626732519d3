"""What the stand-in `espnow` does about receiving, under both Pythons."""

from tests.dual import raises
from tests.simulation import espnow_worlds
from tests.simulation.espnow_worlds import (
    NOT_INIT,
    fails,
    pair,
)


def test_the_default_buffer_holds_one_greatest_message_and_drops_the_rest():
    world = espnow_worlds.new_world()
    a, b = pair(world)
    for number in range(3):
        # Acknowledged, though the program will never see the second and third.
        assert a.send(world.mac(b), bytes([number]) * world.mtu) is True
    world.settle()
    assert b.recv(0)[1] == bytes(world.mtu)
    assert b.recv(0) == (None, None)
    assert b.stats()[3:] == (1, 2)
    assert a.send(world.mac(b), b"room again") is True
    world.settle()
    assert b.recv(0)[1] == b"room again"


def test_a_new_buffer_size_counts_from_the_next_activation():
    world = espnow_worlds.new_world()
    a, b = pair(world)
    overhead = 13 if world.mtu == 250 else 14
    assert b.config("rxbuf") == 2 * (overhead + world.mtu)
    b.config(rxbuf=8 * (overhead + 100) + 2)  # one byte stays free, and one more is wanted
    assert b.config("rxbuf") == 8 * (overhead + 100) + 2
    for activate, room in ((False, 4 if world.mtu == 250 else 20), (True, 8)):
        if activate:
            b.active(False)
            b.active(True)
        for _ in range(20):
            a.send(world.mac(b), bytes(100), False)
        world.settle()
        count = 0
        while b.irecv(0)[0]:
            count += 1
        assert count == room, count


def test_what_arrives_while_a_frame_waits_finds_less_room():
    world = espnow_worlds.new_world()
    a, b = pair(world)
    a.send(world.mac(b), bytes(world.mtu))
    world.settle()
    assert b.any()
    a.send(world.mac(b), bytes(world.mtu))
    world.settle()
    b.irecv(0)
    assert b.irecv(0) == (None, None)
    assert b.stats()[4] == 1


def test_irecv_reuses_its_buffers_and_recv_does_not():
    world = espnow_worlds.new_world()
    a, b = pair(world)
    b.config(rxbuf=4096)
    b.active(False)
    b.active(True)
    for message in (b"a long first one", b"short", b"the third message of them", b"kept"):
        a.send(world.mac(b), message)
    world.settle()
    first = b.irecv(0)
    message = first[1]
    assert isinstance(first, list) and isinstance(message, bytearray)
    assert message == b"a long first one"
    assert b.irecv(0) is first and first[1] is message
    assert message == b"short"  # the first one is gone
    assert b.irecv(0)[1] is message and message == b"the third message of them"
    kept = b.recv(0)
    assert isinstance(kept[1], bytes) and kept == [world.mac(a), b"kept"]
    assert b.irecv(0) == (None, None)


def test_recvinto_fills_the_callers_buffers():
    world = espnow_worlds.new_world()
    a, b = pair(world)
    b.config(rxbuf=4 * 2048)
    b.active(False)
    b.active(True)
    for message in (b"one", b"two is longer", b"three", b"four"):
        a.send(world.mac(b), message)
    world.settle()
    mine, other = bytearray(world.mtu), bytearray(world.mtu)
    buffers = [None, mine, None, None]
    assert b.recvinto(buffers, 0) == 3
    assert buffers[:2] == [world.mac(a), b"one"] and buffers[1] is mine
    assert buffers[2] == -50 and buffers[3] >= 0
    assert b.peers_table[world.mac(a)] == buffers[2:]
    assert b.recvinto([None, other], 0) == 13 and other == b"two is longer"
    assert b.recvinto(buffers, 0) == 5 and mine == b"three"
    view = memoryview(bytearray(world.mtu))
    assert b.recvinto([None, view], 0) == 4 and bytes(view[:5]) == b"four\0"
    assert b.recvinto(buffers, 0) == 0
    raises(ValueError, b.recvinto, (None, mine), 0)
    raises(ValueError, b.recvinto, [None], 0)
    raises(ValueError, b.recvinto, [None, bytearray(world.mtu - 1)], 0)


def test_receiving_times_out():
    world = espnow_worlds.new_world()
    a = world.station()
    start = world.air(a).ticks_ms()
    assert a.irecv(30) == (None, None)
    assert 30 <= world.air(a).elapsed_ms(start) < 2000
    assert a.config("timeout_ms") == 300_000
    a.config(timeout_ms=20)
    assert a.recv() == (None, None)
    assert 50 <= world.air(a).elapsed_ms(start) < 2000


def test_iterating_receives():
    world = espnow_worlds.new_world()
    a, b = pair(world)
    a.send(world.mac(b), b"first")
    world.settle()
    for mac, message in b:
        assert (mac, bytes(message)) == (world.mac(a), b"first")
        break
    b.active(False)
    fails(NOT_INIT, next, b)


def test_a_callback_runs_when_a_frame_has_arrived():
    world = espnow_worlds.new_world()
    a, b = pair(world)
    seen = []

    def receive(esp):
        seen.append(bytes(esp.irecv(0)[1]))

    b.irq(receive)
    a.send(world.mac(b), b"called")
    world.settle()
    assert b.any() is False
    assert seen == [b"called"]
    b.irq(None)
    a.send(world.mac(b), b"not called")
    world.settle()
    assert b.any() and seen == [b"called"]
    raises(ValueError, b.irq, 5)


def test_poll_sees_a_waiting_frame():
    world = espnow_worlds.new_world()
    a, b = pair(world)
    assert b.ioctl(3, 1 | 4) == 4
    a.send(world.mac(b), b"x")
    world.settle()
    assert b.ioctl(3, 1 | 4) == 5
    assert b.ioctl(3, 1) == 1
    assert b.ioctl(10, 0) < 0  # it has no file descriptor
