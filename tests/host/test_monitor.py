"""The monitor on pseudo-terminals: names, reports, unplugging, keys."""

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import replace

import pytest

from host import monitor as command
from host.cluster.cluster_fields import FlashedChip
from host.cluster.cluster_file import change
from host.diagnosis import listening
from host.diagnosis.listening import Monitor, Source, list_sources
from host.links.access import open_exclusively
from host.monitor import main
from host.wire.framing import encode_frame
from protocol import message_types
from protocol.frame import HOST
from protocol.message import FederationMessage
from protocol.messages import FAULT, encode_error
from tests.clusters import cluster_file, on_link
from tests.host.fake_chips import FakeChip
from tests.host.pty_chips import PtyChip
from tests.host.test_port_log import fault
from tests.host.test_ports import ESPRESSIF, ListedPort, mac
from tests.simulation.launch import REPOSITORY

KEY = bytes(range(32))
CLUSTER = cluster_file()


@pytest.fixture(autouse=True)
def quick(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(listening, "_REOPEN_SECONDS", 0.05)
    monkeypatch.setattr(listening, "_QUIET_SECONDS", 0.1)
    monkeypatch.setattr(listening, "_DISCOVER_AFTER", 0.1)


@pytest.fixture
def plugged():
    """Plugs in boards: chips by id, None for what says nothing."""
    with ExitStack() as stack:
        yield lambda *chips: [stack.enter_context(PtyChip(chip)) for chip in chips]


class Watched:
    """A monitor and the lines that it has shown."""

    def __init__(self, listened, key=b"", list_ports=list):
        self.lines = []
        self.monitor = Monitor(listened, key, self.lines.append, list_ports)

    def until(self, text, seconds=5):
        """Runs until a line with this text, which it returns."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for line in self.lines:
                if text in line:
                    return line
            self.monitor.turn(0.05)
        raise AssertionError(f"no line with {text!r} among {self.lines}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.monitor.close()


def test_text_and_reports_of_several_boards(plugged):
    first, second = plugged(None, None)
    with Watched([Source("chip 0", first.url), Source("chip 1", second.url)]) as watched:
        assert watched.until("chip 0: listening") == f"chip 0: listening at {first.url}"
        watched.until("chip 1: listening")
        first.say(b"Traceback (most recent call last):\r\n>>> ")
        second.say(fault("OSError: -2", 1) + fault("behind a gateway", 4))
        assert watched.until("Traceback") == "chip 0: Traceback (most recent call last):"
        assert watched.until(">>>") == "chip 0: >>>"
        assert watched.until("OSError") == "chip 1: FAULT: OSError: -2"
        assert watched.until("gateway") == "chip 4: FAULT: behind a gateway"


def test_a_board_that_is_unplugged_and_comes_back_elsewhere(plugged):
    (board,) = plugged(None)
    ports = [ListedPort(board.url, ESPRESSIF, mac(0))]
    with Watched([Source("chip 0", board.url, mac(0))], list_ports=lambda: ports) as watched:
        watched.until(f"listening at {board.url}")
        board.unplug()
        ports.clear()
        watched.until("chip 0: unplugged, waiting for it")
        (back,) = plugged(None)
        ports.append(ListedPort(back.url, ESPRESSIF, mac(0)))
        watched.lines.clear()
        watched.until(f"listening at {back.url}")
        back.say(b"hello\n")
        assert watched.until("hello") == "chip 0: hello"


def test_a_board_that_comes_back_to_its_port(plugged, tmp_path):
    first, second = plugged(None, None)
    port = tmp_path / "ttyACM0"
    port.symlink_to(first.url)
    with Watched([Source("chip 0", str(port))]) as watched:
        watched.until("listening")
        port.unlink()
        first.unplug()
        watched.until("unplugged")
        watched.until(f"chip 0: there is no port {port}")
        watched.monitor.turn(0.2)
        assert sum("there is no port" in line for line in watched.lines) == 1
        watched.lines.clear()
        port.symlink_to(second.url)
        watched.until("listening")


def test_a_port_that_another_program_holds_for_a_while(plugged):
    (board,) = plugged(None)
    holder = open_exclusively(board.url, 115200)
    with Watched([Source("chip 0", board.url)]) as watched:
        watched.until(f"chip 0: another program holds {board.url}")
        holder.close()
        watched.until("listening")


def test_a_board_says_at_the_handshake_who_it_is(plugged):
    board, other = plugged(1, 1)
    listened = [Source("chip 1", board.url, None, True), Source("chip 2", other.url)]
    with Watched(listened) as watched:
        assert watched.until("ready").startswith("chip 1: ready: firmware 0, model 0000")
        watched.monitor.turn(0.2)
    assert not other.heard


def test_chips_with_a_key_sign_their_reports_once_they_are_in_a_session(plugged):
    chip = FakeChip(2, key=KEY)
    (board,) = plugged(chip)
    with Watched([Source("chip 2", board.url, None, True)], KEY) as watched:
        watched.until("ready")
        end = time.monotonic() + 5
        while chip.signer.session is None and time.monotonic() < end:
            watched.monitor.turn(0.05)
        (report,) = chip.says(message_types.ERROR, encode_error(FAULT, 0, 0, "OSError"), 0)
        board.say(encode_frame(report))
        assert watched.until("OSError") == "chip 2: FAULT: OSError"


def test_a_board_that_is_unplugged_as_it_is_answered(plugged):
    """What had come from it before is shown all the same."""
    (board,) = plugged(None)
    chip = FakeChip(2, key=KEY)
    with Watched([Source("chip 2", board.url, None, True)], KEY) as watched:
        watched.until("listening")
        (listener,) = watched.monitor._listeners
        host = listener._signer
        message = FederationMessage(message_types.DISCOVERY, HOST, 2, 1, host.announcement(), 3)
        frames = [reply for _ in range(2) for _, reply in chip.replies(message.encode(host))]

        class Gone:
            def read(self, size):
                return b"".join(map(encode_frame, frames))

            def write(self, data):
                raise OSError(5, "gone")

            in_waiting = 0
            close = listener.port.close

        listener.port = Gone()
        listener.receive(0.0)
        assert sum("ready: " in line for line in watched.lines) == 2
        assert sum("unplugged" in line for line in watched.lines) == 1


def test_what_is_listened_to():
    chips = tuple(FlashedChip(i, "esp32s3", mac(i), f"/dev/was{i}") for i in range(2))
    cluster = replace(CLUSTER, flashed=chips)
    listed = [
        ListedPort("/dev/ttyACM0", ESPRESSIF, mac(1)),
        ListedPort("/dev/ttyACM1", ESPRESSIF, mac(9)),
        ListedPort("/dev/was0"),
    ]
    assert list_sources([], cluster, lambda: listed) == [
        Source("chip 0", "/dev/was0", mac(0), True),
        Source("chip 1", "/dev/ttyACM0", mac(1), True),
        Source("/dev/ttyACM1", "/dev/ttyACM1"),
    ]
    on_air = on_link(cluster, "espnow")
    answering = [source.answers for source in list_sources([], on_air, lambda: listed)]
    assert answering == [True, False, False]
    assert list_sources(["/dev/was0", "socket://h:1"], cluster, lambda: listed) == [
        Source("chip 0", "/dev/was0", mac(0), True),
        Source("socket://h:1", "socket://h:1"),
    ]
    assert [one.url for one in list_sources([], None, lambda: listed)] == [
        "/dev/ttyACM0", "/dev/ttyACM1", "/dev/was0",
    ]  # fmt: skip
    assert list_sources([], None, list) == []


def test_no_board(capsys, monkeypatch):
    monkeypatch.setattr(command, "list_sources", lambda urls, cluster: [])
    assert main([]) == 1
    assert capsys.readouterr().err.startswith("error: no board on any port: ")


def test_the_command_until_it_is_interrupted(plugged, tmp_path):
    (board,) = plugged(None)
    change(lambda _: replace(CLUSTER, flashed=(FlashedChip(1, "esp32s3", mac(1), board.url),)))
    with subprocess.Popen(
        [sys.executable, "-m", "host.monitor", board.url], cwd=tmp_path, text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        # A test run in the background may ignore interrupts, which a child would inherit.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:  # fmt: skip
        assert process.stdout.readline().endswith(f" chip 1: listening at {board.url}\n")
        board.say(b"boot\n")
        assert process.stdout.readline().endswith(" chip 1: boot\n")
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=20) == ("", "") and process.returncode == 130
