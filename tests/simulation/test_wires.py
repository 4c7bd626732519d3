"""The wires of a ring: what a chip sends comes to the next one, but for what is lost."""

import os
import select

import pytest

from host.simulation.wires import Wires


def read(descriptor, timeout=5.0):
    """What has come, waiting for something."""
    ready, _, _ = select.select([descriptor], [], [], timeout)
    return os.read(descriptor, 65536) if ready else b""


@pytest.mark.parametrize("loss", [0.0, 1e-9])
def test_each_chip_s_wire_leads_to_the_next(loss):
    wires = Wires(3, loss)
    (first, out), (into, onward), (last, end) = wires.ends
    assert (first, end) == (None, None)
    os.write(out, b"one\0")
    os.write(onward, b"two\0")
    assert (read(into), read(last)) == (b"one\0", b"two\0")
    wires.close()


def test_a_single_chip_has_the_host_at_both_ends():
    wires = Wires(1, 0.5)
    assert wires.ends == [(None, None)]
    wires.close()


def test_whole_frames_are_lost_and_others_come_as_they_were():
    wires = Wires(2, 0.3, seed=1)
    frames = [bytes([65 + i]) * 5 + b"\0" for i in range(20)] + [b"end\0"] * 30
    for frame in frames:
        os.write(wires.ends[0][1], frame)
    came = b""
    while b"end" not in came:
        came += read(wires.ends[1][0])
    found = came.split(b"\0")
    assert [each for each in found if each and each + b"\0" not in frames] == []
    letters = [each for each in found if each and each != b"end"]
    assert letters == sorted(letters) and 5 < len(letters) < 20
    wires.close()


def test_what_nobody_takes_in_is_lost_and_holds_up_no_one():
    wires = Wires(2, 1e-9)
    for _ in range(40):
        try:
            os.write(wires.ends[0][1], b"x" * 8_191 + b"\0")
        except BlockingIOError:
            break
    wires.close()
