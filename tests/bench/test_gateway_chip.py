"""A gateway's whole work: what comes to it from both sides, and its turns in QEMU."""

import io
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from bench import bounds, parts
from bench.chip import ChipBench
from bench.emulated_chip import Measured, RadioUse, Record, radio_frames
from bench.gateway_chip import GatewayBench
from bench.qemu.machine import EmulationError
from bench.recording import requests
from bench.results import Label
from host.model.loading import load_model
from host.model.quantization.quantize import quantize
from host.wire.framing import decode_frame, encode_frame
from protocol.frame import HEADER_SIZE
from tests.host.tiny import random_checkpoint

CHIPS = 3
DRIVER = 16_100 + 2 * 4_900 + 2 * 4_100  # of a request that two other chips answer


def answer(chip: int, request: int, size: int = 40) -> bytes:
    """Stands for what a chip says; chip 2 has no part in the first request."""
    return b"" if (chip, request) == (2, 0) else encode_frame(bytes([chip, request] + [9] * size))


class Federation:
    """In place of a ChipBench: chips that have answered, and an emulator that does what a gateway
    should, but for what `spoil` does to it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, size: int = 40) -> None:
        monkeypatch.setattr("bench.chip.Emulator", lambda *_: None)
        model = quantize(random_checkpoint())
        bench = ChipBench(model, requests(model, [1], 2), [1])
        self.model, self.records, self.places = model, bench.records, bench.places
        self.count = len(bench.measured_requests())
        self.answers = [
            [Measured(1000, 8, answer(chip, i, size)) for i in range(self.count)]
            for chip in range(CHIPS)
        ]
        self.emulator = SimpleNamespace(runs=self.runs)
        self.spoil = lambda sent, line: (sent, line)
        self.taken: list[Record] = []

    def federation(self, chips: int) -> tuple[None, list[list[Measured]]]:
        assert chips == CHIPS
        return None, self.answers

    def runs(self, model: object, plan: object, shard: object, records: list[Record]) -> list:
        self.taken = list(records)
        made: list[Measured] = []
        for record in (record for record in records if record.measured):
            answers = [run[len(made) // 2].answer for run in self.answers]
            if record.on_radio:
                use = RadioUse(0, len([said for said in answers[1:] if said]), 1, b"")
                line = self.spoil(b"", b"".join(answers))[1]
                made.append(Measured(300, 16, line, radio=use))
            else:
                sent = self.spoil(decode_frame(record.frame[:-1]), b"")[0]
                made.append(Measured(1000, 8, answers[0], radio=RadioUse(1, 0, 1, sent)))
        return made


@pytest.fixture
def federation(monkeypatch: pytest.MonkeyPatch) -> Federation:
    return Federation(monkeypatch)


def test_each_request_is_followed_by_what_the_others_answered(federation: Federation) -> None:
    GatewayBench(federation).runs(CHIPS)
    lines, radio = federation.taken[::2], federation.taken[1::2]
    assert lines == federation.records
    assert all(record.on_radio for record in radio)
    # Before what is measured the gateway is asked as often, for it takes its sides in turns.
    assert [record.measured for record in radio] == [record.measured for record in lines]
    measured = [record.frame for record in radio if record.measured]
    assert {record.frame for record in radio if not record.measured} == {b""}
    frames = [decode_frame(answer(chip, 1)[:-1]) for chip in (1, 2)]
    assert measured[1] == radio_frames(frames)
    assert measured[0] == radio_frames([decode_frame(answer(1, 0)[:-1])])


def test_frames_on_the_radio_are_told_apart_by_their_lengths() -> None:
    record = Record(radio_frames([b"abc", b"", bytes(300)]), True, on_radio=True)
    assert record.encoded()[:1] == bytes([1 | 4])
    assert record.encoded()[1:3] == (3 + 300 + 3 * 2).to_bytes(2, "little")
    assert record.encoded()[3:12] == b"\3\0abc\0\0\x2c\1"


def test_what_the_driver_takes_is_modelled_in_rows_of_its_own(federation: Federation) -> None:
    rows = {row.name: row for row in GatewayBench(federation).rows(CHIPS, "tiny")}
    requested = federation.count
    driver = requested * DRIVER - 4_900  # one answer fewer
    assert {name: row.value for name, row in rows.items()} == {
        "chip": 1300 * requested,
        "chip: relaying": 300 * requested,
        "chip: allocated": 24 * requested,
        "chip: radio driver": driver,
        "chip with radio driver": 1300 * requested + driver,
    }
    assert {row.shape for row in rows.values()} == {"tiny 3 chips gateway position 1"}
    modelled = [name for name, row in rows.items() if row.label == Label.MODELLED]
    assert modelled == ["chip: radio driver", "chip with radio driver"]


def test_a_request_that_is_sent_on_otherwise_is_noticed(federation: Federation) -> None:
    federation.spoil = lambda sent, line: (sent[:HEADER_SIZE] + sent[HEADER_SIZE + 1 :], line)
    with pytest.raises(EmulationError, match="request 0 was not passed on to the radio"):
        GatewayBench(federation).runs(CHIPS)


def test_answers_that_are_not_all_on_the_line_are_noticed(federation: Federation) -> None:
    federation.spoil = lambda sent, line: (sent, line[:-1])
    with pytest.raises(EmulationError, match="answers to request 0 are not on the line as given"):
        GatewayBench(federation).runs(CHIPS)


@pytest.mark.parametrize(("size", "fits"), [(248, True), (249, False)])
def test_longer_frames_than_the_radios_are_not_for_it(
    monkeypatch: pytest.MonkeyPatch, size: int, fits: bool
) -> None:
    assert GatewayBench(Federation(monkeypatch, size)).fits(CHIPS) is fits


def test_a_model_with_longer_frames_has_no_gateway_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(parts, "CHIPS", (1, CHIPS))
    console = Console(record=True, file=io.StringIO())
    for size, text in ((249, "tiny: no gateway: its frames are too long"), (40, "a gateway emul")):
        federation = Federation(monkeypatch, size)
        rows = list(parts._gateway(parts.Subject("tiny", federation.model), federation, console))
        assert text in console.export_text()
        assert bool(rows) == (size == 40)


@pytest.mark.verify
def test_an_emulated_gateway_is_right_and_within_its_bounds(qemu: Path) -> None:
    rows = list(bounds.gateway_figures(qemu))
    assert bounds.exceeded(bounds.bounded(rows), bounds.stored("gateway")) == []
    values = {row.name: row.value for row in rows}
    layers = load_model(bounds.SHIPPED).quantize().config.layers
    # A request goes out, four answers come in, and each side is found empty once.
    assert values["chip: radio driver"] == (2 * layers + 1) * (16_100 + 4 * 4_900 + 2 * 4_100)
    assert values["chip with radio driver"] == values["chip"] + values["chip: radio driver"]
