"""The doctor: each fault with its advice, and two boards on the air looked at from end to end."""

import binascii
import contextlib
import errno
import grp
import io
import json
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from types import SimpleNamespace

import pytest
import serial

from host import doctor
from host.build.bundle import chip_module
from host.build.configuration import REPL_UART
from host.build.firmware_version import firmware_version
from host.build.packages import chip_path
from host.cluster.cluster_fields import FlashedChip
from host.cluster.cluster_file import change
from host.diagnosis import examination, node
from host.diagnosis import prompt as prompt_module
from host.diagnosis.at_prompt import (
    Identity,
    check_identity,
    check_power_save,
    check_radio,
    read_identity,
)
from host.diagnosis.examination import check_file, examine_port, list_board_ports
from host.diagnosis.model_check import check_model
from host.diagnosis.node import check_ready_report, examine_node
from host.diagnosis.prompt import NoPrompt
from host.diagnosis.signal import WEAKEST, measure_signal
from host.doctor import main
from host.launch import FlashedBoards, open_cluster
from host.links import port_search
from host.model.formats import quantized_file
from host.model.quantization.quantize import quantize
from host.simulation.hub import HubProcess
from host.wire.reports import Ready
from protocol import message_types
from protocol.messages import FAULT, encode_error
from protocol.session import ChipAuthenticator
from tests.clusters import cluster_file, on_link
from tests.host.fake_chips import FakeChip, ready
from tests.host.flashed_boards import flashed_board
from tests.host.model_files import small_tokenizer
from tests.host.pty_chips import PtyChip
from tests.host.test_attached import NARROW, assert_equals_reference
from tests.host.test_ports import ESPRESSIF, ListedPort
from tests.host.tiny import random_checkpoint
from tests.simulation.launch import REPOSITORY
from tests.standin_board.board import StandinBoard

KEY = bytes(range(32))
HASH = bytes(range(8))
MACS = [f"34:85:18:00:00:{number:02x}" for number in range(3)]
CLUSTER = cluster_file(
    3, "espnow", digest=HASH, context=128, key=KEY, channel=6,
    flashed=tuple(FlashedChip(i, "esp32s3", mac, f"/dev/none{i}") for i, mac in enumerate(MACS)),
)  # fmt: skip
READY = Ready(
    7, 1, bytes(8), HASH, bytes(8), 2, 35, 103, 128, 60_000, 90_000, 70_000, firmware_version(),
    "native",
)
CONFIG = {
    "firmware": firmware_version(),
    "chip": 0, "link": "espnow", "gateway": True, "uart": REPL_UART, "key": KEY.hex(),
    "radio": {"channel": 6},
}  # fmt: skip
FILES = ("main.py", "config.json", "shard.bin")
BOARD = Identity((1, 27, 0), "ESP32S3 module with ESP32S3", MACS[0], True, CONFIG, HASH)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def short_timeouts(monkeypatch):
    for name in ("_TIMEOUT", "_WITHOUT_KEY", "_OVER_RADIO"):
        monkeypatch.setattr(node, name, 0.4)
    monkeypatch.setattr(port_search, "RETRANSMIT_SECONDS", 0.1)
    monkeypatch.setattr(prompt_module, "_ATTEMPTS", (0.1, 0.1))
    monkeypatch.setattr(prompt_module, "_READ_TIMEOUT", 0.1)
    monkeypatch.setattr(examination, "_RESTART_TIMEOUT", 0.1)


def faults(findings):
    """What is wrong, and the advice."""
    return [(finding.text, finding.advice) for finding in findings if finding.kind == "wrong"]


def fault(findings):
    """The text of the one thing that is wrong."""
    ((text, advice),) = faults(findings)
    assert advice
    return text


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


def test_chips_that_answer_at_a_port(short_timeouts):
    cluster = on_link(CLUSTER, "uart")
    with PtyChip(FakeChip(1, key=KEY)) as board:
        board.chip.model_hash = HASH
        report = examine_node(board.url, cluster)
        assert report.chip == 1 and report.findings[0].kind == "ok"
        assert examine_node(board.url, None).chip is None
        assert examine_node(board.url, replace(cluster, key=bytes(32))).chip is None
    with PtyChip(1) as board:
        assert fault(examine_node(board.url, cluster).findings) == (
            "chip 1 runs without a key, and federation.toml has one"
        )


def test_a_chip_that_failed_to_start(short_timeouts):
    chip = FakeChip(2)
    text = encode_error(FAULT, 0, 0, "ShardError: no shard")
    chip.answers = lambda *_: iter([(0, message_types.ERROR, text)])
    with PtyChip(chip) as board:
        assert fault(examine_node(board.url, None).findings) == (
            "chip 2 has failed to start: ShardError: no shard"
        )


def test_a_chip_that_fails_when_it_is_started_again(monkeypatch):
    monkeypatch.setattr(port_search, "_START_SECONDS", 0.0)
    chip = FakeChip(0)
    text = encode_error(FAULT, 0, 0, "no shard")
    chip.answers = lambda *_: iter([(0, message_types.ERROR, text)])
    board = replace(BOARD, config={**CONFIG, "key": ""})
    with PtyChip(chip) as port:
        again = examination._restart_finding(board, port.url, True, CLUSTER)
        anew = examination._restart_finding(board, port.url, False, CLUSTER)
    assert str(again) == "ok: the node was interrupted for this, and reports again what is wrong"
    assert str(anew) == (
        "wrong: chip 0 has failed to start: no shard. Flash it again: make flash BOARD=esp32s3"
        " CHIP_ID=0"
    )


def test_a_chip_that_fails_once_it_has_taken_the_key(short_timeouts):
    chip = FakeChip(2, key=KEY)
    chip.signer = ChipAuthenticator(KEY, 2)
    answers = chip.answers

    def failing(message, frame, length):
        for answer in answers(message, frame, length):
            is_ready = chip.signer.session is not None
            fault = 0, message_types.ERROR, encode_error(FAULT, 0, 0, "no shard")
            yield fault if is_ready else answer

    chip.answers = failing
    with PtyChip(chip) as board:
        found = examine_node(board.url, on_link(CLUSTER, "uart")).findings
        assert fault(found) == "chip 2 has failed to start: no shard"


def test_a_port_that_nothing_answers_at(short_timeouts):
    with PtyChip(None) as board:
        found = list(examine_port(board.url, None))
    assert fault(found).startswith("neither a node nor MicroPython's prompt answers")


def test_ports_that_do_not_open(monkeypatch):
    assert fault(examine_port("/dev/none", None)) == "there is no port /dev/none"
    with PtyChip(None) as board, serial.Serial(board.url, exclusive=True):
        assert fault(examine_port(board.url, None)) == f"another program holds {board.url}"

    def refuse(*_, **__):
        raise serial.SerialException(errno.EACCES, "could not open port")

    monkeypatch.setattr(serial, "serial_for_url", refuse)
    monkeypatch.setattr(grp, "getgrgid", lambda _: grp.struct_group(("dialout", "x", 20, [])))
    ((text, advice),) = faults(examine_port("/dev/null", None))
    assert text == "no permission to open /dev/null"
    assert advice.startswith("Become a member of its group with sudo usermod -aG dialout ")


def test_a_port_that_another_program_takes_in_between():
    """As a monitor does, which waits for ports: it is not the node that is at fault."""
    with PtyChip(0) as port, serial.Serial(port.url, exclusive=True):
        finding = examination._restart_finding(BOARD, port.url, True, CLUSTER)
        assert str(finding) == f"wrong: another program holds {port.url}. End it"
        with pytest.raises(NoPrompt, match=f"^another program holds {port.url}: end it$"):
            prompt_module.Prompt(port.url)


def test_a_node_that_does_not_let_itself_be_interrupted(short_timeouts, monkeypatch):
    monkeypatch.setattr(node, "firmware_version", lambda: "0")  # as the fake chip says
    with PtyChip(0) as board:
        found = list(examine_port(board.url, None))
    assert [finding.kind for finding in found] == ["ok", "not looked at"]
    assert found[1].text.startswith("MicroPython, power save and signal: the node runs on")


def test_which_ports_are_looked_at(tmp_path):
    (tmp_path / "here").touch()
    chips = (
        CLUSTER.flashed[0],
        replace(CLUSTER.flashed[1], port="gone"),
        replace(CLUSTER.flashed[2], port="here"),
    )
    cluster = replace(CLUSTER, flashed=chips)
    listed = [ListedPort("/dev/ttyUSB7"), ListedPort("/dev/ttyACM0", ESPRESSIF, MACS[0])]
    expected = ["/dev/ttyACM0", "here", "/dev/ttyUSB7"]
    assert list_board_ports(cluster, lambda: listed) == expected
    assert list_board_ports(on_link(cluster, "uart"), list) == ["/dev/none0", "gone", "here"]
    assert list_board_ports(None, lambda: listed) == ["/dev/ttyUSB7", "/dev/ttyACM0"]


def test_the_cluster_s_file(tmp_path):
    change(lambda _: replace(CLUSTER, chips=4))
    assert fault(check_file(replace(CLUSTER, chips=4))) == "chip 3 of 4 was never flashed"
    (tmp_path / "federation.toml").chmod(0o644)
    assert fault(check_file(CLUSTER)) == "others can read federation.toml and the key in it"
    assert [finding.kind for finding in check_file(None)] == ["not looked at"]


def test_whether_the_model_fits_is_what_a_run_would_find(tmp_path):
    model = quantize(random_checkpoint(NARROW))
    quantized_file.save(model, small_tokenizer(), "model.q")
    cluster = replace(CLUSTER, model="model.q", model_hash=model.sha256()[:8], context=8)
    assert [str(each) for each in check_model(cluster)] == ["ok: model.q fits the boards"]
    other = replace(cluster, model_hash=bytes(8))
    assert fault(check_model(other)).endswith("and the boards were flashed with " + 16 * "0")
    longer = replace(cluster, context=NARROW.context + 1)
    assert fault(check_model(longer)).startswith("context must be 1 to ")
    (found,) = check_model(replace(cluster, model="none.bin"))
    assert (found.kind, found.text[:39]) == (
        "not looked at", "whether the model fits: none.bin: canno"
    )  # fmt: skip


def test_no_board_and_a_file_that_is_none(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(doctor, "list_board_ports", lambda cluster: [])
    assert main([]) == 1
    assert "wrong: no board on any port. Plug one in" in capsys.readouterr().out
    (tmp_path / "federation.toml").write_text("model = ")
    assert main([]) == 1
    assert capsys.readouterr().err.startswith("error: federation.toml: not a TOML file: ")


def test_a_prompt_at_which_frames_were_typed(micropython, tmp_path):
    """What a doctor asks a node goes to the prompt where none runs: in part a line, in part keys,
    and no text."""
    with StandinBoard(tmp_path) as board:
        with serial.Serial(board.port, timeout=10) as port:
            assert port.read_until(b">>> ").endswith(b">>> ")
            port.write(b"x = 7\r" + b"\xff\xc3\r" + b"\x01\xff\x04" + b"\x06\x02\x01\xfe\xff")
        with prompt_module.Prompt(board.port) as prompt:
            assert prompt.output("print(x)") == "7\r\n"


@contextmanager
def boards_on_the_air(folder, alter=lambda chip, files: None):
    """Two, flashed, with their cluster and its model; alter: changes a chip's files."""
    model = quantize(random_checkpoint(NARROW))
    cluster = cluster_file(
        2, "espnow", model="narrow.bin", digest=model.sha256()[:8], key=KEY
    )
    with ExitStack() as stack:
        hub = stack.enter_context(HubProcess(mtu=250))
        for chip in range(2):
            _, cluster = flashed_board(stack, folder, model, cluster, chip, hub, change=alter)
        change(lambda _: cluster)
        assert node.await_node(cluster.flashed[0].port, KEY, 30).kind == message_types.READY
        yield model, cluster


def assert_lines(text, *lines):
    for line in lines:
        assert line in text, text


def test_boards_on_the_air_from_end_to_end(micropython, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(examination, "_RESTART_TIMEOUT", 30.0)  # this machine may be busy
    with boards_on_the_air(tmp_path) as (model, cluster):
        with open_cluster(model, FlashedBoards(cluster, list_ports=list)) as run:
            assert_equals_reference(model, run)
        assert main([]) == 0
    assert_lines(
        capsys.readouterr().out,
        "ok: chip 0 runs firmware",
        "ok: chip 1 runs firmware",
        "ok: power save is off",
        "ok: the radio is on channel 1",
        "ok: MicroPython 1.27.0 on Stand-in board with x86, MAC 24:00:00:00:00:00",
        "ok: the gateway receives chip 1 at -",
        "ok: the node was interrupted for this and runs again",
        "not looked at: whether its node runs: that answers by radio",
    )


def test_power_save_of_a_node_that_runs(micropython, tmp_path, capsys, monkeypatch):
    """Found before the node's memory is emptied, for it is what the node had set."""
    monkeypatch.setattr(examination, "_RESTART_TIMEOUT", 30.0)

    def saving(chip, files):
        path = "firmware/links/wifi.py"
        source = (REPOSITORY / path).read_text()
        assert "network.WLAN.PM_NONE" in source
        source = source.replace("network.WLAN.PM_NONE", "network.WLAN.PM_PERFORMANCE")
        assert chip_path(path) in files
        files[chip_path(path)] = chip_module(source, path, "x86")

    with boards_on_the_air(tmp_path, saving) as (_, cluster):
        assert main([cluster.flashed[0].port]) == 1
    assert_lines(
        capsys.readouterr().out,
        "wrong: power save is on (pm=1): a radio that sleeps loses frames. Set it off",
        "ok: the radio is on channel 1",
        "ok: the node was interrupted for this and runs again",
    )


@pytest.mark.verify
def test_a_gateway_of_another_key_from_end_to_end(micropython, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(node, "_WITHOUT_KEY", 0.3)
    monkeypatch.setattr(examination, "_RESTART_TIMEOUT", 30.0)
    with boards_on_the_air(tmp_path) as (_, cluster):
        change(lambda old: replace(old, key=bytes(32)))
        assert main([cluster.flashed[0].port]) == 1
    assert_lines(
        capsys.readouterr().out,
        "wrong: it has another key than federation.toml",
        "wrong: the gateway does not receive chip 1",
        "ok: the board was started again, and its node runs",
    )
