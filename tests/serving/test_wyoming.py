"""Wyoming with the library's own client, as Home Assistant's conversation agent uses it."""

import asyncio
from contextlib import suppress

import pytest
from wyoming.asr import Transcript
from wyoming.client import AsyncTcpClient
from wyoming.error import Error
from wyoming.handle import Handled
from wyoming.info import Describe, Info
from wyoming.intent import Intent, IntentsStart, IntentsStop, NotRecognized, Recognize

from host.errors import ArgumentError
from host.model.cache import load_quantized
from host.paths import HOME_MODEL
from host.serving import wyoming_service
from host.serving.engine import READY
from host.serving.intents import IntentTable
from host.serving.wyoming_service import (
    WyomingService,
    open_wyoming,
    parse_address,
    parse_areas,
)
from tests.serving.reference_chips import Gate, ReferenceChips
from tests.serving.servers import make_service, wait_until

AREAS = {"assist_satellite.attic": "attic"}


@pytest.fixture(scope="module")
def home():
    service, _ = make_service(load_quantized(HOME_MODEL), [[ReferenceChips()]], name="home")
    service.start()
    wait_until(lambda: service.default.state == READY)
    yield service.default
    service.stop()


def talk(model, conversation, areas=AREAS, seconds=60):
    """Runs a conversation, a coroutine of a client, with a service for the model."""

    async def run():
        service = WyomingService(model, IntentTable.load(), areas, seconds)
        async with (
            open_wyoming(service, ("127.0.0.1", 0)) as port,
            AsyncTcpClient("127.0.0.1", port) as client,
        ):
            return await asyncio.wait_for(conversation(client), 60)

    return asyncio.run(run())


def test_a_line_that_is_nested_too_deeply_ends_its_connection_alone(home):
    async def converse():
        service = WyomingService(home, IntentTable.load(), AREAS, 60)
        faults = []
        asyncio.get_running_loop().set_exception_handler(lambda _, fault: faults.append(fault))
        async with open_wyoming(service, ("127.0.0.1", 0)) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"[" * 60_000 + b"\n")
            assert await asyncio.wait_for(reader.read(), 60) == b""
            writer.close()
        return faults

    assert asyncio.run(converse()) == []


async def ask(client, text, **context):
    """What comes in answer to a transcript, as Home Assistant reads it."""
    await client.write_event(Transcript(text, context=context, language="en").event())
    intents = []
    while True:
        event = await client.read_event()
        if IntentsStart.is_type(event.type):
            continue
        if Intent.is_type(event.type):
            intent = Intent.from_event(event)
            intents.append((intent.name, {e.name: e.value for e in intent.entities}))
        elif IntentsStop.is_type(event.type):
            return intents
        else:
            for kind in (NotRecognized, Error, Handled):
                if kind.is_type(event.type):
                    return kind.from_event(event)


def test_it_describes_itself_as_a_recognizer_of_intents(home):
    async def converse(client):
        await client.write_event(Describe().event())
        return Info.from_event(await client.read_event())

    (program,) = talk(home, converse).intent
    assert program.installed and program.name == "federation"
    assert [(m.name, m.languages, m.installed) for m in program.models] == [("home", ["en"], True)]


def test_transcripts_become_intents_one_after_another_on_a_connection(home):
    async def converse(client):
        return [
            await ask(client, "turn off the kitchen lights"),
            await ask(client, "Set the living room lights to blue and set an alarm for seven."),
            await ask(client, "order a pizza"),
            await ask(client, "turn on the lights", satellite_id="assist_satellite.attic"),
            await ask(client, "turn on the lights", device_id="unknown"),
            await ask(client, "  "),
        ]

    one, several, unknown, here, nowhere, nothing = talk(home, converse)
    assert one == [("HassTurnOff", {"area": "kitchen", "domain": "light"})]
    assert [name for name, _ in several] == ["HassLightSet", "HassStartTimer"]
    assert several[0][1] == {"area": "living room", "domain": "light", "color": "blue"}
    assert unknown == nothing == NotRecognized("Sorry, I did not understand that")
    assert here == [("HassTurnOn", {"area": "attic", "domain": "light"})]
    assert nowhere.text.startswith("which room? Say its name")


def test_recognize_is_answered_too_and_unknown_events_are_passed_over(home):
    async def converse(client):
        await client.write_event(Recognize("is the light in the attic on").event())
        first = await client.read_event()
        intent = Intent.from_event(await client.read_event())
        return first.type, intent.name

    assert talk(home, converse) == ("intents-start", "HassGetState")


def test_errors_are_said(home):
    async def converse(client):
        return await ask(client, "turn on the light " * 200)

    error = talk(home, converse)
    assert error.code == "PromptTooLong" and "128 positions" in error.text


def test_another_model_is_an_agent_that_answers_in_text(tiny, expect):
    service, _ = make_service(tiny, [[ReferenceChips(context=24)]])
    service.start()
    wait_until(lambda: service.default.state == READY)

    async def converse(client):
        await client.write_event(Describe().event())
        info = Info.from_event(await client.read_event())
        return info, await ask(client, "Once upon a time")

    info, handled = talk(service.default, converse)
    service.stop()
    assert not info.intent and info.handle[0].models[0].name == "tiny"
    assert expect("Once upon a time", 24).text.strip().startswith(handled.text)


def test_an_answer_that_is_late(tiny):
    gate = Gate()
    service, _ = make_service(tiny, [[ReferenceChips(script=gate)]])
    service.start()
    wait_until(lambda: service.default.state == READY)

    async def converse(client):
        await client.write_event(Transcript("Once upon a time").event())
        return (await client.read_event()).type

    assert talk(service.default, converse, seconds=0.05) == "not-handled"
    gate.is_open.set()
    service.stop()


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\n", b"{}\n", b"nonsense\n", b'{"type": 5, "data": 7}\n', b"[]\n", b"\xff\xfe\n",
        b'{"type": "transcript"}\n', b'{"type": "transcript", "data_length": 99999999999}\n',
        b'{"type": "transcript", "data_length": "x"}\n', b"x" * 200_000,
        b'{"type": "transcript", "data": {"text": null, "context": [1]}}\n',
    ],
)  # fmt: skip
def test_what_is_no_event_ends_its_connection_and_no_other(home, nonsense):
    async def run():
        service = WyomingService(home, IntentTable.load(), {}, 60)
        async with open_wyoming(service, ("127.0.0.1", 0)) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(nonsense)
            writer.write_eof()
            async with asyncio.timeout(60):
                with_nothing = b"".join([part async for part in reader])
            writer.close()
            async with AsyncTcpClient("127.0.0.1", port) as client:
                await client.write_event(Describe().event())
                assert Info.is_type((await client.read_event()).type)
            return with_nothing

    try:
        assert b"intents-start" not in asyncio.run(run())
    except ConnectionResetError:
        assert len(nonsense) > wyoming_service.MOST_EVENT


def test_who_only_holds_connections_keeps_nobody_out(home, monkeypatch):
    monkeypatch.setattr(wyoming_service, "MOST_CONNECTIONS", 3)

    async def run():
        service = WyomingService(home, IntentTable.load(), {}, 60)
        async with open_wyoming(service, ("127.0.0.1", 0)) as port:
            held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(9)]
            async with asyncio.timeout(60), AsyncTcpClient("127.0.0.1", port) as client:
                await client.write_event(Describe().event())
                assert Info.is_type((await client.read_event()).type)
                with suppress(ConnectionResetError):
                    assert await held[0][0].read(1) == b""
            for _, writer in held:
                writer.close()

    asyncio.run(run())


def test_who_reads_nothing_is_cut_off(home, monkeypatch):
    monkeypatch.setattr(wyoming_service, "_WRITE_TIMEOUT", 0.05)

    async def run():
        service = WyomingService(home, IntentTable.load(), {}, 60)
        async with open_wyoming(service, ("127.0.0.1", 0)) as port:
            _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
            async with asyncio.timeout(60):
                with suppress(ConnectionError):
                    while True:
                        writer.write(b'{"type": "describe"}\n' * 100)
                        await writer.drain()
            writer.transport.abort()

    asyncio.run(run())


def test_addresses_and_rooms():
    assert parse_address("tcp://127.0.0.1:10400") == ("127.0.0.1", 10400)
    for text in ("127.0.0.1:10400", "tcp://host", "tcp://host:x", "unix:///x", "tcp://[:1"):
        with pytest.raises(ArgumentError, match="give it as tcp://127.0.0.1:10400$"):
            parse_address(text)
    assert parse_address("tcp://0.0.0.0:10400", True) == ("0.0.0.0", 10400)
    with pytest.raises(ArgumentError, match="and Wyoming has no keys: give --insecure"):
        parse_address("tcp://0.0.0.0:10400")
    assert parse_areas(["a=b=living_room", "*=attic"]) == {"a=b": "living room", "*": "attic"}
    for text in ("attic", "=attic", "a="):
        with pytest.raises(ArgumentError, match="give it as DEVICE=ROOM"):
            parse_areas([text])


def test_zeroconf_announces_the_service(home):
    from zeroconf import ServiceBrowser, Zeroconf

    async def run():
        service = WyomingService(home, IntentTable.load(), {}, 60)
        async with open_wyoming(service, ("127.0.0.1", 0), announce=True) as port:
            return port, await asyncio.to_thread(find)

    def find():
        seen = {}

        def on_change(zeroconf, service_type, name, state_change):
            if info := zeroconf.get_service_info(service_type, name):
                seen[name] = info.port

        with Zeroconf(interfaces=["127.0.0.1"]) as listener:
            ServiceBrowser(listener, "_wyoming._tcp.local.", handlers=[on_change])
            wait_until(lambda: seen)
        return seen

    try:
        port, seen = asyncio.run(run())
    except OSError as error:
        pytest.skip(f"no multicast here: {error}")
    assert port in seen.values()
