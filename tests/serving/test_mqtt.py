"""MQTT with a real mosquitto: commands, answers, discovery, and what a server leaves that goes."""

import asyncio
import json
import logging
import re
import signal
import socket
import ssl
import subprocess
import sys
from collections import Counter
from contextlib import AsyncExitStack
from types import SimpleNamespace

import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from host.paths import HELD_OUT
from host.serving import mqtt
from host.serving.broker import Broker
from host.serving.engine import READY
from host.serving.mqtt import MOST_COMMAND, MqttServer, open_mqtt
from tests.serving.broker import (
    hash_password,
    listening,
    make_certificates,
    mosquitto,
)
from tests.serving.reference_chips import Gate, ReferenceChips
from tests.serving.servers import make_service, wait_until
from tests.simulation.launch import REPOSITORY

PROMPT = "Once upon a time"


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    with mosquitto(tmp_path_factory.mktemp("mosquitto")) as number:
        yield number


@pytest.fixture
def make(tiny):
    """Makes services of the tiny model that answer in a few tokens; stops them at the end."""
    made = []

    def service(script=lambda executor: None):
        found, _ = make_service(tiny, [[ReferenceChips(slots=2, script=script, context=24)]])
        found.start()
        wait_until(lambda: found.default.state == READY)
        made.append(found)
        return found

    yield service
    for each in made:
        each.stop()


async def command(client, prefix, text, number):
    properties = Properties(PacketTypes.PUBLISH)
    properties.ResponseTopic = f"{prefix}/replies"
    properties.CorrelationData = str(number).encode()
    await client.publish(f"{prefix}/commands", text, qos=1, properties=properties)


async def answers(client, wanted=frozenset(), how_many=1):
    """The answers to commands of these numbers, or to so many, by number."""
    found = {}
    async for message in client.messages:
        found[int(message.properties.CorrelationData)] = json.loads(message.payload)
        if found.keys() >= wanted and len(found) >= how_many:
            return found


def run(coroutine):
    async def limited():
        async with asyncio.timeout(90):
            await coroutine

    asyncio.run(limited())


def test_commands_are_answered_with_correlation_data_and_figures_are_retained(port, make, expect):
    async def converse():
        server = MqttServer(make(), Broker("127.0.0.1", port, "one"), "kitchen", 60)
        async with open_mqtt(server), listening(port, "one/replies", "one/answers") as client:
            await server.is_connected.wait()
            await command(client, "one", PROMPT, 7)
            expected = expect(PROMPT, 24)
            (answer,) = (await answers(client, {7})).values()
            assert expected.text.startswith(answer["text"]) and answer["text"]
            assert (answer["command"], answer["server"]) == (PROMPT, "kitchen")
            assert answer["is_cut"]
            for number, text in enumerate(("x" * (MOST_COMMAND + 1), "x y " * 90)):
                await command(client, "one", text, number)
            refused = await answers(client, {0, 1})
            assert "longer than 16384 bytes" in refused[0]["error"]
            assert "24 positions" in refused[1]["error"]
            await client.publish("one/commands", PROMPT, qos=1)  # no reply topic
            async for message in client.messages:
                assert str(message.topic) == "one/answers"
                break
        async with listening(port, "one/servers/#", "homeassistant/#") as client:
            seen = {}
            async for message in client.messages:
                seen[str(message.topic)] = message.payload
                if len(seen) == 3:
                    break
        state = json.loads(seen["one/servers/kitchen/state"])
        config = json.loads(seen["homeassistant/device/one_kitchen/config"])
        for name, sensor in config["components"].items():
            assert name in state and sensor["value_template"] == f"{{{{ value_json.{name} }}}}"
        assert config["availability_topic"] == "one/servers/kitchen/status" in seen
        assert config["state_topic"] == "one/servers/kitchen/state"

    run(converse())


def test_another_server_answers_what_one_leaves_that_goes(port, make):
    """The first has commands under way, and others that the broker keeps for it."""

    async def converse():
        gate = Gate()
        broker = Broker("127.0.0.1", port, "two")
        first, second = (
            MqttServer(make(script), broker, name, 60)
            for name, script in (("first", gate), ("second", lambda executor: None))
        )
        async with listening(port, "two/replies") as client, AsyncExitStack() as stack:
            going = asyncio.create_task(first.run())
            await first.is_connected.wait()
            await stack.enter_async_context(open_mqtt(second))
            await second.is_connected.wait()
            for number in range(24):
                await command(client, "two", f"{PROMPT} {number}", number)
            await asyncio.to_thread(gate.waiting.wait, 60)
            early = await answers(client, how_many=12)  # the broker deals them out in turn
            going.cancel()
            late = await answers(client, set(range(24)) - set(early))
            gate.is_open.set()
            assert {each["server"] for each in (*early.values(), *late.values())} == {"second"}
            for number, each in (early | late).items():
                assert each["command"] == f"{PROMPT} {number}"

    run(converse())


def test_what_others_publish_harms_no_server(port, make, caplog, monkeypatch):
    """States that are none, of many servers; commands that cannot be answered where they ask."""
    monkeypatch.setattr(mqtt, "MOST_SERVERS", 5)
    caplog.set_level(logging.ERROR, "federation")

    async def converse():
        server = MqttServer(make(), Broker("127.0.0.1", port, "four"), "a.b", 60)
        async with listening(port, "four/replies", "four/answers") as client:
            for number, state in enumerate((b"\xff", b"", b"x" * 70_000, b"offline", b"online")):
                topic = f"four/servers/retained {number}/status"
                await client.publish(topic, state, qos=1, retain=True)
            async with open_mqtt(server):
                await server.is_connected.wait()
                for number in range(20):
                    await client.publish(f"four/servers/{number}/status", b"online", qos=1)
                for kind in ("four/commands", "four/servers/a.b/status"):
                    await client.publish(kind, b"\xff\xfe", qos=0)
                await client.publish("four/commands", None, qos=1)
                await client.publish("four/commands", b"x" * 70_000, qos=1)  # goes nowhere
                await command(client, "four", PROMPT, 7)
                async for message in client.messages:
                    if str(message.topic) == "four/replies":
                        return json.loads(message.payload), len(server._states)

    found = []
    run(note(converse(), found))
    (answer, states), *_ = found
    assert answer["text"] and states <= 5 and caplog.text == ""


async def note(coroutine, found):
    found.append(await coroutine)


def test_commands_without_a_guarantee_wait_in_bounded_number(port, make, monkeypatch):
    monkeypatch.setattr(mqtt, "MOST_WAITING", 3)

    async def converse():
        gate = Gate()
        server = MqttServer(make(gate), Broker("127.0.0.1", port, "five"), "one", 60)
        async with open_mqtt(server), listening(port, "five/answers", "five/replies") as client:
            await server.is_connected.wait()
            for number in range(40):
                await client.publish("five/commands", f"{PROMPT} {number}", qos=0)
            await command(client, "five", PROMPT, 7)  # comes after them, and is kept
            while len(server._answering) < 4:
                await asyncio.sleep(0.002)
            gate.is_open.set()
            while server._answering:
                await asyncio.sleep(0.002)
            assert server.state()["answered"] == 4

    run(converse())


def test_an_answer_goes_where_it_can_be_published(make):
    """A broker lets no such topic pass; a server does not depend on that."""

    async def answer(topic):
        published = []

        async def publish(topic, *_, **more):
            published.append(topic)

        client = SimpleNamespace(publish=publish, acknowledge=lambda message: None)
        message = SimpleNamespace(
            payload=PROMPT.encode(), properties=SimpleNamespace(ResponseTopic=topic)
        )
        await MqttServer(service, Broker("broker", 1), "one", 60)._answer(client, message)
        return published

    service = make()
    for topic, found in (("a/#", "federation/answers"), ("", "federation/answers"), ("a", "a")):
        assert asyncio.run(answer(topic)) == [found]


def test_a_server_waits_for_its_broker(tmp_path, make):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number = free.getsockname()[1]

    async def converse():
        server = MqttServer(make(), Broker("127.0.0.1", number, "three"), "lone", 60)
        async with open_mqtt(server):
            await asyncio.sleep(0.05)
            assert not server.is_connected.is_set()
            with mosquitto(tmp_path, number):
                await server.is_connected.wait()

    run(converse())


def test_tls_and_a_user(tmp_path, make, expect, caplog):
    """The broker's certificate is one of an authority that only --mqtt-ca names."""
    ca, own, key = make_certificates(tmp_path)
    passwords = tmp_path / "passwords"
    passwords.write_text(hash_password("federation", "a secret@"))
    passwords.chmod(0o600)
    settings = (
        f"certfile {own}", f"keyfile {key}", "allow_anonymous false", f"password_file {passwords}",
        "user root",
    )  # fmt: skip
    caplog.set_level(logging.ERROR, "federation")

    async def converse():
        with mosquitto(tmp_path, settings=settings) as number:
            url = f"mqtts://federation:a%20secret%40@127.0.0.1:{number}/safe"
            server = MqttServer(make(), Broker.parse(url, str(ca)), "kitchen", 60)
            known = {
                "tls_context": ssl.create_default_context(cafile=ca), "username": "federation",
                "password": "a secret@",
            }  # fmt: skip
            async with open_mqtt(server), listening(number, "safe/replies", **known) as client:
                await server.is_connected.wait()
                await command(client, "safe", PROMPT, 3)
                (answer,) = (await answers(client, {3})).values()
                assert expect(PROMPT, 24).text.startswith(answer["text"]) and answer["text"]
            for wrong, authority, reason in (
                (url, None, "certificate verify failed"),
                (url.replace("secret", "wrong"), str(ca), "Not authorized|Bad user name"),
            ):
                refused = MqttServer(make(), Broker.parse(wrong, authority), "other", 60)
                async with open_mqtt(refused):
                    while not re.search(reason, caplog.text):
                        await asyncio.sleep(0.02)
                    assert not refused.is_connected.is_set()

    run(converse())


@pytest.mark.verify
@pytest.mark.timeout(300)
def test_three_servers_of_which_one_is_killed_answer_200_commands(port, micropython):
    """Processes, as on three machines; every answer is that of the held-out set's model."""
    lines = HELD_OUT.read_text().splitlines()[:200]
    commands = [line.split("\t")[1] for line in lines]
    free = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    ports = [each.getsockname()[1] for each in free]
    for each in free:
        each.close()
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "host.serve", "--chips", "1", "--link", "uart", "--port",
             str(own), "--mqtt", f"mqtt://127.0.0.1:{port}/farm", "--mqtt-id", f"s{number}"],
            cwd=REPOSITORY, stderr=subprocess.DEVNULL,
        )
        for number, own in enumerate(ports)
    ]  # fmt: skip
    alone = subprocess.run(
        [sys.executable, "-m", "host.run", "--chips", "1", "--link", "uart", "--json"],
        input="\n".join(commands), capture_output=True, text=True, cwd=REPOSITORY, check=False,
    )  # fmt: skip
    expected = [json.loads(line)["text"] for line in alone.stdout.splitlines()]
    by = Counter()

    async def converse():
        async with listening(port, "farm/replies", "farm/servers/+/status") as client:
            online = set()
            async for message in client.messages:
                online.add(str(message.topic))
                if len(online) == 3:
                    break
            await asyncio.sleep(1)
            for number, text in enumerate(commands):
                await command(client, "farm", text, number)
            found = {}
            async for message in client.messages:
                if str(message.topic) != "farm/replies":
                    continue
                answer = json.loads(message.payload)
                found[int(message.properties.CorrelationData)] = answer["text"]
                by[answer["server"]] += 1
                if len(found) == 30:
                    started[0].send_signal(signal.SIGKILL)
                if len(found) == len(commands):
                    return [found[number] for number in range(len(commands))]

    try:
        assert asyncio.run(asyncio.wait_for(converse(), 240)) == expected
    finally:
        for each in started:
            each.terminate()
        for each in started:
            each.wait(30)
    assert set(by) == {"s0", "s1", "s2"}
