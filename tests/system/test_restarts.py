"""Chips that reset themselves: the host learns why, and the text stays the same."""

import json
import re

import pytest

from host.errors import ClusterError
from host.launch import SimulatedChips, open_cluster
from tests.system.changed_firmware import append_source, change_files
from tests.system.federations import HEAP
from tests.system.reference_runs import SILENT, assert_equals_reference

STEPS = 30
CHIP = 2

# At its 50th request after power-on, this is what the chip does instead of working on it.
ROLE = "firmware/roles/host_reduce.py"
ONCE = """
import machine, time
_left = [50]
_whole = HostReduce._on_compute
def _failing(*arguments):
    _left[0] -= 1
    if _left[0] == 0 and machine.reset_cause() == machine.PWRON_RESET:
        {statement}
    return _whole(*arguments)
HostReduce._on_compute = _failing
"""
ALWAYS = """
def _failing(*_):
    raise ValueError("out of luck")
HostReduce._on_compute = _failing
"""


def settings(link):
    return SimulatedChips.alike(5, link, heap=HEAP)


@pytest.mark.parametrize("link", ["espnow", "uart"])
def test_a_chip_whose_loop_raises_reports_it_and_restarts(model, runs, monkeypatch, link):
    failing = ONCE.format(statement='raise ValueError("out of luck")')
    append_source(monkeypatch, ROLE, failing, only=CHIP)
    with open_cluster(model, settings(link)) as cluster:
        boot_id = cluster.ready[CHIP].boot_id
        assert_equals_reference(cluster.executor, runs[0], STEPS)
        assert cluster.coordinator.last_errors == {CHIP: "ValueError: out of luck"}
        assert cluster.coordinator.boot_ids[CHIP] != boot_id
        assert cluster.executor.recoveries == 1


def test_a_chip_that_cannot_even_report_it_restarts(model, runs, monkeypatch):
    failing = ONCE.format(statement='raise ValueError("out of luck")')
    silent = "def _fail(*_):\n    raise OSError(5)\nNode.report = _fail\n"
    append_source(monkeypatch, ROLE, failing, only=CHIP)
    append_source(monkeypatch, "firmware/node.py", silent, only=CHIP)
    with open_cluster(model, settings("uart")) as cluster:
        assert_equals_reference(cluster.executor, runs[0], STEPS)
        assert cluster.coordinator.last_errors == {}
        assert cluster.executor.recoveries == 1


def test_a_chip_whose_loop_always_raises_is_given_up_with_its_error(model, runs, monkeypatch):
    append_source(monkeypatch, ROLE, ALWAYS, only=CHIP)
    with open_cluster(model, settings("uart")) as cluster, pytest.raises(ClusterError) as caught:
        assert_equals_reference(cluster.executor, runs[0], STEPS)
    message = (
        rf"chip {CHIP} {SILENT} \(attention of layer 0, position 0\); last error of chip {CHIP}:"
        r" ValueError: out of luck"
    )
    assert re.fullmatch(message, str(caught.value)), caught.value


def test_a_watchdog_restarts_a_chip_whose_loop_hangs(model, runs, monkeypatch):
    """As far as a process can show it: the stand-in bites when it is next fed."""
    hanging = ONCE.format(statement="time.sleep_ms(900)")
    append_source(monkeypatch, ROLE, hanging, only=CHIP)
    change_configuration(monkeypatch, lambda config: config.update(board={"watchdog_ms": 500}))
    with open_cluster(model, settings("uart")) as cluster:
        boot_id = cluster.ready[CHIP].boot_id
        assert_equals_reference(cluster.executor, runs[0], STEPS)
        assert cluster.coordinator.boot_ids[CHIP] != boot_id
        assert cluster.coordinator.last_errors == {}


def test_a_chip_whose_radio_refuses_the_rate_says_so_and_works(model, runs, monkeypatch):
    change_configuration(monkeypatch, lambda config: config["radio"].update(rate=12))
    on_a_c6 = 'import os\nos.putenv("FEDERATION_CHIP", "esp32c6")\n'
    append_source(monkeypatch, "firmware/devices.py", on_a_c6, only=CHIP)
    with open_cluster(model, settings("espnow")) as cluster:
        assert_equals_reference(cluster.executor, runs[0], 5)
        printed = {chip: output(cluster.simulation.chips[chip]) for chip in range(5)}
    refused = "ESP-NOW stays at 1 Mbit/s: its rate was refused: [Errno 1] EPERM: ESP_FAIL\n"
    assert printed == {chip: refused if chip == CHIP else "" for chip in range(5)}


def output(chip):
    return (chip.folder / "output.txt").read_text()


def change_configuration(monkeypatch, change):
    """Has change(configuration) alter each chip's."""

    def change_content(_, content):
        config = json.loads(content["config.json"])
        change(config)
        content["config.json"] = json.dumps(config).encode()

    change_files(monkeypatch, change_content)
