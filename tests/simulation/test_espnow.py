"""The cases of the stand-in `espnow`, under CPython and under MicroPython."""

import ast
import re
from pathlib import Path

import pytest

from host.simulation.hub import MTUS, HubProcess
from host.simulation.in_process import InProcessAir
from host.simulation.radio import FakeRadio
from host.simulation.standins.espnow import ESPNow
from tests.simulation import (
    espnow_receiving_cases,
    espnow_sending_cases,
    espnow_worlds,
    launch,
)

MODULES = (espnow_sending_cases, espnow_receiving_cases)
CASES = {
    node.name: module
    for module in MODULES
    for node in ast.parse(Path(module.__file__).read_text()).body
    if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
}

MICROPYTHON_WORLD = """
import _air, espnow
from tests.dual import run_cases
from tests.simulation import espnow_worlds

class World:
    number = 0
    airs = {}
    mtu = %d
    def __init__(self):
        for air in World.airs.values():
            air.leave()
        World.airs = {}
    def station(self, chip="esp32"):
        World.number += 1
        air = _air.UdpAir(%d, bytes([2, 0, 0, 0, 0, World.number]), self.mtu, chip)
        air.join(1)
        air.query()
        esp = espnow.ESPNow(air)
        World.airs[id(esp)] = air
        esp.active(True)
        return esp
    def air(self, esp):
        return World.airs[id(esp)]
    def mac(self, esp):
        return self.air(esp).mac
    def settle(self):
        # The hub answers in the order of what it was sent, so all frames are on their way.
        for air in World.airs.values():
            air.query()

espnow_worlds.new_world = World
for module, cases in %r:
    run_cases(module, cases)
"""


class InProcessWorld:
    """Stations on a fake radio of this process."""

    def __init__(self, mtu):
        self.mtu = mtu
        self._radio = FakeRadio(delay_us=100)
        self._airs = {}

    def station(self, chip="esp32"):
        air = InProcessAir(
            self._radio, launch.mac_of(len(self._airs) + 1), mtu=self.mtu, chip=chip
        )
        esp = ESPNow(air)
        self._airs[esp] = air
        esp.active(True)
        return esp

    def air(self, esp):
        return self._airs[esp]

    def mac(self, esp):
        return self._airs[esp].mac

    def settle(self):
        self._radio.advance(1000)


@pytest.mark.parametrize("mtu", MTUS)
@pytest.mark.parametrize("case", CASES)
def test_under_cpython(case, mtu, monkeypatch):
    monkeypatch.setattr(espnow_worlds, "new_world", lambda: InProcessWorld(mtu))
    getattr(CASES[case], case)()


@pytest.fixture(scope="module", params=MTUS)
def outcomes(request, micropython):
    """What each case prints in one MicroPython process, by its name."""
    with HubProcess() as hub:
        cases = [
            (module.__name__, [case for case, found in CASES.items() if found is module])
            for module in MODULES
        ]
        program = MICROPYTHON_WORLD % (request.param, hub.port, cases)
        text = launch.output(launch.chip(micropython, program))
    return dict(re.findall(r"^@case (\w+)\n(.*?)(?=^@case |\Z)", text, re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize("case", CASES)
def test_under_micropython(case, outcomes):
    assert outcomes[case] == "@passed\n", outcomes[case]


def test_a_wait_that_cannot_end_is_an_error_in_virtual_time():
    esp = InProcessWorld(250).station()
    with pytest.raises(RuntimeError, match="nothing is on the air"):
        esp.irecv(-1)


def test_frames_of_a_lossy_radio_come_late_and_the_wait_is_virtual():
    radio = FakeRadio(seed=3, loss=0.5, delay_us=2_000_000)
    a, b = (ESPNow(InProcessAir(radio, launch.mac_of(number))) for number in (1, 2))
    for esp in (a, b):
        esp.active(True)
    a.add_peer(launch.mac_of(2))
    responses = []
    for number in range(50):
        a.send(launch.mac_of(2), bytes([number]), False)
        responses.append(b.irecv(3000)[1] is not None)
    assert 10 < sum(responses) < 40
    assert a.stats()[:3] == (50, 50, 50 - sum(responses))
    assert radio.now_us >= 50 * 2_000_000


def test_a_station_of_version_1_does_not_hear_long_frames():
    radio = FakeRadio()
    sender, old, new = (
        ESPNow(InProcessAir(radio, launch.mac_of(number), mtu=mtu))
        for number, mtu in ((1, 1470), (2, 250), (3, 1470))
    )
    everybody = b"\xff" * 6
    for esp in (sender, old, new):
        esp.config(rxbuf=4000)
        esp.active(True)
    sender.add_peer(everybody)
    for size in (251, 250):
        sender.send(everybody, bytes(size), False)
    assert len(new.irecv(0)[1]) == 251
    assert len(old.irecv(0)[1]) == len(new.irecv(0)[1]) == 250
    assert old.irecv(0)[1] is None
