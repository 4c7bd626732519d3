"""Pages of other sites, of which a browser sends requests to this machine."""

import pytest

from host.serving.api_errors import ApiError
from host.serving.app import AppSettings
from host.serving.origins import verify_page
from tests.serving.reference_chips import ReferenceChips
from tests.serving.servers import HTTP, make_service, serving

OWN = "127.0.0.1:8080"


def verify(host, origins=(), **headers):
    named = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    verify_page({b"host": host.encode("latin-1"), **named}, origins)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.0.0.1:8080", "[::1]:8080", "192.168.1.7:80", "localhost:8080", "LOCALHOST",
     "pi.local:8080", "federation", "a.home.arpa", "a.localhost.", ""],
)  # fmt: skip
def test_addresses_and_names_of_this_network_are_asked(host):
    verify(host)
    verify(host, origin=f"http://{host}")


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example:8080", "localhost.evil.example", "evil.example.",
     "local.evil", "[", "\xff.example"],
)  # fmt: skip
def test_names_that_others_may_own_are_not(host):
    with pytest.raises(ApiError, match="may be a name of another site that points here") as caught:
        verify(host)
    assert caught.value.status == 403


@pytest.mark.parametrize(
    ("headers", "is_let_in"),
    [
        ({}, True),
        ({"origin": f"http://{OWN}"}, True),
        ({"origin": "https://evil.example"}, False),
        ({"origin": "http://127.0.0.1:3000"}, False),
        ({"origin": "null"}, False),
        ({"origin": "https://good.example"}, True),
        ({"origin": "app://a-program"}, True),
        ({"origin": "http://proxy", "sec_fetch_site": "same-origin"}, True),
        ({"sec_fetch_site": "none"}, True),
        ({"sec_fetch_site": "cross-site", "sec_fetch_mode": "no-cors"}, False),
        ({"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"}, True),
    ],
)
def test_pages_of_other_sites_may_ask_only_where_they_are_named(headers, is_let_in):
    if is_let_in:
        verify(OWN, ["https://good.example"], **headers)
    else:
        with pytest.raises(ApiError, match="may not ask: start the server with --cors"):
            verify(OWN, ["https://good.example"], **headers)
    verify(OWN, ["*"], **headers)


@pytest.mark.parametrize(
    ("settings", "status"),
    [(AppSettings(), 403), (AppSettings(is_insecure=True), 200), (AppSettings("k"), 200)],
)
def test_a_key_or_insecure_lets_all_pages_ask(tiny, settings, status):
    service, watching = make_service(tiny, [[ReferenceChips()]])
    with serving(service, watching, settings) as address:
        foreign = {"Origin": "https://evil.example", "Authorization": "Bearer k"}
        for headers in (foreign, {**foreign, "Host": "evil.example", "Origin": ""}):
            answer = HTTP.get(f"{address}/v1/models", headers=headers)
            assert answer.status_code == status
            assert status == 200 or answer.json()["error"]["code"] == "foreign_page"
