"""Chips that stay away: spares take their place, or fewer chips with a plan of their own."""

import json
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import pytest

from host.errors import ClusterError, ModelError
from host.launch import SimulatedChips
from host.parallel.parallelism import Link, pipeline
from host.serving.stand_ins import StandIns
from tests.serving.reference_chips import ReferenceChips
from tests.serving.servers import HTTP, make_service, serving, wait_until

PROMPT = "Once upon a time"
TOKENS = 24
NOTE = "planned anew for 2 of 3 chips"


@dataclass
class Bench:
    """So many of the simulated chips start, and which plan of how many was open, in turn."""

    working: int
    opened: list = field(default_factory=list)


@dataclass(frozen=True)
class BrokenChips(SimulatedChips):
    """Simulated chips of which some stay dead once they have died, as broken boards do."""

    bench: Bench = None

    @contextmanager
    def open(self, model, choice, on_ready=lambda chip: None):
        if self.count > self.bench.working:
            raise ClusterError(f"chip {self.bench.working} does not answer")
        with super().open(model, choice, on_ready) as cluster:
            self.bench.opened.append(self.count)
            yield cluster


def broken(count, **settings):
    bench = Bench(count)
    chips = SimulatedChips.alike(count, "uart", **settings)
    fields = {name: getattr(chips, name) for name in SimulatedChips.__dataclass_fields__}
    return BrokenChips(**fields, bench=bench), bench


def kill_for_good(service, bench, chip):
    engine = service.engines[0]
    wait_until(lambda: any(len(task.tokens) > 14 for task in list(engine.running)))
    bench.working -= 1
    engine.cluster.simulation.chips[chip].process.kill()


def ask(address, **more):
    body = {"prompt": PROMPT, "max_tokens": TOKENS, **more}
    return HTTP.post(f"{address}/v1/completions", json=body)


@pytest.mark.parametrize("parallelism", [SimulatedChips.parallelism, pipeline(3)])
def test_a_text_goes_on_with_fewer_chips_where_one_stays_dead(
    micropython, tiny, expect, parallelism
):
    chips, bench = broken(3, parallelism=parallelism)
    service, watching = make_service(tiny, [[chips]])
    with serving(service, watching) as address:
        whole = HTTP.get(f"{address}/health").json()
        assert not whole["is_degraded"] and "note" not in whole["clusters"][0]
        with HTTP.stream(
            "POST", f"{address}/v1/completions",
            json={"prompt": PROMPT, "max_tokens": TOKENS, "stream": True},
        ) as stream:  # fmt: skip
            kill_for_good(service, bench, 1)
            lines = [line[6:] for line in stream.iter_lines() if line.startswith("data: {")]
        text = "".join(json.loads(line)["choices"][0]["text"] for line in lines)
        assert text == expect(PROMPT, TOKENS).text
        assert bench.opened == [3, 2]
        health = HTTP.get(f"{address}/health")
        assert health.status_code == 200 and health.json()["is_degraded"]
        (cluster,) = health.json()["clusters"]
        assert (cluster["state"], cluster["chips"], cluster["note"]) == ("ready", 2, NOTE)
        assert cluster["last_error"] == "chip 2 does not answer"
        metrics = HTTP.get(f"{address}/metrics").text
        assert 'federation_cluster_stands_in{cluster="tiny"} 1.0' in metrics
        with HTTP.stream("GET", f"{address}/live") as live:
            first = next(line for line in live.iter_lines() if line)
        (shown,) = json.loads(first[6:])["clusters"]
        assert (shown["note"], len(shown["chips"])) == (NOTE, 2)
        assert ask(address).json()["choices"][0]["text"] == text


def test_all_chips_are_tried_again_where_fewer_of_them_fail(micropython, tiny, expect):
    chips, bench = broken(2)
    service, watching = make_service(tiny, [[chips]])
    bench.working = 1
    with serving(service, watching) as address:
        assert ask(address).json()["choices"][0]["text"] == expect(PROMPT, TOKENS).text
        assert service.engines[0].note == "planned anew for 1 of 2 chips"
        bench.working = 2
        service.engines[0].cluster.simulation.chips[0].process.kill()
        assert ask(address).json()["choices"][0]["text"] == expect(PROMPT, TOKENS).text
        assert (bench.opened, service.engines[0].note) == ([1, 2], "")


class Counted(ReferenceChips):
    """Chips of which any smaller number can be planned for."""

    def __init__(self, count):
        super().__init__()
        self.count = count

    def without_one(self, model):
        return Counted(self.count - 1) if self.count > 1 else None


def test_spares_come_first_then_ever_fewer_chips_then_all_again():
    tried = StandIns(None, Counted(3), [Counted(5), Counted(4)])
    notes = []
    while tried.advance():
        notes.append(tried.current.note)
    assert notes == [
        "on spare 1, of 5 chips", "on spare 2, of 4 chips", NOTE, "planned anew for 1 of 3 chips"
    ]  # fmt: skip
    assert (tried.current.note, tried.current.chips.count) == ("", 3)
    assert tried.advance() and tried.current.note == "on spare 1, of 5 chips"
    tried.has_worked = True
    assert tried.advance() and tried.current.note == ""  # the own ones may be back


def test_chips_that_are_open_but_bring_no_token_are_replaced_too(tiny, expect):
    def fail(executor):
        raise ClusterError("chip 0, position 0: FAULT: MemoryError")

    service, watching = make_service(
        tiny, [[ReferenceChips(script=fail), ReferenceChips()]], pause=lambda seconds: None
    )
    with serving(service, watching) as address:
        assert ask(address).json()["choices"][0]["text"] == expect(PROMPT, TOKENS).text
        assert service.engines[0].note == "on spare 1, of 1 chip"


def test_plans_for_fewer_simulated_chips(tiny):
    model = tiny.quantize()
    chips = SimulatedChips.alike(3, "uart", parallelism=pipeline(3))
    fewer = chips.without_one(model)
    assert (fewer.count, fewer.parallelism) == (2, None)  # the planner chooses: not three stages
    assert fewer.without_one(model).without_one(model) is None
    kept = SimulatedChips.alike(3, "uart").without_one(model)
    assert kept == replace(SimulatedChips.alike(2, "uart"), link=Link("uart", "pins"))
    needed = 40 << 10  # of heap, where two chips have room and one has not
    tight = SimulatedChips.alike(2, "uart", heap=needed)
    smallest = next(size for size in range(needed, 400 << 10, 2 << 10) if fits(model, 2, size))
    tight = replace(tight, board=tight.board.with_heap(smallest))
    assert tight.without_one(model) is None


def fits(model, count, heap):
    chips = SimulatedChips.alike(count, "uart", heap=heap)
    try:
        chips.check(model)
    except ModelError:
        return False
    return True
