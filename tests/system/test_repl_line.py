"""Chips that reach the host over their REPL's port: frames, heap, Ctrl-C, faults, restarts."""

import contextlib
import subprocess
import time

import pytest

from host.build.bundle import chip_files
from host.build.configuration import REPL_UART, configuration
from host.hardware.boards import load
from host.hardware.ram import ON_BOARD, STANDINS
from host.links.access import REPL_BAUD
from host.links.transport import open_port
from host.model.tokenizers.bpe import BpeTokenizer
from host.paths import HOME_TOKENIZER
from protocol.message_types import FRAGMENT
from tests.heap_use import kept_bytes
from tests.host.test_deployment_fits import ROOM
from tests.plans import tensor_plan
from tests.shipped import shipped_model
from tests.system.changed_firmware import changed
from tests.system.reference_runs import assert_equals_reference, reference_runs
from tests.system.repl_chips import ARCH, ReplChip, repl_federation

HEAP = 160 << 10
S2_POSITIONS = ROOM["esp32s2", "uart"]
# Bytes of what stands in for the C of a board's light, button and watchdog, paths of this machine
# among them.
BOARD_STANDINS = 3_100
RING = 259  # bytes that MicroPython's ring for stdin holds on an ESP32
RAISES_ONCE = """
import os
_left = [20]
_whole = HostReduce._on_compute
def _failing(*arguments):
    _left[0] -= 1
    if _left[0] == 0 and "failed" not in os.listdir():
        open("failed", "w").close()
        raise ValueError("out of luck")
    return _whole(*arguments)
HostReduce._on_compute = _failing
"""


def test_a_federation_on_one_cable_each(model, runs, tmp_path):
    """Prompts and answers go in fragments, and all of it fits the heap that is planned."""
    with repl_federation(model, tmp_path, 5, heap=HEAP) as (running, ports, _):
        assert_equals_reference(running.executor, runs[0], 30)
        assert_equals_reference(running.executor, runs[1], runs[1].prompt + 2)
        kept = kept_bytes(running.executor, running.coordinator)
        plan = running.executor.plan
    for shard in plan.shards:
        more = kept[shard.chip] - plan.heap_need(shard).kept
        assert more <= ON_BOARD["uart"] + BOARD_STANDINS
    for port in ports:
        frames = port.written.split(b"\0")
        assert max(map(len, frames)) + 1 <= RING
        assert max(map(len, frames)) > 200  # there were fragments
        assert not any(frame[:1] in (b"\x03", b"\r") for frame in frames)


def test_a_gateway_on_its_cable_passes_on_long_frames(model, runs, tmp_path):
    """To the host; from it come fragments, which the ring for stdin has room for."""
    with repl_federation(model, tmp_path, 3, heap=1 << 20, mtu=1470) as (running, ports, _):
        sizes = []
        running.coordinator.dispatcher.tap = Tap(sizes)
        assert_equals_reference(running.executor, runs[1], 12)
        assert running.coordinator.resends < 12
    frames = ports[0].written.split(b"\0")
    assert max(map(len, frames)) + 1 <= RING
    assert max(sizes) > 250


class Tap:
    """Keeps how long the messages are that come."""

    def __init__(self, sizes):
        self._sizes = sizes

    def sent(self, kind, destination, payload):
        pass

    def received(self, message):
        self._sizes.append(len(message.payload))
        assert message.kind != FRAGMENT


def test_five_of_the_smallest_board_hold_the_shipped_model(tmp_path):
    """With the heap that an ESP32-S2 has left, signed, to the last position; see
    tests/host/test_deployment_fits.py."""
    home = shipped_model()
    tokenizer = BpeTokenizer.load(HOME_TOKENIZER, home.config.vocab_size)
    prompt = "turn off the kitchen lights\n"
    (run,) = reference_runs(home, tokenizer, [prompt], S2_POSITIONS)
    heap = load("esp32s2").python_heap("uart") + STANDINS["uart"] + BOARD_STANDINS
    with repl_federation(
        home, tmp_path, 5, heap=heap, context=S2_POSITIONS, key=bytes(32)
    ) as (running, _, _):
        assert_equals_reference(running.executor, run, S2_POSITIONS)
        kept = kept_bytes(running.executor, running.coordinator)
        plan = running.executor.plan
    for shard in plan.shards:
        more = kept[shard.chip] - plan.heap_need(shard).kept
        assert more <= ON_BOARD["uart"] + BOARD_STANDINS


def until_interrupted(port):
    """What a chip said, which a terminal may pass on in parts, to the end of the traceback."""
    said, end = b"", time.monotonic() + 10
    while b"KeyboardInterrupt:" not in said and time.monotonic() < end:
        said += port.read(4096)
        time.sleep(0.01)
    return said


@pytest.mark.parametrize("prompt_ms", [0, 60_000])
def test_ctrl_c_gets_the_prompt(model, tmp_path, prompt_ms):
    """Whether the node runs or the prompt is still offered, which a host's first frame ends."""
    with repl_federation(model, tmp_path, 1, heap=1 << 20, prompt_ms=prompt_ms) as found:
        running, ports, (chip,) = found
        running.executor.forward([1])
        assert chip.process.poll() is None
        ports[0].write(b"\r\x03")
        assert chip.process.wait(10) == 1  # main.py ended by KeyboardInterrupt
        assert until_interrupted(ports[0]).rstrip().endswith(b"KeyboardInterrupt:")


def test_ctrl_c_while_a_chip_starts_gets_the_prompt(model, tmp_path):
    """Before anything could tell it from a frame's end, and again as people and mpremote do."""
    plan = tensor_plan(model, 1)
    config = configuration(plan, plan.shards[0], uart=REPL_UART, board={"prompt_ms": 60_000})
    files = chip_files(model, plan, plan.shards[0], ARCH, config)
    chip = ReplChip(tmp_path / "chip", files, 1 << 20, {})
    try:
        with open_port(chip.port, REPL_BAUD) as port:
            for _ in range(100):
                port.write(b"\r\x03")
                with contextlib.suppress(subprocess.TimeoutExpired):
                    assert chip.process.wait(0.2) == 1
                    break
            assert b"KeyboardInterrupt:" in until_interrupted(port)
    finally:
        chip.close()


def test_a_chip_whose_loop_raises_tells_it_on_the_same_line(model, runs, tmp_path):
    def change(chip, content):
        if chip == 1:
            changed(content, "firmware/roles/host_reduce.py", RAISES_ONCE)

    with repl_federation(model, tmp_path, 2, heap=1 << 20, change=change) as (running, _, _):
        assert_equals_reference(running.executor, runs[0], 20)
        assert running.coordinator.last_errors == {1: "ValueError: out of luck"}
        assert running.executor.recoveries == 1
