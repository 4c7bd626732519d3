"""Keys, other origins, and clients that send too much, too slowly or nonsense."""

import socket
import threading
import time
from contextlib import ExitStack, suppress

import httpx
import pytest

from host.errors import ArgumentError
from host.serving import guard, server
from host.serving.app import AppSettings
from host.serving.http_protocol import MOST_PIPELINED, TimedProtocol
from host.serving.server import verify_binding
from tests.serving.reference_chips import ReferenceChips
from tests.serving.servers import HTTP, make_service, serving

KEY = "the cluster's key"
PATH = "/v1/completions"
BODY = {"prompt": "Once", "max_tokens": 1}
TIMEOUT = 0.05  # seconds
WITH_KEY = {"Authorization": f"Bearer {KEY}"}


@pytest.fixture(scope="module")
def address(tiny):
    service, watching = make_service(tiny, [[ReferenceChips(slots=4)]])
    settings = AppSettings(api_key=KEY, cors=["https://example.org"])
    with serving(service, watching, settings) as url:
        yield url


@pytest.mark.parametrize("given", ["", "the cluster's ke", "x" * 300, "schlüssel"])
def test_without_the_key_nothing_is_answered(address, given):
    headers = {"Authorization": f"Bearer {given}".encode()} if given else {}
    for path in ("/v1/models", PATH, "/metrics", "/slots", "/x"):
        answer = HTTP.get(address + path, headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")
    assert HTTP.get(f"{address}/health").status_code == 200


def test_with_the_key_all_is(address, openai):
    with openai.OpenAI(base_url=f"{address}/v1", api_key=KEY) as client:
        assert client.completions.create(model="tiny", **BODY).usage.completion_tokens == 1
    wrong = openai.OpenAI(base_url=f"{address}/v1", api_key="wrong", max_retries=0)
    with wrong, pytest.raises(openai.AuthenticationError, match="send Authorization: Bearer KEY"):
        wrong.models.list()


def test_pages_of_the_origin_that_is_let_in_may_ask(address):
    asked = {
        "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization",
    }  # fmt: skip
    for origin, is_let_in in (("https://example.org", True), ("https://example.com", False)):
        answer = HTTP.options(address + PATH, headers={"Origin": origin, **asked})
        assert (answer.headers.get("access-control-allow-origin") == origin) is is_let_in
        refused = HTTP.post(address + PATH, headers={"Origin": origin})
        assert refused.status_code == 401
        assert ("access-control-allow-origin" in refused.headers) is is_let_in


def test_a_body_that_is_too_long(address):
    long = b" " * (guard.MOST_BODY + 1)
    for content in (long, iter([long])):  # with its length in the head, and without
        answer = HTTP.post(address + PATH, content=content, headers=WITH_KEY)
        assert answer.status_code == 413
        assert answer.json()["error"]["message"].startswith("the body is longer than 1048576 byt")


@pytest.fixture(scope="module")
def strict_address(tiny):
    """A server with short timeouts for what a request sends."""
    service, watching = make_service(tiny, [[ReferenceChips()]])
    settings = AppSettings(api_key=KEY, body_timeout=TIMEOUT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TimedProtocol, "head_timeout", TIMEOUT)
        with serving(service, watching, settings) as url:
            yield url


def connect(address):
    host, _, port = address.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=60)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /v1/models HTTP/1.1\r\nHost: x\r\nX-Slow: ", 408),
        (b"", 408),
        (b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nAuthorization: Bearer "
         + KEY.encode() + b"\r\n\r\n{", 408),
        (b"nonsense\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 70_000, 431),
    ],
)  # fmt: skip
def test_slow_and_malformed_requests(strict_address, sent, status):
    with connect(strict_address) as line:
        line.sendall(sent)
        answer = b""
        while part := line.recv(4096):
            answer += part
    assert answer.startswith(b"HTTP/1.1 %d " % status)


def test_a_connection_that_is_kept_has_time_again(strict_address):
    with httpx.Client(headers=WITH_KEY) as kept:
        for _ in range(2):
            assert kept.get(f"{strict_address}/v1/models").status_code == 200
            time.sleep(3 * TIMEOUT)


def test_who_only_holds_connections_keeps_nobody_out(address, monkeypatch):
    monkeypatch.setattr(TimedProtocol, "most_connections", 6)
    unfinished = (
        b"", b"GET /health HTTP/1.1\r\n",
        b"POST /v1/models HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nX-API-Key: "
        + KEY.encode() + b"\r\n\r\n{",
    )  # fmt: skip
    with ExitStack() as stack:
        held = [stack.enter_context(connect(address)) for _ in range(30)]
        for number, line in enumerate(held):
            with suppress(OSError):  # it has been closed already
                line.sendall(unfinished[number % len(unfinished)])
        with httpx.Client(headers=WITH_KEY) as other:
            assert other.get(f"{address}/v1/models").status_code == 200
        held[0].settimeout(60)
        assert held[0].recv(1) == b""


def test_who_asks_far_ahead_is_cut_off(address):
    with connect(address) as line:
        line.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n" * (MOST_PIPELINED + 2))
        answer = b""
        with suppress(ConnectionResetError):
            while part := line.recv(4096):
                answer += part
    assert answer.count(b"HTTP/1.1 200 OK") <= 1


@pytest.fixture(scope="module")
def short_timeouts(tiny):
    """A server that keeps little for those who do not read, and not for long: its address, and
    what is set when it has given up a connection."""
    service, watching = make_service(tiny, [[ReferenceChips()]])
    lost, connection_lost = threading.Event(), TimedProtocol.connection_lost

    def note(protocol, error):
        connection_lost(protocol, error)
        lost.set()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TimedProtocol, "connection_lost", note)
        patch.setattr(TimedProtocol, "write_timeout", TIMEOUT)
        patch.setattr(server, "_KEEP_ALIVE", TIMEOUT)
        patch.setattr(server, "_UNREAD", 4096)
        with serving(service, watching) as url:
            yield url, lost


@pytest.mark.parametrize(
    ("requests", "ends"), [(17, b""), (5, b""), (5, b"Connection: close\r\n")]
)
def test_who_reads_nothing_is_cut_off(short_timeouts, requests, ends):
    """Where answers wait to be made, where all are made, and where the connection is to end."""
    address, lost = short_timeouts
    lost.clear()
    head = b"GET /page/page.js HTTP/1.1\r\nHost: x\r\n"
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        host, _, port = address.removeprefix("http://").partition(":")
        line.connect((host, int(port)))
        line.sendall((head + b"\r\n") * (requests - 1) + head + ends + b"\r\n")
        assert lost.wait(60)


def test_beyond_this_machine_a_key_is_needed():
    for host in ("127.0.0.1", "::1", "localhost"):
        verify_binding(host, "", False)
    verify_binding("0.0.0.0", KEY, False)
    verify_binding("0.0.0.0", "", True)
    with pytest.raises(ArgumentError, match="^--host 0.0.0.0 can be reached from other machines"):
        verify_binding("0.0.0.0", "", False)
