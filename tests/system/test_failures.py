"""What users see when chips or the host are killed, interrupted, hang or fail."""

import os
import re
import resource
import signal
import subprocess
import sys
import time

import pytest

from host.errors import ClusterError
from host.launch import SimulatedChips, open_cluster
from tests.system.changed_firmware import append_source, change_files
from tests.system.federations import HEAP
from tests.system.processes import REPOSITORY, Command
from tests.system.reference_runs import SILENT, assert_equals_reference

STEPS = 40


@pytest.fixture
def started(model_file, tmp_path):
    """Starts `host.run`, slowed down by loss so that it still generates when it is looked at."""
    commands = []

    def start(*arguments):
        command = Command(
            tmp_path / "tmp", "--model", model_file, "--loss", 0.1, "--steps", 512, *arguments
        )
        commands.append(command)
        return command

    yield start
    for command in commands:
        command.close()


@pytest.mark.parametrize(
    ("link", "chip", "options"),
    [
        pytest.param("espnow", 0, [], marks=pytest.mark.verify),
        ("espnow", 3, ["--secure"]),
        pytest.param("espnow", 4, ["--json"], marks=pytest.mark.verify),
        ("uart", 2, []),
        pytest.param("ring", 3, [], marks=pytest.mark.verify),
    ],
)
def test_a_killed_chip_is_named(started, link, chip, options):
    command = started("--link", link, *options)
    if "--json" in options:
        command.wait_for_chips(5)
        time.sleep(1.5)
    else:
        command.wait_for_text(20)
    os.kill(command.chips()[chip], signal.SIGKILL)
    code, text, errors = command.ended()
    assert (code, errors) == (1, [f"error: chip {chip} died: signal SIGKILL"])
    assert text.endswith("\n") or "--json" in options
    command.assert_nothing_is_left()


@pytest.mark.parametrize("link", ["espnow", "uart"])
def test_a_killed_host_leaves_no_process(started, link):
    command = started("--link", link)
    command.wait_for_text(20)
    assert len(command.chips()) == 5
    assert len(command.started) == (6 if link == "espnow" else 5)  # and the radio's hub
    command.process.kill()
    command.assert_nothing_is_left(files=True)


@pytest.mark.parametrize(
    ("kill", "how", "expected"),
    [
        (os.killpg, signal.SIGINT, 130),  # as a terminal's Ctrl-C
        pytest.param(os.kill, signal.SIGINT, 130, marks=pytest.mark.verify),
        (os.kill, signal.SIGTERM, 143),
        pytest.param(os.kill, signal.SIGHUP, 129, marks=pytest.mark.verify),
    ],
)
def test_an_interrupt_in_mid_generation_ends_cleanly(started, kill, how, expected):
    command = started()
    command.wait_for_text(20)
    command.children()
    kill(command.process.pid, how)
    interrupted = time.monotonic()
    code, text, errors = command.ended()
    assert time.monotonic() - interrupted < 3
    assert (code, errors) == (expected, [])
    assert text.endswith("\n")
    command.assert_nothing_is_left()


@pytest.mark.parametrize("chips", [1, pytest.param(5, marks=pytest.mark.verify)])
@pytest.mark.parametrize(("how", "expected"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_while_chips_start_ends_cleanly(started, how, expected, chips):
    command = started("--chips", 5)
    command.wait_for_chips(chips)
    os.killpg(command.process.pid, how)
    assert command.ended() == (expected, "", [])
    command.assert_nothing_is_left()


def shell(line):
    """host.run on the home model as a shell runs it, `line` being what follows."""
    command = f'exec "{sys.executable}" -m host.run --chips 2 --no-stats {line}'
    return subprocess.run(["sh", "-c", command], cwd=REPOSITORY, capture_output=True, text=True)


def test_standard_files_that_are_closed_are_not_taken_for_lines_to_chips():
    ended = shell("--link uart --prompt 'order a pizza' <&- 2>&-")
    assert (ended.returncode, ended.stdout) == (0, "unknown\n")


def test_standard_output_may_be_closed():
    ended = shell("--link uart --prompt 'order a pizza' >&-")
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_full_disk_is_reported_in_one_line():
    ended = shell("--prompt 'order a pizza' >/dev/full")
    said = "error: standard output: No space left on device\n"
    assert (ended.returncode, ended.stderr) == (1, said)


def test_more_chips_than_the_system_lets_us_start_are_reported_in_one_line():
    ended = subprocess.run(
        [sys.executable, "-m", "host.run", "--chips", "20", "--prompt", "order a pizza"],
        cwd=REPOSITORY, capture_output=True, text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40)),
    )  # fmt: skip
    *chosen, error = ended.stderr.splitlines()
    assert ended.returncode == 1
    assert re.match(r"error: 20 chips take \d+ open files, and 40 are allowed here: ", error)
    assert all(line.startswith("parallelism: ") for line in chosen)


def settings(link, secure=False):
    return SimulatedChips.alike(5, link, signed=secure, heap=HEAP)


@pytest.mark.parametrize(
    ("link", "chip", "secure"),
    [
        pytest.param("espnow", 0, False, marks=pytest.mark.verify),
        ("espnow", 0, True),
        pytest.param("espnow", 2, False, marks=pytest.mark.verify),
        ("espnow", 2, True),
        pytest.param("espnow", 4, False, marks=pytest.mark.verify),
        pytest.param("uart", 1, False, marks=pytest.mark.verify),
        ("uart", 4, True),
    ],
)
def test_a_restarted_chip_has_its_cache_replayed(model, runs, link, chip, secure):
    with open_cluster(model, settings(link, secure)) as cluster:

        def restart(position):
            if position == STEPS - 5:
                cluster.simulation.chips[chip].restart()

        boot_id = cluster.ready[chip].boot_id
        assert_equals_reference(cluster.executor, runs[1], STEPS, restart)
        assert cluster.coordinator.boot_ids[chip] != boot_id
        # Chips 3 and 4 have no heads, so no cache. A new session costs every chip its own.
        owners = 3 if secure else int(chip < 3)
        assert cluster.executor.recoveries == owners
        assert_equals_reference(cluster.executor, runs[2], 20)
        assert cluster.executor.recoveries == owners


@pytest.mark.parametrize(
    ("link", "chip", "secure"),
    [
        ("uart", 2, False),
        pytest.param("espnow", 1, True, marks=pytest.mark.verify),
        ("espnow", 0, False),
    ],
)
def test_a_chip_that_hangs_is_named_with_the_place(model, runs, link, chip, secure):
    with open_cluster(model, settings(link, secure)) as cluster:

        def hang(position):
            if position == STEPS - 5:
                os.kill(cluster.simulation.chips[chip].process.pid, signal.SIGSTOP)

        with pytest.raises(ClusterError) as caught:
            assert_equals_reference(cluster.executor, runs[1], STEPS, hang)
        # Behind a gateway that hangs nobody answers.
        name = "chips 0, 1 and 2" if (link, chip) == ("espnow", 0) else f"chip {chip}"
        place = rf"\(attention of layer 0, position {STEPS - 5}\)"
        assert re.fullmatch(f"{name} {SILENT} {place}", str(caught.value)), caught.value


# What a method does until the count is down.
FAILING = """
_left = [{count}]
_whole = {name}
def _failing(*arguments):
    _left[0] -= 1
    if _left[0] < 0:
        raise ValueError("out of luck")
    return _whole(*arguments)
{name} = _failing
"""


@pytest.mark.parametrize("link", ["espnow", "uart"])
def test_a_request_that_raises_on_a_chip_is_reported_with_its_text(model, runs, monkeypatch, link):
    failing = FAILING.format(name="Vocabulary.run", count=5)
    append_source(monkeypatch, "firmware/compute/vocabulary.py", failing, only=2)
    with open_cluster(model, settings(link)) as cluster, pytest.raises(ClusterError) as caught:
        assert_equals_reference(cluster.executor, runs[0], STEPS)
    assert str(caught.value) == "chip 2, vocabulary, position 5: FAULT: ValueError: out of luck"


def test_a_chip_that_cannot_start_says_why(model, monkeypatch):
    def damage(chip, content):
        if chip == 1:
            damaged = bytearray(content["shard.bin"])
            damaged[5000] ^= 1
            content["shard.bin"] = bytes(damaged)

    change_files(monkeypatch, damage)
    with pytest.raises(ClusterError) as caught, open_cluster(model, settings("espnow")):
        pass
    assert str(caught.value) == (
        "chip 1, at the start: FAULT: ShardError: SHA-256 of the shard is wrong: flash this chip"
        " again"
    )
