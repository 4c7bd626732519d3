"""The example programs, run as they are against a server that speaks all protocols."""

import asyncio
import json
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import threading

import pytest

from host.cli.serve_options import parse_options
from host.model.cache import load_quantized
from host.paths import HOME_MODEL
from host.serving.broker import Broker
from host.serving.front_ends import FrontEndSettings, open_front_ends
from tests.serving.broker import listening, mosquitto
from tests.serving.reference_chips import ReferenceChips
from tests.serving.servers import make_service, serving, wait_until
from tests.simulation.launch import REPOSITORY


@pytest.fixture(scope="module")
def addresses(tmp_path_factory):
    """Where each protocol is spoken."""
    source = load_quantized(HOME_MODEL)
    service, watching = make_service(source, [[ReferenceChips()]], name="home")
    found, loop = {}, asyncio.new_event_loop()
    ended = asyncio.Event()

    async def speak(port):
        settings = FrontEndSettings(60, Broker("127.0.0.1", port), "own", wyoming=("127.0.0.1", 0))
        async with open_front_ends(service, watching[0], settings) as lines:
            async with listening(port, "federation/servers/own/status") as client:
                await anext(aiter(client.messages))
            found["wyoming"] = lines[0].rpartition("//")[2]
            found["mqtt"] = f"127.0.0.1:{port}"
            await ended.wait()

    with (
        mosquitto(tmp_path_factory.mktemp("broker")) as port,
        serving(service, watching) as found["openai"],
    ):
        thread = threading.Thread(target=loop.run_until_complete, args=(speak(port),))
        thread.start()
        wait_until(lambda: "mqtt" in found)
        yield found
        loop.call_soon_threadsafe(ended.set)
        thread.join()
    loop.close()


@pytest.mark.parametrize(
    ("program", "protocol", "printed"),
    [
        ("openai_chat", "openai", "light.kitchen off\n"),
        ("wyoming_intents", "wyoming", "HassTurnOff {'area': 'kitchen', 'domain': 'light'}\n"),
        ("mqtt_command", "mqtt", "light.kitchen off\n"),
    ],
)
def test_it_prints_what_the_page_says(addresses, program, protocol, printed, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [program, addresses[protocol]])
    runpy.run_path(str(REPOSITORY / "examples" / f"{program}.py"), run_name="__main__")
    assert capsys.readouterr().out == printed
    page = (REPOSITORY / "docs" / "serving.md").read_text(encoding="utf-8")
    assert printed.strip() in page


def test_curl_as_the_page_has_it(addresses):
    curl = shutil.which("curl")
    if not curl:
        pytest.skip("no curl here: apt-get install curl")
    page = (REPOSITORY / "docs" / "serving.md").read_text(encoding="utf-8")
    block = re.search(r"^## curl\n+```\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)[1]
    block = block.replace("http://127.0.0.1:8080", addresses["openai"])
    asked, looked = block.split("curl -s ")[1:]
    printed = [
        subprocess.run(
            [curl, "-s", *shlex.split(words.replace("\\\n", " "))],
            capture_output=True, text=True, check=True, timeout=60,
        ).stdout
        for words in (asked, looked)
    ]  # fmt: skip
    assert json.loads(printed[0])["choices"][0]["message"]["content"] == "alarm at=07:00"
    assert json.loads(printed[1])["status"] == "ok"


def test_the_page_names_options_that_there_are():
    page = (REPOSITORY / "docs" / "serving.md").read_text(encoding="utf-8")
    for line in page.splitlines():
        if line.startswith(".venv/bin/python -m host.serve"):
            words = line.split("#")[0].replace('"', "").split()
            parse_options(words[words.index("host.serve") + 1 :])
