"""A whole chip's work: recorded requests, and their answers from a chip emulated in QEMU."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench import bounds
from bench.chip import ChipBench
from bench.qemu import machine, toolchain
from bench.qemu.machine import EmulationError
from bench.recording import SESSION_KEY, Request, requests
from host.errors import SetupError
from host.model.loading import load_model
from host.model.quantization.quantize import quantize
from host.model.reference import Reference
from host.wire.framing import decode_frame, encode_frame
from host.wire.payloads import decode_compute
from protocol.auth import Signer
from protocol.frame import BROADCAST, DST, HEADER_SIZE, VERSION, ProtocolError, verify_frame
from protocol.messages import PHASE_VOCABULARY
from tests.host.tiny import random_checkpoint


@pytest.fixture(scope="module")
def model():
    return quantize(random_checkpoint())


def test_requests_are_those_of_the_reference(model) -> None:
    recorded = requests(model, [1, 5], 3)
    assert len(recorded) == 3 * (2 * model.config.layers + 1)
    reference = Reference(model)
    logits = [reference.step([token])[0] for token in (1, 5)]
    scored = [request for request in recorded if request.phase == PHASE_VOCABULARY]
    assert [request.position for request in scored] == [0, 1, 2]
    assert np.array_equal(scored[0].answer, logits[0])
    assert np.array_equal(scored[1].answer, logits[1])
    # The third token is the likeliest after the two that were given.
    assert np.array_equal(scored[2].answer, reference.step([int(np.argmax(logits[1]))])[0])


def test_a_request_is_a_frame_for_all_chips() -> None:
    x = np.arange(-3, 5)
    encoded = Request(7, 2, 1, x, x).frame(0x12345)
    assert encoded.count(0) == 1 and encoded.endswith(b"\0")
    frame = bytearray(decode_frame(encoded[:-1]))
    length = verify_frame(frame, len(frame))
    compute = decode_compute(bytes(frame[HEADER_SIZE : HEADER_SIZE + length]))
    assert (compute.layer, compute.phase, compute.position, compute.count) == (2, 1, 7, 1)
    assert np.array_equal(np.frombuffer(compute.data, "<i2"), x)
    assert frame[DST] == BROADCAST


def test_signed_requests_are_taken_in_the_order_in_which_they_were_made() -> None:
    x = np.arange(8)
    request, signer = Request(7, 2, 1, x, x), Signer(SESSION_KEY)
    frames = [bytearray(decode_frame(request.frame(i, signer)[:-1])) for i in range(3)]
    chip = Signer(SESSION_KEY, 1)
    for frame in frames:
        assert frame[VERSION] == 3
        length = verify_frame(frame, len(frame), chip)
        assert decode_compute(bytes(frame[HEADER_SIZE : HEADER_SIZE + length])).position == 7
    with pytest.raises(ProtocolError, match="seen before"):
        verify_frame(frames[1], len(frames[1]), chip)


def test_only_debian_gives_the_tools(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(toolchain.platform, "freedesktop_os_release", lambda: {"ID": "other"})
    with pytest.raises(SetupError, match="this machine is not Debian"):
        toolchain.Toolchain(tmp_path / "tools")
    assert not (tmp_path / "tools" / "installed").exists()


def test_what_a_failing_chip_says_last_is_told() -> None:
    said = b"boot\r\nraw REPL; CTRL-B to exit\r\n>OKa\r\nb\r\n\x04Traceback\r\nOSError: 2\r\n\x04>"
    with pytest.raises(EmulationError, match="^the emulated chip failed: OSError: 2$"):
        machine._lines(said)
    assert machine._lines(said.replace(b"Traceback\r\nOSError: 2\r\n", b"")) == ["a", "b"]
    with pytest.raises(EmulationError, match="failed: qemu: no kernel"):
        machine._lines(b"qemu: no kernel\n")


@pytest.mark.verify
def test_five_emulated_chips_answer_rightly_and_within_their_bounds(qemu: Path) -> None:
    rows = list(bounds.chip_figures(qemu))
    values = {row.name: row.value for row in rows if row.unit == "instr/token"}
    assert values.pop("chip") == sum(values.values())
    assert min(values.values()) > 0
    assert bounds.exceeded(bounds.bounded(rows), bounds.stored("chip")) == []


@pytest.mark.verify
def test_wrong_answers_are_noticed(qemu: Path) -> None:
    model = load_model(bounds.SHIPPED).quantize()
    wrong = [replace(request, answer=request.answer + 1) for request in requests(model, [1], 1)]
    with pytest.raises(EmulationError, match="not the reference's"):
        next(ChipBench(model, wrong, [0], qemu).rows(1, "home"))


@pytest.mark.verify
def test_five_emulated_chips_that_sign_are_right_and_within_their_bounds(qemu: Path) -> None:
    rows = list(bounds.chip_figures(qemu, signed=True))
    assert bounds.exceeded(bounds.bounded(rows), bounds.stored("signed")) == []
    values = {row.name: row.value for row in rows}
    assert 0 < values["chip: HMAC"] < values["chip"]


@pytest.mark.verify
def test_answers_that_are_not_signed_as_they_should_be_are_noticed(qemu: Path) -> None:
    model = load_model(bounds.SHIPPED).quantize()
    bench = ChipBench(model, requests(model, [1], 1), [0], qemu, signed=True)
    _, (run,) = bench.federation(1)
    bench.check([run])
    with pytest.raises(EmulationError, match="malformed: frame was seen before"):
        bench.check([[run[0], *run]])
    frame = bytearray(decode_frame(run[0].answer[:-1]))
    frame[-1] ^= 1
    with pytest.raises(EmulationError, match="malformed: frame is not authentic"):
        bench.check([[replace(run[0], answer=encode_frame(frame)), *run[1:]]])
    plain = ChipBench(model, requests(model, [1], 1), [0], qemu)
    with pytest.raises(EmulationError, match="malformed: frame is signed"):
        plain.check([run])
