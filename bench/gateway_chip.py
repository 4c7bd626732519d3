"""Counts the instructions of the gateway of a federation on ESP-NOW with host reduce.

The emulated chip 0 takes each request from its line, passes it on by radio, answers, and passes on
the answers of the others, which were recorded when these were emulated. All that it sends in both
directions is verified byte for byte.

The stand-in for its radio takes next to no instructions; those of ESP-NOW's driver for the same
calls are modelled, in rows of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.chip import ChipBench, counted
from bench.emulated_chip import TARGET, Measured, RadioUse, Record, radio_frames
from bench.link_figures import RADIO_NOTHING, RADIO_RECEIVE, RADIO_SEND
from bench.plans import tensor_plan
from bench.qemu.machine import EmulationError
from bench.results import Label, Row
from host.hardware.boards import load
from host.wire.framing import decode_frame

_BOARD = "esp32c3"  # has this processor
# For each request the gateway is polled twice: with it on the line, and with all answers waiting
# on the radio. Where they come one by one, more calls of the driver find nothing.
_TURNS = 2


class GatewayBench:
    """Runs the gateways of federations; `bench` has run the other chips over its requests."""

    def __init__(self, bench: ChipBench) -> None:
        self._bench = bench
        self._mtu = load(_BOARD).radio.mtu

    def fits(self, chips: int) -> bool:
        """Returns whether all frames are short enough for the radio, because fragments are not
        emulated."""
        _, runs = self._bench.federation(chips)
        answers = [answer for run in runs for answer in _answers(run)]
        requests = [_frame(record.frame) for record in self._bench.records]
        return max(map(len, [*answers, *requests])) <= self._mtu

    def rows(self, chips: int, name: str) -> Iterator[Row]:
        """Returns instructions per token on the gateway of `chips` chips. Raises
        EmulationError."""
        runs = self.runs(chips)
        for position, at in self._bench.places().items():
            own = [runs[_TURNS * i] for i in at]
            relaying = [runs[_TURNS * i + 1] for i in at]
            total = sum(run.instructions for run in (*own, *relaying))
            driver = sum(_driver(run.radio) for run in (*own, *relaying) if run.radio)
            for what, value, unit, label in (
                ("chip", total, "instr/token", Label.EMULATED),
                ("chip: relaying", sum(run.instructions for run in relaying), "instr/token",
                 Label.EMULATED),
                ("chip: allocated", sum(run.allocated for run in (*own, *relaying)),
                 "bytes/token", Label.EMULATED),
                ("chip: radio driver", driver, "instr/token", Label.MODELLED),
                ("chip with radio driver", total + driver, "instr/token", Label.MODELLED),
            ):  # fmt: skip
                shape = f"{name} {counted(chips)} gateway position {position}"
                yield Row(what, TARGET, shape, value, unit, label)

    def runs(self, chips: int) -> list[Measured]:
        """Returns what the gateway did in both turns of each request that the bench measures.

        Raises EmulationError unless everything was passed on unchanged.
        """
        _, federation = self._bench.federation(chips)
        records = self._records(federation)
        plan = tensor_plan(self._bench.model, chips, mtu=self._mtu)
        runs = self._bench.emulator.runs(self._bench.model, plan, plan.shards[0], records)
        requests = [record.frame for record in self._bench.records if record.measured]
        for i, request in enumerate(requests):
            radio, line = runs[_TURNS * i].radio, runs[_TURNS * i + 1].answer
            if radio is None or radio.sent != _frame(request):
                raise EmulationError(f"request {i} was not passed on to the radio as it came")
            if line != b"".join(run[i].answer for run in federation):
                raise EmulationError(f"the answers to request {i} are not on the line as given")
        return runs

    def _records(self, federation: Sequence[Sequence[Measured]]) -> list[Record]:
        """Returns each request, and after it the answers of all chips but the first."""
        answers = zip(*(run for run in federation[1:]), strict=True)
        made: list[Record] = []
        for record in self._bench.records:
            others = _answers(next(answers)) if record.measured else []
            turn = Record(radio_frames(others), record.measured, on_radio=True)
            made += [record, turn]
        return made


def _driver(use: RadioUse) -> int:
    """Returns the instructions of the driver for these calls."""
    return use.sends * RADIO_SEND + use.receives * RADIO_RECEIVE + use.misses * RADIO_NOTHING


def _answers(runs: Sequence[Measured]) -> list[bytes]:
    """Returns the frames of the chips that answered: a chip without a part in a phase does not."""
    return [_frame(run.answer) for run in runs if run.answer]


def _frame(encoded: bytes) -> bytes:
    return bytes(decode_frame(encoded.rstrip(b"\0")) or b"")
