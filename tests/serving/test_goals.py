"""The goals of serving at their full size, on real processes, and slices of them.

Each full one prints its figures: `make verify ARGS="-k goals -s"`.
"""

import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest

from host.paths import HELD_OUT
from host.serving.http_protocol import TimedProtocol
from tests.serving.reference_chips import ReferenceChips
from tests.serving.server_process import ServerProcess, Watched
from tests.serving.servers import HTTP, make_service, serving, simulated, wait_until
from tests.simulation.launch import REPOSITORY

PATH = "/v1/completions"
GROWTH = 12 << 20  # bytes that a server may grow by once it is warm: its allocator's slack
MALFORMED, OVERSIZED, SLOW, VANISHED = "malformed", "oversized", "slow", "vanished"


HOSTILE_CLIENTS = 8  # at a time: the server waits long for what some of them leave out
FEW = 6  # tokens, of answers that would not end by themselves


def commands(count):
    return [line.split("\t")[1] for line in HELD_OUT.read_text().splitlines()[:count]]


def run_alone(prompts, *words):
    """What `host.run` answers to each."""
    ended = subprocess.run(
        [sys.executable, "-m", "host.run", *words, "--json"], input="\n".join(prompts),
        capture_output=True, text=True, cwd=REPOSITORY, check=False,
    )  # fmt: skip
    found = [json.loads(line)["text"] for line in ended.stdout.splitlines()]
    return dict(zip(prompts, found, strict=True))


class Crowd:
    """Clients that ask at the same time, each one request after another.

    wrong: answers that were not as expected; refused: how often a queue was full; answered.
    """

    def __init__(self, address, expected, clients=32, **more):
        """expected: the answer to each prompt; more: fields of all requests."""
        self.address, self.expected, self.clients, self.more = address, expected, clients, more
        self.wrong, self.refused, self.answered = [], 0, 0

    def ask(self, each):
        """Has every client ask so many times; seconds that it took."""
        started = time.monotonic()
        asyncio.run(self._ask(lambda done: done < each))
        return time.monotonic() - started

    def ask_while(self, is_true):
        asyncio.run(self._ask(lambda done: is_true()))

    async def _ask(self, goes_on):
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        settings = {"base_url": self.address, "timeout": 600, "limits": limits, "verify": False}
        async with httpx.AsyncClient(**settings) as client:
            await asyncio.gather(
                *(self._one(client, number, goes_on) for number in range(self.clients))
            )

    async def _one(self, client, number, goes_on):
        prompts, done = list(self.expected), 0
        while goes_on(done):
            prompt = prompts[(7 * number + done) % len(prompts)]
            answer = await client.post(PATH, json={"prompt": prompt, **self.more})
            if answer.status_code == 429:
                self.refused += 1
                await asyncio.sleep(0.05)
                continue
            done += 1
            self.answered += 1
            found = answer.json()
            if answer.status_code != 200 or found["choices"][0]["text"] != self.expected[prompt]:
                self.wrong.append((prompt, answer.status_code, answer.text))


def check_crowd(server, expected, each, **more):
    crowd = Crowd(server.address, expected, **more)
    warming = max(1, each // 10)
    crowd.ask(warming)
    before, files, threads = server.memory, server.files, server.threads
    seconds = crowd.ask(each)
    grown = server.memory - before
    assert crowd.wrong == [] and crowd.answered == 32 * (each + warming)
    assert grown < GROWTH and server.threads <= threads + 8
    wait_until(lambda: server.files < files + 40)  # connections that have gone are closed
    print(
        f"\n32 clients, {each} requests each: {seconds:.0f} s, {32 * each / seconds:.1f} a second,"
        f" {crowd.refused} times 429, memory {before >> 20} MB and {grown / 2**20:+.1f} MB"
    )


@contextmanager
def small_server(tiny, chips, **settings):
    """A server of the tiny model in this process."""
    service, watching = make_service(tiny, [chips], **settings)
    with serving(service, watching) as address:
        yield Watched(os.getpid(), int(address.rpartition(":")[2]))


@pytest.fixture
def few(expect):
    """Answers of the tiny model, of FEW tokens."""
    return {prompt: expect(prompt, FEW).text for prompt in ("Once upon", "Lily and Tom", "She.")}


def test_a_slice_of_the_crowd(micropython, tiny, few):
    with small_server(tiny, simulated(2), most_waiting=8) as server:
        check_crowd(server, few, 2, max_tokens=FEW)


@pytest.mark.verify
@pytest.mark.timeout(3600)
def test_thirty_two_clients_with_two_hundred_requests_each(micropython):
    words = "--chips", "2", "--link", "uart"
    with ServerProcess(*words, "--queue", "16") as server:
        check_crowd(server, run_alone(commands(200), *words), 200)


class Kills(threading.Thread):
    """Kills a random chip of a server every so many seconds, for so many seconds."""

    def __init__(self, server, every, seconds):
        super().__init__(daemon=True)
        self.server, self.every, self.end = server, every, time.monotonic() + seconds
        self.count = 0
        self.start()

    def run(self):
        chosen = random.Random(1)
        while time.monotonic() + self.every < self.end:
            time.sleep(self.every)
            chips = self.server.chips
            if chips:
                os.kill(chosen.choice(sorted(chips.values())), signal.SIGKILL)
                self.count += 1


@pytest.mark.verify
@pytest.mark.timeout(900)
def test_a_chip_killed_every_five_seconds_for_two_minutes(micropython):
    words, every, seconds = ("--chips", "3", "--link", "uart"), 5, 120
    expected = run_alone(commands(60), *words)
    with ServerProcess(*words) as server:
        crowd = Crowd(server.address, expected, clients=8)
        kills = Kills(server, every, seconds)
        crowd.ask_while(kills.is_alive)
        wait_until(lambda: HTTP.get(f"{server.address}/health").status_code == 200)
        (cluster,) = HTTP.get(f"{server.address}/health").json()["clusters"]
        assert crowd.wrong == [] and crowd.answered > 8
        assert kills.count >= seconds / every - 2 and cluster["restarts"] > 0
    print(
        f"\na chip killed every {every} s for {seconds} s: {kills.count} kills,"
        f" {cluster['restarts']} times opened again, {crowd.answered} answers, all right"
    )


def hostile(address, kind, chosen):
    """One hostile request; its status, None where there is no answer to wait for."""
    host, _, port = address.removeprefix("http://").partition(":")
    head = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=60) as line:
        if kind == MALFORMED:
            body = bytearray(b'{"prompt": "Once", "max_tokens": 1, "stop": ["x"], "top_p": 0.5}')
            for _ in range(chosen.randrange(1, 6)):
                body[chosen.randrange(len(body))] = chosen.randrange(256)
            raw = bytearray(head % len(body) + body)
            if chosen.random() < 0.3:
                raw[chosen.randrange(len(raw))] = chosen.randrange(256)
            line.sendall(raw)
            line.shutdown(socket.SHUT_WR)
        elif kind == OVERSIZED:
            line.sendall(head % (1 << chosen.randrange(21, 40)) + b" " * (64 << 10))
        elif kind == SLOW:
            line.sendall(head[: chosen.randrange(1, 40)])
        elif kind == VANISHED:
            body = json.dumps({"prompt": "turn off the light", "stream": chosen.random() < 0.5})
            line.sendall(head % len(body) + body.encode())
            return None
        if kind == SLOW and chosen.random() < 0.95:
            return None  # it goes, in the middle of its head
        try:
            answer = line.recv(4096)
        except ConnectionResetError:
            return None
        return int(answer[9:12]) if answer else None


def check_hostile(server, expected, counts, **more):
    statuses = {kind: {} for kind in counts}
    honest = Crowd(server.address, expected, clients=4, **more)
    honest.ask(2)
    has_ended, files = threading.Event(), server.files
    asking = threading.Thread(target=lambda: honest.ask_while(lambda: not has_ended.is_set()))
    asking.start()
    kinds = [kind for kind, count in counts.items() for _ in range(count)]
    random.Random(2).shuffle(kinds)
    memory = []

    def ask(number):
        status = hostile(server.address, kinds[number], random.Random(number))
        if number % (len(kinds) // 20) == 0:
            memory.append(server.memory)
        return kinds[number], status

    with ThreadPoolExecutor(HOSTILE_CLIENTS) as pool:
        for kind, status in pool.map(ask, range(len(kinds))):
            statuses[kind][status] = statuses[kind].get(status, 0) + 1
    has_ended.set()
    asking.join(120)
    assert honest.wrong == [] and honest.answered > 8
    grown = server.memory - memory[len(memory) // 4]
    assert grown < GROWTH, [each >> 20 for each in memory]
    wait_until(lambda: server.files < files + 20)  # connections that have gone are closed
    seen = {status for each in statuses.values() for status in each}
    assert all(status in (None, 200) or 400 <= status < 500 for status in seen), statuses
    assert HTTP.get(f"{server.address}/health").status_code == 200
    print(
        f"\n{len(kinds)} hostile requests: {statuses}, memory {memory[0] >> 20} MB and"
        f" {grown / 2**20:+.1f} MB, {honest.answered} answers to others meanwhile, all right"
    )


def test_a_slice_of_hostile_requests(tiny, few, monkeypatch):
    counts = {MALFORMED: 100, OVERSIZED: 10, SLOW: 10, VANISHED: 10}
    monkeypatch.setattr(TimedProtocol, "head_timeout", 0.3)
    with small_server(tiny, [ReferenceChips(slots=4)]) as server:
        check_hostile(server, few, counts, max_tokens=FEW)


@pytest.mark.verify
@pytest.mark.timeout(1800)
def test_ten_thousand_malformed_and_other_hostile_requests(micropython):
    counts = {MALFORMED: 10_000, OVERSIZED: 500, SLOW: 500, VANISHED: 500}
    words = "--chips", "1", "--link", "uart"
    with ServerProcess(*words) as server:
        check_hostile(server, run_alone(commands(20), *words), counts)
    assert "Traceback" not in server.printed
