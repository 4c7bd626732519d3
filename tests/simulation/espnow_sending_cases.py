"""What the stand-in `espnow` does about peers and about sending, under both Pythons."""

from tests.dual import raises
from tests.simulation import espnow_worlds
from tests.simulation.espnow_worlds import (
    ARG,
    BROADCAST,
    CHAN,
    EXIST,
    FULL,
    IF,
    KEY,
    NOBODY,
    NOT_FOUND,
    NOT_INIT,
    fails,
    numbered,
    pair,
)


def test_unicast_and_broadcast_arrive_with_the_senders_address():
    world = espnow_worlds.new_world()
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
    world = espnow_worlds.new_world()
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
    a = espnow_worlds.new_world().station()
    fails(NOT_FOUND, a.send, NOBODY, b"x")
    fails(NOT_FOUND, a.send, BROADCAST, b"x")
    fails(NOT_FOUND, a.del_peer, NOBODY)
    fails(NOT_FOUND, a.get_peer, NOBODY)
    fails(NOT_FOUND, a.mod_peer, NOBODY)
    raises(ValueError, a.add_peer, b"short")
    raises(ValueError, a.send, b"short", b"x")


def test_there_is_room_for_20_peers():
    a = espnow_worlds.new_world().station()
    for number in range(20):
        a.add_peer(numbered(number))
    fails(EXIST, a.add_peer, numbered(3))
    fails(FULL, a.add_peer, numbered(20))
    a.del_peer(numbered(3))
    a.add_peer(bytearray(numbered(20)))
    assert a.peer_count() == (20, 0)


def test_six_peers_may_be_encrypted_and_broadcast_never():
    a = espnow_worlds.new_world().station()
    for number in range(6):
        a.add_peer(numbered(number), KEY)
    fails(FULL, a.add_peer, numbered(6), KEY)
    a.add_peer(numbered(6))
    fails(ARG, a.add_peer, BROADCAST, KEY)
    raises(ValueError, a.add_peer, numbered(7), b"short")
    assert a.peer_count() == (7, 6)


def test_what_is_known_of_a_peer():
    a = espnow_worlds.new_world().station()
    a.add_peer(NOBODY, KEY, 1)
    a.add_peer(BROADCAST)
    assert a.get_peer(NOBODY) == (NOBODY, KEY, 1, 0, True)
    a.mod_peer(NOBODY, channel=6, encrypt=False)
    assert a.get_peer(NOBODY) == (NOBODY, KEY, 6, 0, False)
    assert a.get_peers() == (a.get_peer(NOBODY),)  # without the broadcast address
    assert a.peer_count() == (2, 0)
    fails(ARG, a.mod_peer, NOBODY, None, 15)


def test_the_length_of_a_message_is_limited():
    world = espnow_worlds.new_world()
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
    world = espnow_worlds.new_world()
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
    world = espnow_worlds.new_world()
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


def test_statistics_count_packets_responses_and_failures():
    world = espnow_worlds.new_world()
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
    world = espnow_worlds.new_world()
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
    world = espnow_worlds.new_world()
    a, c6 = world.station(), world.station("esp32c6")
    a.config(rate=0x0C)
    raises(OSError, lambda: c6.config(rate=0x0C))
    raises(ValueError, a.config, "rate")
