"""A server on simulated chips of which one is killed: the answer is right all the same."""

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
