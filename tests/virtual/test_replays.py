"""DISCOVERYs of older sessions and of this one, replayed or forged on the air at any rate: chips
answer whom they answered before, and the text stays the same and takes about as long."""

import itertools

import pytest

from protocol.frame import HOST, SRC, TYPE
from protocol.message_types import DISCOVERY, READY
from tests.virtual.clusters import STRATEGIES, generate, open_virtual

ATTACKER = bytes.fromhex("0266666666aa")


class Attacker:
    """A station that records what it hears, and sends it again."""

    def __init__(self, world):
        self.world, self.recorded = world, []
        self.station = world.radio.join(ATTACKER, 1, self._receive)

    def _receive(self, sender, frame, rssi):
        self.recorded.append(bytes(frame))

    def replay(self, frames, times_a_second):
        """Sends these frames in turn from now on."""
        self.recorded, frames = [], list(frames)

        def send():
            self.world.radio.transmit(self.station, b"\xff" * 6, frames[0])
            frames.append(frames.pop(0))
            self.world.later(1000 // times_a_second, send)

        send()

    def forge(self, times_a_second):
        """Sends what it heard last of the host's DISCOVERYs, with another MAC."""
        self._send_last(times_a_second, lambda frame: frame[:-1] + bytes([frame[-1] ^ 1]))

    def echo(self, times_a_second):
        """Sends what it heard last of the host's DISCOVERYs, and all of them before, in turn."""
        turn = itertools.count()
        self._send_last(times_a_second, lambda frame: frame, turn)

    def _send_last(self, times_a_second, changed, turn=None):
        def send():
            heard = [frame for frame in self.recorded if frame[TYPE] == DISCOVERY]
            frame = heard[-1 - (next(turn) % min(len(heard), 8) if turn else 0)]
            self.world.radio.transmit(self.station, b"\xff" * 6, changed(frame))
            self.world.later(1000 // times_a_second, send)

        send()


def record_sessions(cluster, attacker, count=3):
    """The DISCOVERYs of so many sessions, now over."""
    for _ in range(count):
        cluster.coordinator.rekey()
        cluster.executor.connect(2.5)
    found = [frame for frame in attacker.recorded if frame[TYPE] == DISCOVERY]
    assert len(found) >= count and all(frame[SRC] == HOST for frame in found)
    cluster.coordinator.rekey()
    cluster.executor.connect(2.5)
    return found


@pytest.mark.parametrize("rate", [20, 500])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_replays_of_older_sessions_change_nothing(model, text, strategy, rate):
    with open_virtual(model, strategy, "espnow", signed=True) as cluster:
        began = cluster.world.seconds()
        assert generate(cluster) == text
        undisturbed = cluster.world.seconds() - began
        attacker = Attacker(cluster.world)
        attacker.replay(record_sessions(cluster, attacker), rate)
        began = cluster.world.seconds()
        assert generate(cluster) == text
        seconds = cluster.world.seconds() - began
        assert seconds < 1.2 * undisturbed + 0.1
        assert cluster.executor.recoveries == 0
        # What chips answer to it, together: a burst of each kind, and so many a second.
        answers = [frame for frame in attacker.recorded if frame[TYPE] == READY]
        assert 0 < len(answers) <= 2 * (8 * len(cluster.chips) + 100 * seconds)


def check_restart(model, text, strategy, attack):
    """A chip restarts in the middle of the text while somebody attacks."""
    with open_virtual(model, strategy, "espnow", signed=True, timeout=15.0) as cluster:
        attacker = Attacker(cluster.world)
        recorded = record_sessions(cluster, attacker)

        def before(position):
            if position == 9:
                attack(attacker, recorded)
                cluster.chips[1].restart(50)

        began = cluster.world.seconds()
        assert generate(cluster, before) == text
        assert cluster.chips[1].restarts == 1
        assert cluster.world.seconds() - began < 15


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_restart_among_replays_is_recovered_from(model, text, strategy):
    check_restart(model, text, strategy, lambda attacker, old: attacker.replay(old, 500))


@pytest.mark.parametrize("attack", [Attacker.forge, Attacker.echo])
@pytest.mark.parametrize("strategy", ["host", "chips"])
def test_a_restart_among_frames_of_this_session_is_recovered_from(model, text, strategy, attack):
    check_restart(model, text, strategy, lambda attacker, _: attack(attacker, 500))
