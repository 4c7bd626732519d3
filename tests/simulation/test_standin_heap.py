"""What stand-ins for C modules take of a simulated chip's heap: plans for boards leave it out."""

import os
import subprocess

import pytest

from host.build.compilation import compiled
from host.hardware.ram import STANDINS, planned
from host.setup.micropython import native_arch
from host.simulation.hub import HubProcess
from tests.simulation.launch import STANDINS as FOLDER

MTU = 250
RXBUF = 1000
ROUNDING = 600  # bytes by which a figure is below what is measured, at most
ON_A_BOARD = {"uart": 500, "espnow": 3_000}  # objects that it has too
# What plans count by themselves: ESPNow's receive buffer, and five frames beside it.
RADIO_BUFFERS = RXBUF + 5 * (MTU + 14)

PROGRAM = """
import gc, sys
def radio():
    import espnow, network
    station = network.WLAN(network.STA_IF)
    station.active(True)
    station.config(channel=1, pm=network.WLAN.PM_NONE)
    made = espnow.ESPNow()
    made.config(rxbuf={rxbuf})
    made.active(True)
    sys.modules.pop("network")
    made.add_peer(bytes([255] * 6))
    made.irecv(0)
    return made
gc.collect()
before = gc.mem_alloc()
import machine
made = radio() if {has_radio} else None
gc.collect()
print(gc.mem_alloc() - before)
"""


def heap_used(micropython, folder, has_radio, mtu=MTU):
    """Bytes that machine, and with a radio network and espnow, leave in use."""
    for path in FOLDER.glob("*.py"):
        code = compiled(path.read_bytes(), path.name, native_arch(), "native")
        (folder / f"{path.stem}.mpy").write_bytes(code)
    with HubProcess() as hub:
        environment = {
            "MICROPYPATH": ".:.frozen", "FEDERATION_HUB": str(hub.port),
            "FEDERATION_MTU": str(mtu), "FEDERATION_MAC": "024200000001",
        }  # fmt: skip
        program = PROGRAM.format(rxbuf=RXBUF, has_radio=has_radio)
        ended = subprocess.run(
            [micropython, "-X", "heapsize=1M", "-c", program],
            cwd=folder, env={**os.environ, **environment}, stdin=subprocess.DEVNULL,
            check=True, capture_output=True, text=True, timeout=30,
        )  # fmt: skip
    return int(ended.stdout)


@pytest.mark.parametrize("link", ["uart", "espnow"])
def test_boards_are_spared_what_stand_ins_take_and_no_more(micropython, tmp_path, link):
    used = heap_used(micropython, tmp_path, link == "espnow") - ON_A_BOARD[link]
    if link == "espnow":
        used -= RADIO_BUFFERS
    assert 0 <= used - STANDINS[link] <= ROUNDING


def test_long_frames_take_no_more_of_stand_ins_than_plans_count(micropython, tmp_path):
    """Of five, one is on a board too."""
    short, long = (heap_used(micropython, tmp_path, True, mtu) for mtu in (MTU, 1470))
    frames = (long - short) / (1470 - MTU)
    assert 3.9 < frames < 4.1
    more = planned(100_000, "espnow", 1470) - planned(100_000, "espnow", MTU)
    assert more == 4 * (1470 - MTU)
