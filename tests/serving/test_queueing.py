"""Requests that wait, run together, end early or fail, over HTTP on a cluster without chips."""

import http.client
import json
import threading
import time
from contextlib import closing

import httpx
import pytest

from host.errors import ClusterError
from host.serving.app import AppSettings
from host.serving.engine import FAILED, MOST_ATTEMPTS, READY
from tests.serving.reference_chips import Gate, ReferenceChips
from tests.serving.servers import HTTP, make_service, serving, wait_until

PROMPT = "Once upon a time"
PATH = "/v1/completions"


def body(max_tokens=4, **more):
    return {"prompt": PROMPT, "max_tokens": max_tokens, **more}


class Asking(threading.Thread):
    """A request that is under way."""

    def __init__(self, address, **more):
        super().__init__(daemon=True)
        self.address, self.more = address, more
        self.start()

    def run(self):
        self.answer = HTTP.post(self.address + PATH, json=body(**self.more), timeout=60)

    @property
    def text(self):
        self.join(60)
        assert self.answer.status_code == 200, self.answer.text
        return self.answer.json()["choices"][0]["text"]


def start(tiny, chips, **more):
    service, watching = make_service(tiny, [chips], pause=lambda seconds: None, **more)
    return service, serving(service, watching)


def test_requests_run_together_and_join_while_others_run(tiny, expect):
    gate = Gate()
    chips = ReferenceChips(slots=3, script=gate)
    service, server = start(tiny, [chips])
    with server as address:
        first = Asking(address, max_tokens=9)
        gate.waiting.wait(60)
        others = [Asking(address, max_tokens=5), Asking(address, temperature=1.0, seed=7)]
        wait_until(lambda: len(service.default.queue) == 2)
        slots = HTTP.get(f"{address}/slots").json()
        assert [slot["is_processing"] for slot in slots] == [True, False, False]
        gate.is_open.set()
        assert first.text == expect(PROMPT, 9).text
        assert others[0].text == expect(PROMPT, 5).text
        assert others[1].text == expect(PROMPT, 4, temperature=1.0, seed=7).text
        assert chips.opened[0].most_open == 3


def test_a_full_queue_refuses_with_retry_after(tiny):
    gate = Gate()
    service, server = start(tiny, [ReferenceChips(script=gate)], most_waiting=1)
    with server as address:
        running = Asking(address)
        gate.waiting.wait(60)
        waiting = Asking(address)
        wait_until(lambda: len(service.default.queue) == 1)
        refused = HTTP.post(address + PATH, json=body())
        assert refused.status_code == 429 and int(refused.headers["retry-after"]) >= 1
        error = refused.json()["error"]
        assert (error["type"], error["code"]) == ("rate_limit_error", "queue_full")
        gate.is_open.set()
        assert running.text == waiting.text


def test_who_fills_the_queue_gives_way_to_another_address(tiny):
    """Whatever a header says of the address: that anybody can write."""
    gate = Gate()
    service, server = start(tiny, [ReferenceChips(script=gate)], most_waiting=2)
    elsewhere = httpx.Client(transport=httpx.HTTPTransport(local_address="127.0.0.2"))
    with server as address, elsewhere:
        running = Asking(address)
        gate.waiting.wait(60)
        waiting = [Asking(address), Asking(address)]
        wait_until(lambda: len(service.default.queue) == 2)
        feigned = {"X-Forwarded-For": "203.0.113.7"}
        assert HTTP.post(address + PATH, json=body(), headers=feigned).status_code == 429
        other = threading.Thread(target=lambda: found.append(ask(elsewhere, address)))
        found = []
        other.start()
        wait_until(lambda: not all(each.is_alive() for each in waiting))
        gate.is_open.set()
        for each in (running, *waiting, other):
            each.join(60)
        assert sorted(each.answer.status_code for each in waiting) == [200, 429]
        assert found == [200] and running.text


def ask(client, address):
    return client.post(address + PATH, json=body(), timeout=60).status_code


@pytest.mark.parametrize("streamed", [False, True])
def test_who_goes_gives_the_slot_to_the_next(tiny, expect, streamed):
    gate = Gate()
    chips = ReferenceChips(script=gate)
    service, server = start(tiny, [chips])
    with server as address:
        content = json.dumps(body(500, stream=streamed))
        port = int(address.rpartition(":")[2])
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as client:
            client.request("POST", PATH, content, {"content-type": "application/json"})
            wait_until(lambda: service.engines[0].running)
        (job,) = service.engines[0].running.values()
        wait_until(lambda: job.is_cancelled)
        gone = Asking(address)
        wait_until(lambda: len(service.default.queue) == 1)
        gate.is_open.set()
        assert gone.text == expect(PROMPT, 4).text
        assert len(job.task.tokens) - len(job.task.prompt_tokens) == 1


def test_a_request_that_is_not_done_in_time(tiny):
    gate = Gate()
    service, watching = make_service(tiny, [[ReferenceChips(script=gate)]])
    with serving(service, watching, AppSettings(deadline=0.05)) as address:
        answers = [
            HTTP.post(address + PATH, json=body(stream=streamed)) for streamed in (False, True)
        ]
        gate.is_open.set()
    assert answers[0].status_code == 504
    assert answers[0].json()["error"]["code"] == "deadline_exceeded"
    assert '"code":"deadline_exceeded"' in answers[1].text and "[DONE]" not in answers[1].text


def test_a_cluster_that_fails_is_opened_again_and_texts_go_on(tiny, expect):
    def fail_now_and_then(executor):
        if executor.completions == 5:
            raise ClusterError("chip 1 died")

    chips = ReferenceChips(slots=2, script=fail_now_and_then)
    _, server = start(tiny, [chips])
    with server as address:
        asked = [Asking(address, max_tokens=8), Asking(address, temperature=1.0, max_tokens=7)]
        sampled = Asking(address, temperature=1.0, seed=9, max_tokens=7)
        assert asked[0].text == expect(PROMPT, 8).text
        assert sampled.text == expect(PROMPT, 7, temperature=1.0, seed=9).text
        asked[1].join(60)
        health = HTTP.get(f"{address}/health").json()
        assert health["clusters"][0]["restarts"] >= 3
        assert health["clusters"][0]["last_error"] == "chip 1 died"
        metrics = HTTP.get(f"{address}/metrics").text
        assert 'federation_cluster_ready{cluster="tiny"} 1.0' in metrics


def test_a_text_that_never_gets_on_fails(tiny):
    def fail(executor):
        raise ClusterError("chip 1 died")

    service, server = start(tiny, [ReferenceChips(script=fail)])
    with server as address:
        answer = HTTP.post(address + PATH, json=body())
        assert answer.status_code == 500
        assert answer.json()["error"]["message"] == "chip 1 died"
        wait_until(lambda: service.engines[0].restarts >= MOST_ATTEMPTS)


def test_the_other_cluster_goes_on_where_one_stays_away(tiny, expect):
    def fail(executor):
        if executor.completions == 3:
            broken.refusals = 10**9
            raise ClusterError("chip 0 died")

    broken, sound = ReferenceChips(script=fail), Gate()
    service, watching = make_service(
        tiny, [[broken], [ReferenceChips(script=sound)]], pause=lambda seconds: time.sleep(0.01)
    )
    with serving(service, watching) as address:
        wait_until(lambda: all(engine.state == READY for engine in service.engines))
        asked = [Asking(address, max_tokens=9), Asking(address, max_tokens=9)]
        wait_until(lambda: service.engines[0].state == FAILED)
        sound.is_open.set()
        assert {each.text for each in asked} == {expect(PROMPT, 9).text}
        health = HTTP.get(f"{address}/health")
        assert health.status_code == 200 and health.json()["is_degraded"]


def test_others_take_the_place_of_chips_that_stay_away(tiny, expect):
    def fail(executor):
        if executor.completions == 3:
            chips.refusals = 10**9
            raise ClusterError("chip 0 died")

    chips = ReferenceChips(script=fail)
    _, server = start(tiny, [chips, ReferenceChips(slots=2)])
    with server as address:
        assert Asking(address, max_tokens=9).text == expect(PROMPT, 9).text
        assert len(HTTP.get(f"{address}/slots").json()) == 2


def test_health_and_requests_while_a_model_is_loaded_and_where_it_cannot_be(tiny):
    chips = ReferenceChips(refusals=4)
    pausing, going_on = threading.Semaphore(0), threading.Semaphore(0)

    def pause(seconds):
        pausing.release()
        assert going_on.acquire(timeout=60)

    service, watching = make_service(tiny, [[chips]], pause=pause)
    with serving(service, watching, is_awaited=False) as address:
        pausing.acquire(timeout=60)
        states = []
        for _ in range(3):
            health = HTTP.get(f"{address}/health")
            asked = HTTP.post(address + PATH, json=body())
            assert health.status_code == asked.status_code == 503
            assert int(asked.headers["retry-after"]) > 0
            states.append((health.json()["error"]["message"], asked.json()["error"]["message"]))
            going_on.release()
            pausing.acquire(timeout=60)
        going_on.release()
        wait_until(lambda: service.default.state == READY)
        assert HTTP.get(f"{address}/health").json()["status"] == "ok"
    loading = "Loading model", "the model is being loaded: try again in a few seconds"
    failed = (
        "no cluster of a model works", "no cluster of tiny works: chip 0 does not answer"
    )  # fmt: skip
    assert states == [loading, loading, failed]


def test_stopping_fails_what_waits_and_runs(tiny):
    gate = Gate()
    service, server = start(tiny, [ReferenceChips(script=gate)])
    with server as address:
        asked = [Asking(address, max_tokens=400) for _ in range(2)]
        gate.waiting.wait(60)
        wait_until(lambda: len(service.default.queue) == 1)
        for engine in service.engines:
            engine.stop()
        gate.is_open.set()
        service.stop()
        for each in asked:
            each.join(60)
            assert each.answer.status_code == 500
            assert each.answer.json()["error"]["message"] == "the server stops"
