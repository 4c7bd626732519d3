"""OpenAI's API: models, chat completions and completions, whole or streamed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from host.errors import FederationError
from host.generation.generator import Generation
from host.serving.api_errors import describe_error
from host.serving.asking import await_generation
from host.serving.event_stream import DONE, EventStream, encode_event
from host.serving.job import Done, Mailbox, Piece
from host.serving.openai_answers import CHAT, TEXT, AnswerWriter
from host.serving.openai_requests import ParsedRequest, parse_chat, parse_completion
from host.serving.service import ServedModel, Service, UnknownModel

CLOSED_REQUEST = 499  # nginx's status: the client was gone before its answer was complete


class OpenAiApi:
    """The endpoints that programs for OpenAI's API call."""

    def __init__(self, service: Service, deadline: float) -> None:
        """deadline: seconds within which an answer must be complete."""
        self._service, self._deadline = service, deadline

    def routes(self) -> list[Route]:
        """Returns the routes, with and without /v1, as llama-server has them."""
        found = []
        for prefix in ("/v1", ""):
            found += [
                Route(f"{prefix}/models", self.models),
                Route(f"{prefix}/models/{{model:path}}", self.model),
                Route(f"{prefix}/chat/completions", self.chat, methods=["POST"]),
                Route(f"{prefix}/completions", self.completion, methods=["POST"]),
            ]
        return found

    async def models(self, request: Request) -> Response:
        """Lists the models."""
        models = [describe_model(model) for model in self._service.models.values()]
        return JSONResponse({"object": "list", "data": models})

    async def model(self, request: Request) -> Response:
        """Describes one model."""
        name = request.path_params["model"]
        if name not in self._service.models:
            raise UnknownModel(f"no model {name!r:.80} here")
        return JSONResponse(describe_model(self._service.models[name]))

    async def chat(self, request: Request) -> Response:
        """Answers the last message of a conversation."""
        return await self._answer(request, CHAT, parse_chat)

    async def completion(self, request: Request) -> Response:
        """Completes a text."""
        return await self._answer(request, TEXT, parse_completion)

    async def _answer(
        self, request: Request, kind: str, parse: Callable[[bytes], ParsedRequest]
    ) -> Response:
        parsed = parse(await request.body())
        model = self._service.find(parsed.model)
        task = await asyncio.to_thread(model.task, parsed.generation)
        mailbox = Mailbox()
        deadline = asyncio.get_running_loop().time() + self._deadline
        job = model.submit(task, _client(request), mailbox.deliver)
        ignored = parsed.ignored if model.knows_conversations else parsed.all_ignored
        has_grammar = model.source.prompt_format.grammar is not None
        fingerprint = f"fp_{model.digest}"
        writer = AnswerWriter(kind, model.name, fingerprint, ignored, has_grammar)
        if parsed.is_streamed:
            events = mailbox.events(deadline)
            pieces = _stream(writer, events, parsed.wants_usage, lambda: model.queue.cancel(job))
            return EventStream(pieces)
        try:
            generation = await _until_gone(request, await_generation(mailbox, deadline))
        finally:
            model.queue.cancel(job)
        if generation is None:
            return Response(status_code=CLOSED_REQUEST)
        return JSONResponse(writer.whole(generation))


async def _until_gone(request: Request, answer: Any) -> Generation | None:
    """Awaits an answer; returns None, and cancels it, if the client is gone."""
    waiting = asyncio.ensure_future(answer)
    gone = asyncio.ensure_future(_disconnection(request))
    try:
        await asyncio.wait([waiting, gone], return_when=asyncio.FIRST_COMPLETED)
        return waiting.result() if waiting.done() else None
    finally:
        for each in (waiting, gone):
            each.cancel()
            with contextlib.suppress(asyncio.CancelledError, FederationError):
                await each


async def _disconnection(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _stream(
    writer: AnswerWriter,
    events: AsyncIterator[Piece | Done],
    wants_usage: bool,
    cancel: Callable[[], None],
) -> AsyncGenerator[bytes, None]:
    """Yields an answer as server-sent events; cancel: called at the end, or when no client reads
    them any more."""
    try:
        for first in writer.first_pieces():
            yield encode_event(first)
        async for event in events:
            if not isinstance(event, Done):
                yield encode_event(writer.piece(event.text))
                continue
            yield encode_event(writer.last_piece(event.generation))
            if wants_usage:
                yield encode_event(writer.usage_piece(event.generation))
        yield DONE
    except FederationError as error:
        yield encode_event(describe_error(error).body())
    finally:
        cancel()


def _client(request: Request) -> str:
    """Returns what identifies a client in the queue: its address."""
    return request.client.host if request.client else ""


def describe_model(model: ServedModel) -> dict[str, Any]:
    """Returns a model as /v1/models lists it, with a field `meta` as llama-server has it."""
    config = model.source.config
    return {
        "id": model.name,
        "object": "model",
        "created": model.created,
        "owned_by": "federation",
        "meta": {
            "n_ctx": model.context,
            "n_ctx_train": config.context,
            "n_embd": config.dim,
            "n_vocab": config.vocab_size,
        },
    }
