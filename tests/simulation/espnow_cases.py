"""What the stand-in `espnow` does, as cases that run under both Pythons.

Each case builds a world with `new_world()`, which whoever runs the cases has set: stations on
a fake radio in the same process under CPython, on the hub's under MicroPython.
"""

from tests.dual import raises

BROADCAST = b"\xff" * 6
NOBODY = b"\x02\x00\x00\x00\x00\xee"
KEY = b"0123456789abcdef"

NOT_INIT, ARG, FULL, NOT_FOUND, EXIST, IF, CHAN = (
    (-12389, "ESP_ERR_ESPNOW_NOT_INIT"),
    (-12390, "ESP_ERR_ESPNOW_ARG"),
    (-12392, "ESP_ERR_ESPNOW_FULL"),
    (-12393, "ESP_ERR_ESPNOW_NOT_FOUND"),
    (-12395, "ESP_ERR_ESPNOW_EXIST"),
    (-12396, "ESP_ERR_ESPNOW_IF"),
    (-12397, "ESP_ERR_ESPNOW_CHAN"),
)

new_world = None


def fails(error, function, *arguments):
    raised = raises(OSError, function, *arguments)
    assert raised.args == error, raised.args


def numbered(number):
    return bytes([2, 1, 0, 0, 0, number])


def pair(world):
    """Two active stations that know each other and everyone."""
    a, b = world.station(), world.station()
    for esp, other in ((a, b), (b, a)):
        esp.add_peer(world.mac(other))
        esp.add_peer(BROADCAST)
    return a, b


def test_unicast_and_broadcast_arrive_with_the_senders_address():
    world = new_world()
    a, b = pair(world)
    c = world.station()
    assert a.send(world.mac(b), b"to b") is True
    assert a.send(BROADCAST, b"to all", False) is True
    world.settle()
    assert b.recv(0) == [world.mac(a), b"to b"]
    assert b.recv(0) == [world.mac(a), b"to all"]
    assert c.recv(0) == [world.mac(a), b"to all"]  # a peer is needed for sending only
    assert b.recv(0) == c.recv(0) == a.recv(0) == (None, None)


def test_nothing_works_when_not_active():
    world = new_world()
    a, b = pair(world)
    a.active(False)
    assert a.active() is False
    fails(NOT_INIT, a.send, world.mac(b), b"x")
    fails(NOT_INIT, a.irecv, 0)
    fails(NOT_INIT, a.recv, 0)
    fails(NOT_INIT, a.any)
    fails(NOT_INIT, a.add_peer, NOBODY)
    fails(NOT_INIT, a.get_peers)
    fails(NOT_INIT, a.peer_count)
    a.active(True)
    fails(NOT_FOUND, a.send, world.mac(b), b"peers are forgotten")


def test_an_unknown_peer_is_refused_broadcast_included():
    a = new_world().station()
    fails(NOT_FOUND, a.send, NOBODY, b"x")
    fails(NOT_FOUND, a.send, BROADCAST, b"x")
    fails(NOT_FOUND, a.del_peer, NOBODY)
    fails(NOT_FOUND, a.get_peer, NOBODY)
    fails(NOT_FOUND, a.mod_peer, NOBODY)
    raises(ValueError, a.add_peer, b"short")
    raises(ValueError, a.send, b"short", b"x")


def test_there_is_room_for_20_peers():
    a = new_world().station()
    for number in range(20):
        a.add_peer(numbered(number))
    fails(EXIST, a.add_peer, numbered(3))
    fails(FULL, a.add_peer, numbered(20))
    a.del_peer(numbered(3))
    a.add_peer(bytearray(numbered(20)))
    assert a.peer_count() == (20, 0)


def test_six_peers_may_be_encrypted_and_broadcast_never():
    a = new_world().station()
    for number in range(6):
        a.add_peer(numbered(number), KEY)
    fails(FULL, a.add_peer, numbered(6), KEY)
    a.add_peer(numbered(6))
    fails(ARG, a.add_peer, BROADCAST, KEY)
    raises(ValueError, a.add_peer, numbered(7), b"short")
    assert a.peer_count() == (7, 6)


def test_what_is_known_of_a_peer():
    a = new_world().station()
    a.add_peer(NOBODY, KEY, 1)
    a.add_peer(BROADCAST)
    assert a.get_peer(NOBODY) == (NOBODY, KEY, 1, 0, True)
    a.mod_peer(NOBODY, channel=6, encrypt=False)
    assert a.get_peer(NOBODY) == (NOBODY, KEY, 6, 0, False)
    assert a.get_peers() == (a.get_peer(NOBODY),)  # without the broadcast address
    assert a.peer_count() == (2, 0)
    fails(ARG, a.mod_peer, NOBODY, None, 15)


def test_the_length_of_a_message_is_limited():
    world = new_world()
    a, b = pair(world)
    fails(ARG, a.send, world.mac(b), b"")
    fails(ARG, a.send, world.mac(b), bytes(world.mtu + 1))
    assert a.send(world.mac(b), b"y" * world.mtu)
    world.settle()
    assert b.recv(0)[1] == b"y" * world.mtu
    assert a.send(world.mac(b), "text")
    world.settle()
    assert b.recv(0)[1] == b"text"


def test_waiting_for_the_response_tells_whether_a_radio_acknowledged():
    world = new_world()
    a, b = pair(world)
    a.add_peer(NOBODY)
    assert a.send(world.mac(b), b"x") is True
    assert a.send(NOBODY, b"x") is False
    assert a.send(NOBODY, b"x", False) is True
    b.active(False)
    assert a.send(world.mac(b), b"nobody wants it") is True
    world.air(b).leave()
    assert a.send(world.mac(b), b"x") is False


def test_sending_to_all_peers_wants_all_responses():
    world = new_world()
    a, b = pair(world)
    c = world.station()
    a.add_peer(world.mac(c))
    assert a.send(b"to both") is True
    world.settle()
    assert b.recv(0)[1] == c.recv(0)[1] == b"to both"
    a.add_peer(NOBODY)
    assert a.send(None, b"again") is False
    d = world.station()
    d.add_peer(BROADCAST)
    fails(NOT_FOUND, d.send, b"no unicast peer")


def test_the_default_buffer_holds_one_greatest_message_and_drops_the_rest():
    world = new_world()
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
    world = new_world()
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
    world = new_world()
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
    world = new_world()
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
    world = new_world()
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
    world = new_world()
    a = world.station()
    start = world.air(a).ticks_ms()
    assert a.irecv(30) == (None, None)
    assert 30 <= world.air(a).elapsed_ms(start) < 2000
    assert a.config("timeout_ms") == 300_000
    a.config(timeout_ms=20)
    assert a.recv() == (None, None)
    assert 50 <= world.air(a).elapsed_ms(start) < 2000


def test_iterating_receives():
    world = new_world()
    a, b = pair(world)
    a.send(world.mac(b), b"first")
    world.settle()
    for mac, message in b:
        assert (mac, bytes(message)) == (world.mac(a), b"first")
        break
    b.active(False)
    fails(NOT_INIT, next, b)


def test_a_callback_runs_when_a_frame_has_arrived():
    world = new_world()
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


def test_statistics_count_packets_responses_and_failures():
    world = new_world()
    a, b = pair(world)
    a.add_peer(NOBODY)
    a.send(world.mac(b), b"1", False)
    a.send(NOBODY, b"2", False)
    a.send(BROADCAST, b"3", False)
    world.settle()
    assert a.stats() == (3, 3, 1, 0, 0)
    assert a.send(world.mac(b), b"an earlier failure is none of this one's") is True
    assert b.any()
    assert b.stats() == (0, 0, 0, 3, 0)


def test_the_interface_must_be_active_and_on_the_peers_channel():
    world = new_world()
    a, b = pair(world)
    world.air(b).join(6)
    world.settle()
    assert a.send(world.mac(b), b"unheard") is False
    a.send(BROADCAST, b"unheard", False)
    a.mod_peer(world.mac(b), channel=6)
    fails(CHAN, a.send, world.mac(b), b"x")
    world.air(a).join(6)
    assert a.send(world.mac(b), b"heard") is True
    world.settle()
    assert b.recv(0)[1] == b"heard" and not b.any()
    world.air(a).leave()
    fails(IF, a.send, world.mac(b), b"x")


def test_configuration_knows_its_parameters_and_rate_fails_on_a_c6():
    world = new_world()
    a, c6 = world.station(), world.station("esp32c6")
    a.config(rate=0x0C)
    raises(OSError, lambda: c6.config(rate=0x0C))
    raises(ValueError, a.config, "rate")


def test_poll_sees_a_waiting_frame():
    world = new_world()
    a, b = pair(world)
    assert b.ioctl(3, 1 | 4) == 4
    a.send(world.mac(b), b"x")
    world.settle()
    assert b.ioctl(3, 1 | 4) == 5
    assert b.ioctl(3, 1) == 1
    assert b.ioctl(10, 0) < 0  # it has no file descriptor
