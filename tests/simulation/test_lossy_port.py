"""A lossy serial line, on pyserial's loop-back port and on a pseudo-terminal."""

import os
import random
import tty

import pytest
import serial
from hypothesis import given
from hypothesis import strategies as st

from host.simulation.lossy_port import LONGEST_FRAME, LossyPort, LossyStream

FRAMES = [bytes([1 + number % 255, 1 + number // 255]) * 5 + b"\0" for number in range(4000)]


def looped(**impairments):
    """A lossy port that receives what it sends."""
    return LossyPort(serial.serial_for_url("loop://", timeout=0.05), **impairments)


def received(port, frames):
    """What arrives of frames that are sent one after another."""
    arrived = b""
    for frame in frames:
        assert port.write(frame) == len(frame)
        arrived += port.read(port.in_waiting)
    return arrived


def test_a_perfect_line_changes_nothing():
    with looped(seed=1) as port:
        assert received(port, FRAMES[:100]) == b"".join(FRAMES[:100])
        assert (port.frames_lost, port.frames_damaged) == (0, 0)


@pytest.mark.parametrize("rate", [0.05, 0.2])
def test_whole_frames_are_lost_at_the_rate_asked_for_in_both_directions(rate):
    with looped(seed=2, loss=rate) as port:
        arrived = received(port, FRAMES)
        lost = port.frames_lost
    survivors = [frame + b"\0" for frame in arrived.split(b"\0")[:-1]]
    assert set(survivors) <= set(FRAMES) and survivors == sorted(survivors, key=FRAMES.index)
    assert len(survivors) == len(FRAMES) - lost
    expected = len(FRAMES) * (1 - (1 - rate) ** 2)
    assert abs(lost - expected) < 5 * expected**0.5


def test_damaged_frames_arrive_changed():
    with looped(seed=3, corrupt=0.1) as port:
        arrived = received(port, FRAMES)
        damaged = port.frames_damaged
    assert len(arrived) == sum(map(len, FRAMES))  # changed, never shortened
    intact = len(set(arrived.split(b"\0")) & {frame[:-1] for frame in FRAMES})
    assert abs(damaged - 2 * 0.1 * len(FRAMES)) < 5 * (2 * 0.1 * len(FRAMES)) ** 0.5
    assert abs(len(FRAMES) - intact - damaged) < 0.1 * damaged


def test_the_same_seed_meets_the_same_fate():
    arrived = []
    for seed in (4, 4, 5):
        with looped(seed=seed, loss=0.3, corrupt=0.1) as port:
            arrived.append(received(port, FRAMES[:300]))
    assert arrived[0] == arrived[1] != arrived[2]


@given(st.lists(st.integers(min_value=1, max_value=40)), st.integers(min_value=0, max_value=9))
def test_how_the_bytes_are_cut_does_not_matter(cuts, seed):
    data = b"".join(FRAMES[:20])
    whole = LossyStream(random.Random(seed), 0.3, 0.2).passed(data)
    stream = LossyStream(random.Random(seed), 0.3, 0.2)
    pieces, start = b"", 0
    for cut in cuts:
        pieces += stream.passed(data[start : start + cut])
        start += cut
    assert pieces + stream.passed(data[start:]) == whole


def test_an_unfinished_frame_is_kept_back():
    with looped(seed=1, loss=1.0) as port:
        port.write(b"abc")
        assert port.in_waiting == 0 and port.read(3) == b""
        port.write(b"\0")
        assert port.in_waiting == 0 and port.frames_lost == 1
        port.write(b"ab")
        port.reset_output_buffer()
        port.write(b"\0")
        assert port.read(1) == b"\0"  # an empty frame, which is none, passes
        port.write(b"\0")
        assert port.in_waiting == 1
        port.reset_input_buffer()
        assert port.in_waiting == 0


def test_bytes_without_an_end_are_no_frame_and_pass():
    stream = LossyStream(random.Random(1), 1.0, 0.0)
    assert stream.passed(b"x" * LONGEST_FRAME) == b""
    assert stream.passed(b"y") == b"x" * LONGEST_FRAME + b"y"
    assert stream.passed(b"z\0") == b""


@pytest.mark.parametrize("impairment", [{"loss": -0.1}, {"loss": 1.1}, {"corrupt": 2}])
def test_impossible_probabilities_are_refused(impairment):
    with pytest.raises(ValueError, match="is a probability from 0 to 1"):
        looped(seed=1, **impairment)


@pytest.fixture
def terminal():
    """The far end's descriptor, and a lossless wrapper of the near end."""
    far, near = os.openpty()
    tty.setraw(near)
    with serial.Serial(os.ttyname(near), timeout=0.2) as port:
        yield far, LossyPort(port, seed=1)
    os.close(far)
    os.close(near)


def test_reading_waits_for_the_end_of_a_frame_and_for_the_timeout(terminal):
    far, port = terminal
    os.write(far, b"abc\0de")
    assert port.read(4) == b"abc\0"
    assert port.read(10) == b""
    assert port.timeout == 0.2
    os.write(far, b"f\0\0")
    assert port.read(10) == b"def\0\0"
    port.timeout = 0
    assert port.read(10) == b""


def test_all_else_is_the_ports_own(terminal):
    far, port = terminal
    assert port.is_open and port.baudrate == 9600
    assert os.ttyname(port.fileno()) == port.name
    port.write(b"x\0")
    port.flush()
    assert os.read(far, 10) == b"x\0"
    port.close()
    assert not port.is_open
