"""Server-sent events: what a client is sent, and what becomes of the generator."""

import asyncio
import contextlib

from host.serving.event_stream import DONE, EventStream, encode_event

SCOPE = {"type": "http", "asgi": {"spec_version": "2.3"}}


class Client:
    """The server's side of a connection: what was sent, and when the client goes."""

    def __init__(self):
        self.sent = []
        self.is_gone = asyncio.Event()

    async def receive(self):
        await self.is_gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message):
        self.sent.append(message)

    @property
    def body(self):
        return b"".join(message.get("body", b"") for message in self.sent)

    async def await_body(self, end):
        async with asyncio.timeout(60):
            while not self.body.endswith(end):
                await asyncio.sleep(0.001)


def test_events_are_sent_as_they_come_and_the_answer_is_ended():
    async def events():
        yield encode_event({"text": "a\nb"})
        yield DONE

    async def scenario():
        client = Client()
        await EventStream(events())(SCOPE, client.receive, client.send)
        assert client.body == b'data: {"text":"a\\nb"}\n\ndata: [DONE]\n\n'
        assert [each.get("more_body") for each in client.sent] == [None, True, True, False]
        headers = dict(client.sent[0]["headers"])
        assert headers[b"content-type"].startswith(b"text/event-stream")
        assert headers[b"cache-control"] == b"no-store"

    asyncio.run(scenario())


def test_a_stream_without_events_is_kept_open_by_comments():
    async def scenario():
        goes_on = asyncio.Event()

        async def events():
            await goes_on.wait()
            yield DONE

        client = Client()
        stream = EventStream(events(), interval=0.001)
        answering = asyncio.create_task(stream(SCOPE, client.receive, client.send))
        await client.await_body(b": still here\n\n: still here\n\n")
        goes_on.set()
        await answering
        assert client.body.endswith(DONE)

    asyncio.run(scenario())


def test_a_client_that_goes_ends_the_generator():
    async def scenario():
        ended = []

        async def events():
            try:
                yield DONE
                await asyncio.Event().wait()
            finally:
                ended.append(True)

        client = Client()
        stream = EventStream(events())
        answering = asyncio.create_task(stream(SCOPE, client.receive, client.send))
        await client.await_body(DONE)
        client.is_gone.set()
        with contextlib.suppress(asyncio.CancelledError):
            await answering
        assert ended == [True]

    asyncio.run(scenario())
