"""Chips are asked for their counters once for all who want them at a time, and not too often."""

import asyncio
from concurrent.futures import Future
from types import SimpleNamespace

from host.errors import ClusterError
from host.serving import chip_counters
from host.serving.chip_counters import ChipCounters
from host.serving.engine import LOADING, READY


class FakeEngine:
    """An engine whose futures tests resolve; asked: those that it gave."""

    def __init__(self, name, state=READY):
        self.name, self.state, self.asked = name, state, []

    def ask_statistics(self):
        self.asked.append(Future())
        return self.asked[-1]


def run(engines, coroutine):
    service = SimpleNamespace(engines=engines)

    async def limited():
        async with asyncio.timeout(60):
            return await coroutine(ChipCounters(service))

    return asyncio.run(limited())


async def until_asked(engine, times):
    while len(engine.asked) < times:
        await asyncio.sleep(0.001)


def test_all_who_ask_at_a_time_share_one_answer_and_none_takes_it_from_others():
    engine, loading = FakeEngine("a"), FakeEngine("b", LOADING)

    async def converse(counters):
        asking = [asyncio.create_task(counters.ask()) for _ in range(50)]
        await until_asked(engine, 1)
        asking.pop().cancel()
        engine.asked[0].set_result(["counters"])
        return await asyncio.gather(*asking)

    assert run([engine, loading], converse) == [{"a": ["counters"]}] * 49
    assert len(engine.asked) == 1 and not loading.asked


def test_chips_have_time_to_work_between_two_times(monkeypatch):
    engine, slept = FakeEngine("a"), []
    sleep = asyncio.sleep

    async def note(seconds):
        slept.append(seconds)
        await sleep(0)

    async def converse(counters):
        for number in range(3):
            with monkeypatch.context() as patch:
                patch.setattr(chip_counters.asyncio, "sleep", note)
                asking = asyncio.create_task(counters.ask())
                while len(slept) <= number:
                    await sleep(0)
            await until_asked(engine, number + 1)
            engine.asked[-1].set_result([number])
            assert await asking == {"a": [number]}

    run([engine], converse)
    assert slept[0] <= 0 and all(0 < each <= chip_counters._INTERVAL for each in slept[1:])


def test_clusters_that_fail_or_take_too_long_are_left_out(monkeypatch):
    monkeypatch.setattr(chip_counters, "_TIMEOUT", 0.01)
    engines = [FakeEngine(name) for name in ("right", "failed", "late")]

    async def converse(counters):
        asking = asyncio.create_task(counters.ask())
        for engine in engines:
            await until_asked(engine, 1)
        engines[0].asked[0].set_result([1])
        engines[1].asked[0].set_exception(ClusterError("chip 1 died"))
        return await asking

    assert run(engines, converse) == {"right": [1]}
    assert engines[2].asked[0].cancelled()

