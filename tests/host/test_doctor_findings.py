"""What the doctor finds in what boards report, and in what they answer at their prompts."""

import binascii
import contextlib
import io
import json
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

from host.build.firmware_version import firmware_version
from host.diagnosis import examination, node
from host.diagnosis.at_prompt import check_identity, check_power_save, check_radio, read_identity
from host.diagnosis.examination import examine_port
from host.diagnosis.node import check_ready_report
from host.diagnosis.prompt import NoPrompt
from host.diagnosis.signal import WEAKEST, measure_signal
from protocol import message_types
from tests.host.doctor_cases import BOARD, CLUSTER, CONFIG, FILES, MACS, READY, fault, faults
from tests.host.fake_chips import FakeChip, ready


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_chip_as_it_should_be():
    (finding,) = check_ready_report(1, READY, CLUSTER)
    assert str(finding) == (
        f"ok: chip 1 runs firmware {firmware_version()}: 2 heads, 35 units, 103 rows, context 128,"
        " model 0001020304050607, 68 KB of heap free, kernels: native"
    )
    assert not faults(check_identity(BOARD, CLUSTER))
    assert not faults(check_ready_report(1, READY, None)) and not faults(
        check_identity(BOARD, None)
    )


@pytest.mark.parametrize(
    ("chip", "changes", "text"),
    [
        (1, {"firmware": "0.0.9"}, f"chip 1 runs firmware 0.0.9 and this is {firmware_version()}"),
        (1, {"model_hash": bytes(8)}, "chip 1 holds model 0000000000000000, and federation.toml"),
        (1, {"context": 64}, "chip 1 was flashed with context 64, and federation.toml has 128"),
        (3, {}, "chip 3 in a cluster of 3 chips, 0 to 2"),
    ],
)
def test_a_node_of_another_cluster_or_time(chip, changes, text):
    assert fault(check_ready_report(chip, READY._replace(**changes), CLUSTER)).startswith(text)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"version": (1, 25, 0)}, "MicroPython 1.25.0: before 1.26 it compiles wrong code"),
        ({"machine": "Generic ESP32 module with ESP32"}, "the chip is an esp32, and chip 0 was"),
        ({"missing": ("shard.bin",)}, "it holds no whole firmware: shard.bin is missing"),
        ({"missing": FILES}, "it was never flashed as a chip: it holds none of our files"),
        ({"damaged": ("config.json",)}, "it holds no whole firmware: config.json is damaged"),
        ({"model_hash": bytes(8)}, "it holds model 0000000000000000, and federation.toml has"),
        ({"mac": MACS[1]}, "it was flashed as chip 0, and is chip 1 here"),
        ({"mac": "00:00:00:00:00:00"}, "it was flashed as chip 0, which is the board with MAC"),
        ({"config": {**CONFIG, "key": "00" * 32}}, "it has another key than federation.toml"),
        ({"config": {**CONFIG, "key": "??"}}, "it has another key than federation.toml"),
        ({"config": {**CONFIG, "link": "uart"}}, "it was flashed for uart, and the cluster is on"),
        ({"config": {**CONFIG, "uart": {"id": 1}}}, "its line is at pins, and the cluster's"),
        ({"config": {**CONFIG, "radio": {"channel": 1}}}, "its radio is on channel 1, not 6"),
        ({"config": {**CONFIG, "firmware": "0.1.0"}}, "its firmware is 0.1.0 and this is"),
    ],
)
def test_a_board_at_its_prompt_of_another_kind_or_cluster(changes, text):
    assert fault(check_identity(replace(BOARD, **changes), CLUSTER)).startswith(text)


def test_a_board_that_the_file_does_not_know():
    stranger = replace(BOARD, mac="00:00:00:00:00:00", config={**CONFIG, "chip": 9})
    assert fault(check_identity(stranger, CLUSTER)) == "this board is not in federation.toml"
    chips = (replace(CLUSTER.flashed[0], board="esp33"),)
    assert fault(check_identity(BOARD, replace(CLUSTER, flashed=chips))).startswith(
        "no board is called 'esp33'"
    )


class FakePrompt:
    """Prints one text after the other, and the last one again and again, whatever runs."""

    def __init__(self, *printed):
        self._printed = list(printed)
        self.asked = 0

    def output(self, program):
        self.asked += 1
        printed = self._printed[0]
        self._printed = self._printed[1:] or self._printed
        if isinstance(printed, Exception):
            raise printed
        return printed

    def enter_again(self):
        pass


def answered(value):
    """What a board prints that answers with this."""
    return f"{value!r} {binascii.crc32(repr(value).encode())}\r\n"


def heard(*levels):
    """The answers of chips 1, 2 and so on, at these levels in dBm."""
    frames = []
    for chip, level in enumerate(levels, 1):
        (frame,) = FakeChip(chip).says(message_types.READY, ready(1), 1)
        frames.append((frame, level))
    return frames


def test_weak_signals_and_chips_that_are_not_heard():
    cluster = replace(CLUSTER, key=b"")
    found = list(measure_signal(FakePrompt(answered(heard(-40, WEAKEST))), cluster))
    assert [finding.kind for finding in found] == ["ok"] * 2
    found = measure_signal(FakePrompt(answered(heard(WEAKEST - 1))), cluster)
    assert [text for text, _ in faults(found)] == [
        f"weak signal: the gateway receives chip 1 at {WEAKEST - 1} dBm",
        "the gateway does not receive chip 2",
    ]
    noise = [(b"noise", -20)]
    assert len(faults(measure_signal(FakePrompt(answered(noise)), cluster))) == 2


@pytest.mark.parametrize("printed", ["", "[]", "(1,)", "None", "no espnow"])
def test_a_signal_that_cannot_be_measured(printed):
    printed = NoPrompt(printed) if "no " in printed else printed
    if printed in ("(1,)", "None"):
        printed = answered(eval(printed))
    (finding,) = measure_signal(FakePrompt(printed), CLUSTER)
    assert str(finding).startswith("not looked at: signal: ")


IDENTITY = (
    (1, 27, 0), "ESP32S3 module with ESP32S3", bytes.fromhex(MACS[0].replace(":", "")), b"i",
    json.dumps(CONFIG).encode(), b'{"model":"0001020304050607",',
)  # fmt: skip


def identity(**replaced):
    """What a board answers of itself, with the starts of some files replaced."""
    return IDENTITY[:3] + tuple(
        replaced.get(name, start)
        for name, start in zip(("main", "config", "shard"), IDENTITY[3:], strict=True)
    )


@pytest.mark.parametrize(
    ("replaced", "missing", "damaged"),
    [
        ({}, (), ()),
        ({"main": None, "config": None, "shard": None}, FILES, ()),
        ({"shard": None}, ("shard.bin",), ()),
        ({"main": b""}, (), ("main.py",)),
        ({"config": b'{"chip": 0, "link'}, (), ("config.json",)),
        ({"config": b"\xff"}, (), ("config.json",)),
        ({"config": b"[]", "shard": b'{"modes":'}, (), ("config.json", "shard.bin")),
    ],
)
def test_files_that_are_damaged_are_told_from_those_that_are_missing(replaced, missing, damaged):
    found = read_identity(FakePrompt(answered(identity(**replaced))))
    assert (found.missing, found.damaged) == (missing, damaged)
    assert bool(faults(check_identity(found, CLUSTER))) == bool(replaced)


def test_an_answer_that_is_damaged_on_the_way_is_asked_for_again():
    sound = answered(IDENTITY)
    for place in range(0, len(sound), 7):
        damaged = sound[:place] + chr(ord(sound[place]) ^ 1) + sound[place + 1 :]
        prompt = FakePrompt(damaged, sound[: place or 1], sound)
        assert read_identity(prompt) == BOARD
        assert prompt.asked in (1, 3)  # 1: what was damaged is a blank at the end


def test_a_line_that_damages_all_is_not_taken_for_an_empty_board(monkeypatch):
    class Damaging(FakePrompt):
        def __init__(self, url):
            super().__init__(answered(IDENTITY).replace('"chip"', '"chi?"'))

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def soft_reset(self):
            pass

    monkeypatch.setattr(examination, "Prompt", Damaging)
    monkeypatch.setattr(examination, "examine_node", lambda url, cluster: node.NodeReport())
    assert [str(finding) for finding in examine_port("/dev/none", CLUSTER)] == [
        "wrong: what it answers is damaged on the way. Use another cable or USB port, without a"
        " hub, and repeat this"
    ]


class RunningPrompt(FakePrompt):
    """Runs programs here."""

    def output(self, program):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(program, {})
        return printed.getvalue()


@pytest.mark.parametrize("has_radio", [False, True])
def test_the_radio_is_looked_at_only_where_the_chip_has_one(monkeypatch, tmp_path, has_radio):
    """To ask for it starts Wi-Fi, which takes memory from a board without need."""
    started = []

    class Wlan:
        def __init__(self, interface):
            started.append(interface)

        def active(self):
            return True

        def config(self, name):
            return {"pm": 0, "channel": 6}[name]

    monkeypatch.setitem(sys.modules, "network", SimpleNamespace(WLAN=Wlan, STA_IF=0))
    config = {name: value for name, value in CONFIG.items() if has_radio or name != "radio"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    found = list(check_radio(RunningPrompt()))
    assert len(started) == has_radio
    assert [finding.text for finding in found] == [
        "power save is off", "the radio is on channel 6",
    ] * has_radio  # fmt: skip


def test_power_save():
    assert fault([check_power_save(1)]).startswith("power save is on (pm=1)")
    assert not faults([check_power_save(0)])
