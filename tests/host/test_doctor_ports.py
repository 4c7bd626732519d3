"""What the doctor finds at ports: nodes that answer, or nothing that does, and ports in use."""

import errno
import grp
from dataclasses import replace

import pytest
import serial

from host.diagnosis import examination, node, prompt
from host.diagnosis.examination import examine_port, list_board_ports
from host.diagnosis.node import examine_node
from host.diagnosis.prompt import NoPrompt
from host.links import port_search
from protocol import message_types
from protocol.messages import FAULT, encode_error
from protocol.session import ChipAuthenticator
from tests.clusters import on_link
from tests.host.doctor_cases import BOARD, CLUSTER, CONFIG, HASH, KEY, MACS, fault, faults
from tests.host.fake_chips import FakeChip
from tests.host.pty_chips import PtyChip
from tests.host.test_ports import ESPRESSIF, ListedPort


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def short_timeouts(monkeypatch):
    for name in ("_TIMEOUT", "_WITHOUT_KEY", "_OVER_RADIO"):
        monkeypatch.setattr(node, name, 0.4)
    monkeypatch.setattr(port_search, "RETRANSMIT_SECONDS", 0.1)
    monkeypatch.setattr(prompt, "_ATTEMPTS", (0.1, 0.1))
    monkeypatch.setattr(prompt, "_READ_TIMEOUT", 0.1)
    monkeypatch.setattr(examination, "_RESTART_TIMEOUT", 0.1)


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
            prompt.Prompt(port.url)


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
