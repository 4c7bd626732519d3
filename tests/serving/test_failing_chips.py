"""Servers on simulated chips of which some are killed, and under load: every answer is right."""

import random
import resource
import threading
import time

import pytest

from tests.serving.servers import HTTP, make_service, serving, simulated, wait_until

PROMPTS = ("Once upon a time", "Lily and Tom", "The little dog", "She ran. He")
TOKENS = 24


def kill(service, chip):
    """Ends a chip's process for good, as if its board were unplugged."""
    cluster = service.engines[0].cluster
    if cluster:
        cluster.simulation.chips[chip].process.kill()


class Client(threading.Thread):
    """Asks for some texts, one after another, and keeps what was wrong."""

    def __init__(self, address, expected, count):
        super().__init__(daemon=True)
        self.address, self.expected, self.count, self.wrong = address, expected, count, []
        self.start()

    def run(self):
        for number in range(self.count):
            prompt = PROMPTS[number % len(PROMPTS)]
            body = {"prompt": prompt, "max_tokens": TOKENS}
            while True:
                answer = HTTP.post(f"{self.address}/v1/completions", json=body, timeout=600)
                if answer.status_code != 429:
                    break
                time.sleep(0.1)
            is_right = answer.status_code == 200
            if not is_right or answer.json()["choices"][0]["text"] != self.expected[prompt]:
                self.wrong.append(answer.text)


@pytest.fixture(scope="module")
def expected(expect):
    return {prompt: expect(prompt, TOKENS).text for prompt in PROMPTS}


def test_a_text_goes_on_where_a_chip_was_killed(micropython, tiny, expected):
    service, watching = make_service(tiny, [simulated(2)])
    with serving(service, watching) as address:
        client = Client(address, expected, 1)
        engine = service.engines[0]
        wait_until(lambda: any(len(task.tokens) > 14 for task in list(engine.running)))
        kill(service, 1)
        client.join(60)
        assert client.wrong == [] and engine.restarts == 1
        assert engine.error.startswith("chip 1 died: signal SIGKILL")


@pytest.mark.verify
@pytest.mark.timeout(600)
def test_chips_are_killed_every_five_seconds_under_load(micropython, tiny, expected):
    service, watching = make_service(tiny, [simulated(3)])
    chosen = random.Random(1)
    with serving(service, watching) as address:
        clients = [Client(address, expected, 20) for _ in range(6)]
        kills = 0
        while any(client.is_alive() for client in clients):
            time.sleep(5)
            kill(service, chosen.randrange(3))
            kills += 1
        assert [client.wrong for client in clients] == [[]] * 6
        assert service.engines[0].restarts >= min(kills, 2) - 1


@pytest.mark.verify
@pytest.mark.timeout(900)
def test_thirty_two_clients_at_once(micropython, tiny, expected):
    service, watching = make_service(tiny, [simulated(2)], most_waiting=16)
    with serving(service, watching) as address:
        for client in [Client(address, expected, 2) for _ in range(32)]:
            client.join(600)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        clients = [Client(address, expected, 10) for _ in range(32)]
        for client in clients:
            client.join(600)
        assert [client.wrong for client in clients] == [[]] * 32
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert grown < 10 * 1024  # KB
        assert not service.default.queue


@pytest.mark.verify
@pytest.mark.timeout(900)
def test_ten_thousand_malformed_requests(micropython, tiny, expected):
    service, watching = make_service(tiny, [simulated(1)])
    chosen = random.Random(2)
    sound = b'{"prompt": "Once", "max_tokens": 1, "stop": ["x"], "temperature": 0.5}'
    with serving(service, watching) as address:
        statuses = set()
        for _ in range(10_000):
            body = bytearray(sound)
            for _ in range(chosen.randrange(1, 6)):
                body[chosen.randrange(len(body))] = chosen.randrange(256)
            answer = HTTP.post(f"{address}/v1/completions", content=bytes(body))
            statuses.add(answer.status_code)
        assert statuses <= {200, 400}
        client = Client(address, expected, 4)
        client.join(60)
        assert client.wrong == []
