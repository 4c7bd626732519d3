"""How much longer a server takes than `host.run`, on clusters alike.

Prints its figures: `make verify ARGS="-k longer -s"`.
"""

import http.client
import json
import math
import time

import pytest

from host.generation.generator import Generator, make_sampler
from host.generation.prompt_encoder import PromptEncoder
from host.launch import SimulatedChips, open_cluster
from host.model.cache import load_quantized
from host.paths import HOME_MODEL
from tests.serving.server_process import ServerProcess

PATH = "/v1/completions"
MOST = 10  # percent
# Milliseconds, where a token takes 3, less than on any board: HTTP's 2 ms a request are a quarter
# of the first one.
MOST_MS = 5


def times_of(pieces):
    """Seconds until the first piece, and from that to the last one for each of the others."""
    started = time.perf_counter()
    times = [time.perf_counter() for _ in pieces]
    return times[0] - started, (times[-1] - times[0]) / max(1, len(times) - 1)


def streamed(connection, prompt, tokens):
    """The lines of an answer's pieces of text."""
    body = json.dumps({"prompt": prompt, "max_tokens": tokens, "stream": True})
    connection.request("POST", PATH, body)
    answer = connection.getresponse()
    for line in answer:
        if line.startswith(b'data: {"id"') and b'"text":""' not in line:
            yield line


class Pairs:
    """Times of texts by host.run's own means and by a server, on clusters alike, in turn.

    The best of many is what this machine would take if it had nothing else to do.
    """

    def __init__(self, generator, server, prompt, tokens):
        self.generator, self.prompt, self.tokens = generator, prompt, tokens
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=300)
        self.direct, self.served = [], []

    def run(self, rounds):
        for _ in range(rounds):
            sampler = make_sampler(0.0, 0.9, 0)
            task = self.generator.task(self.prompt, sampler, self.tokens)
            self.direct.append(times_of(self.generator.stream(task)))
            self.served.append(times_of(streamed(self.connection, self.prompt, self.tokens)))

    @property
    def overheads(self):
        """What the server adds to the time to the first token, and to that of each other: in
        milliseconds, and in percent of it."""
        best = [[min(times) for times in zip(*all_, strict=True)] for all_ in self._both]
        return [
            (1e3 * (served - direct), 100 * (served / direct - 1) if direct else 0.0)
            for direct, served in zip(*best, strict=True)
        ]

    def is_within(self, most_ms, most_percent):
        """Whether the server adds less than this to both."""
        return all(ms < most_ms and percent < most_percent for ms, percent in self.overheads)

    @property
    def _both(self):
        return self.direct, self.served

    def __str__(self):
        return ", ".join(
            f"{what}: {1e3 * min(direct):.2f} ms alone, {1e3 * min(served):.2f} ms served"
            for what, direct, served in zip(
                ("first token", "each other"),
                *(zip(*all_, strict=True) for all_ in self._both), strict=True,
            )
        )  # fmt: skip


@pytest.mark.verify
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("which", "tokens", "most"),
    [("tiny", 60, (MOST_MS, math.inf)), ("home", 30, (math.inf, MOST))],
)
def test_a_server_takes_hardly_longer_than_a_run(
    micropython, tiny_model_file, which, tokens, most
):
    """The home model's answers come whole, when they have been verified."""
    path = tiny_model_file if which == "tiny" else HOME_MODEL
    prompt = "Once upon a time" if which == "tiny" else "set the living room lights to blue"
    source, chips = load_quantized(path), SimulatedChips.alike(2, "uart")
    words = ("--model", str(path), "--chips", "2", "--link", "uart")
    with ServerProcess(*words) as server, open_cluster(source.quantize(), chips) as cluster:
        encoder = PromptEncoder(source, None, source.config.context)
        pairs = Pairs(Generator(cluster, source, encoder), server, prompt, tokens)
        pairs.run(5)
        pairs.direct.clear(), pairs.served.clear()
        pairs.run(20)
        while not pairs.is_within(*most) and len(pairs.direct) < 200:
            pairs.run(5)  # this machine may be busy
    print(f"\n{which}, best of {len(pairs.direct)}: {pairs}: overheads in percent"
          f" {', '.join(f'{percent:.1f}' for _, percent in pairs.overheads)}")  # fmt: skip
    assert pairs.is_within(*most)
