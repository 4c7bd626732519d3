"""The page in a real Chromium, on simulated chips: asking, looking, on a phone, in the dark."""

import json

import pytest

from host.model.cache import load_quantized
from host.paths import HOME_MODEL
from host.serving import page_routes
from host.serving.app import AppSettings
from tests.serving.browser import chromium
from tests.serving.reference_chips import ReferenceChips
from tests.serving.servers import (
    HTTP,
    make_service,
    serving,
    simulated,
    wait_until,
)
from tests.simulation.launch import REPOSITORY

PHONE = {"width": 360, "height": 640}
SCREENSHOT = REPOSITORY / "docs" / "page.png"


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def home():
    return load_quantized(HOME_MODEL)


def open_page(browser, address, **settings):
    """A page that is ready, and lists of what went wrong in it and of what it asked for."""
    page = browser.new_page(**settings)
    wrong, asked = [], []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda m: wrong.append(m.text) if m.type == "error" else None)
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    page.wait_for_selector("#state.ready")
    return page, wrong, asked


def put(page, text):
    page.fill("#prompt", text)
    page.press("#prompt", "Enter")
    page.wait_for_selector("#send")  # it is hidden until the answer is whole
    return page.text_content("#log .answer:nth-last-child(2)")


def is_as_wide_as_its_window(page):
    return page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_command_and_the_cluster_at_work(micropython, home, browser):
    service, watching = make_service(home, [simulated(3)], name="home")
    with serving(service, watching) as address:
        page, wrong, asked = open_page(browser, address)
        assert put(page, "turn off the kitchen lights") == "light.kitchen off"
        assert "3 tokens" in page.text_content("#log .note")
        page.wait_for_selector(".timeline .attention")
        page.wait_for_selector(".timeline .vocabulary")
        boards = page.locator(".board")
        assert boards.count() == 3
        assert "2 heads" in boards.nth(0).inner_text().replace("heads\n2", "2 heads")
        assert "3 simulated chips" in page.text_content(".cluster p")
        examples = page.locator("#examples button")
        examples.first.click()
        page.wait_for_selector("#log .answer:nth-of-type(5)")
        assert is_as_wide_as_its_window(page)
        light = page.evaluate("getComputedStyle(document.body).backgroundColor")
        page.emulate_media(color_scheme="dark")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light
        assert put(page, "order a pizza") == "unknown"  # whose last token takes no pass
        page.wait_for_selector(".timeline .attention")
        page.set_viewport_size(PHONE)
        # The page's policy lets nothing be evaluated that waits within it.
        width = "document.querySelector('.timeline').viewBox.baseVal.width"
        wait_until(lambda: page.evaluate(width) < 400)
        assert put(page, "turn on the light " * 60) == ""
        assert "128 positions" in page.text_content("#log .error")
        assert page.evaluate("""() => {
            const log = document.getElementById("log");
            return log.scrollTop + log.clientHeight >= log.scrollHeight - 1;
        }""")
        assert is_as_wide_as_its_window(page)
        assert page.locator("#send").bounding_box()["height"] >= 36
        assert all("400" in each for each in wrong)  # the prompt that was too long
        assert all(url.startswith(address) for url in asked)


def test_the_key_is_asked_for_and_a_lost_server_is_said(tiny, browser):
    service, watching = make_service(tiny, [[ReferenceChips(context=16)]])
    with serving(service, watching, AppSettings(api_key="k")) as address:
        page = browser.new_page(viewport=PHONE)
        page.goto(address)
        page.fill("#key", "k")
        page.press("#key", "Enter")
        page.wait_for_selector("#state.ready")
        assert page.is_hidden("#key-form")
        assert put(page, "Once upon") and page.text_content("#model") == "tiny"
    page.wait_for_selector("#state.failed")


def test_the_page_asks_for_nothing_elsewhere_and_lets_no_other_page_frame_it(tiny):
    service, watching = make_service(tiny, [[ReferenceChips()]])
    with serving(service, watching) as address:
        index = HTTP.get(address)
        assert index.headers["content-security-policy"].startswith("default-src 'self'; frame-")
        for name in page_routes._TYPES:
            answer = HTTP.get(f"{address}/page/{name}")
            assert answer.status_code == 200
            assert "http://" not in answer.text.replace("http://www.w3.org/", "")
            assert "https://" not in answer.text
        assert HTTP.get(f"{address}/page/page_routes.py").status_code == 404
        assert HTTP.get(f"{address}/page/..%2fapp.py").status_code == 404


def test_viewers_are_limited_and_those_that_go_are_forgotten(tiny, monkeypatch):
    monkeypatch.setattr(page_routes, "MOST_VIEWERS", 1)
    service, watching = make_service(tiny, [[ReferenceChips()]])
    with serving(service, watching) as address:
        with HTTP.stream("GET", f"{address}/live") as live:
            lines = live.iter_lines()
            first = next(filter(None, lines))
            refused = HTTP.get(f"{address}/live")
            assert refused.json()["error"]["code"] == "too_many_viewers"
            del lines
        (cluster,) = json.loads(first[6:])["clusters"]
        assert (cluster["state"], cluster["chips"][0]["heads"]) == ("ready", 1)

        def is_free():
            with HTTP.stream("GET", f"{address}/live") as live:
                return live.status_code == 200

        wait_until(is_free)


def test_what_stands_in_for_chips_that_stay_away_is_shown(tiny, browser):
    service, watching = make_service(tiny, [[ReferenceChips(refusals=10**9), ReferenceChips()]])
    with serving(service, watching) as address:
        page, wrong, _ = open_page(browser, address)
        assert page.text_content(".cluster .warning") == "on spare 1, of 1 chip"
        assert page.text_content(".cluster .error") == "last failure: chip 0 does not answer"
        assert wrong == []


@pytest.mark.verify
def test_a_screenshot_for_the_documents(micropython, home, browser):
    service, watching = make_service(home, [simulated(5)], name="home")
    with serving(service, watching) as address:
        page, _, _ = open_page(browser, address, viewport={"width": 1100, "height": 760})
        for text in home.prompt_format.examples[:4]:
            put(page, text)
        page.wait_for_selector(".timeline .attention")
        page.screenshot(path=SCREENSHOT)
    assert SCREENSHOT.stat().st_size < 200_000
