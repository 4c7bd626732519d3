"""Parses and checks requests of OpenAI's API, and makes them into requests for a cluster."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from typing import Any

import msgspec

from host.model.chat import SYSTEM
from host.model.chat import Message as ChatMessage
from host.serving.api_errors import ApiError
from host.serving.service import GenerationRequest

MOST_STOPS = 16
# Fields that ask for what these models cannot do. They are accepted, because many programs always
# send them, and the answer says that they had no effect.
_WITHOUT_EFFECT = (
    "tools", "tool_choice", "functions", "function_call", "parallel_tool_calls",
    "response_format", "logprobs", "top_logprobs", "logit_bias", "presence_penalty",
    "frequency_penalty", "repeat_penalty", "min_p", "typical_p", "mirostat", "grammar",
    "json_schema", "suffix", "echo", "best_of", "reasoning_effort", "audio", "modalities",
)  # fmt: skip
_AT = re.compile(r"^(.*) - at `\$\.?(.*)`$")


class Part(msgspec.Struct):
    """A part of a message's content."""

    type: str = "text"
    text: str | None = None


class Message(msgspec.Struct):
    """A message of a conversation."""

    role: str
    content: str | list[Part] | None = None


class StreamOptions(msgspec.Struct):
    """How an answer is streamed."""

    include_usage: bool | None = None


class _Body(msgspec.Struct, kw_only=True):
    """The fields of both kinds of requests."""

    model: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    n: int | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None


class ChatBody(_Body, kw_only=True):
    """The body of POST /v1/chat/completions."""

    messages: list[Message]
    max_completion_tokens: int | None = None


class CompletionBody(_Body, kw_only=True):
    """The body of POST /v1/completions."""

    prompt: str | list[str]


class ParsedRequest(msgspec.Struct, frozen=True):
    """A request: what to generate, how to answer, and which fields have no effect; unheard: more
    of these, for a model that does not know conversations."""

    model: str | None
    generation: GenerationRequest
    is_streamed: bool
    wants_usage: bool
    ignored: tuple[str, ...]
    unheard: tuple[str, ...] = ()

    @property
    def all_ignored(self) -> tuple[str, ...]:
        """All that has no effect if the model does not know conversations."""
        return self.ignored + self.unheard


def parse_chat(content: bytes) -> ParsedRequest:
    """Parses a request of a chat. Raises ApiError.

    For models that do not know conversations, its prompt is the user's last message.
    """
    fields = _decode(content)
    body = _convert(fields, ChatBody)
    users = [message for message in body.messages if message.role == "user"]
    if not users:
        raise ApiError(400, "messages has none of role user: add what is asked", param="messages")
    ignored = _without_effect(fields)
    unheard = []
    if any(message.role in ("system", "developer") for message in body.messages):
        unheard.append("system messages")
    if any(message.role == "tool" for message in body.messages):
        unheard.append("tool messages")
    if len(users) > 1:
        unheard.append("earlier messages")
    limit = body.max_tokens if body.max_completion_tokens is None else body.max_completion_tokens
    parsed = _parsed(body, _text(users[-1]), limit, ignored)
    conversation = tuple(_read_message(message) for message in body.messages)
    generation = replace(parsed.generation, messages=conversation)
    return msgspec.structs.replace(parsed, generation=generation, unheard=tuple(unheard))


def parse_completion(content: bytes) -> ParsedRequest:
    """Parses a request to complete a text. Raises ApiError."""
    fields = _decode(content)
    body = _convert(fields, CompletionBody)
    prompt = body.prompt
    if isinstance(prompt, list):
        if len(prompt) != 1:
            raise ApiError(
                400, f"prompt must be one text, got {len(prompt)}: ask once for each",
                param="prompt",
            )  # fmt: skip
        prompt = prompt[0]
    return _parsed(body, prompt, body.max_tokens, _without_effect(fields))


def _decode(content: bytes) -> dict[str, Any]:
    try:
        fields = msgspec.json.decode(content)
    except (msgspec.DecodeError, RecursionError) as error:
        reason = "a surrogate (\\ud800 to \\udfff) stands alone" if _has_lone(content) else error
        raise ApiError(400, f"the body is no JSON object: {reason}") from None
    if not isinstance(fields, dict):
        raise ApiError(400, f"the body is no JSON object but {type(fields).__name__}")
    return fields


def _has_lone(content: bytes) -> bool:
    """Returns whether otherwise valid JSON has a lone surrogate, which msgspec takes for the end
    of the text."""
    try:
        json.dumps(json.loads(content), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    except (ValueError, RecursionError):
        pass
    return False


def _convert(fields: dict[str, Any], kind: type[Any]) -> Any:
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        found = _AT.match(str(error))
        reason, where = (found[1], found[2]) if found else (str(error), "")
        param = where or _first_quoted(reason)
        raise ApiError(400, f"{where}: {reason}" if where else reason, param=param) from None


def _first_quoted(text: str) -> str | None:
    found = re.search(r"`(\w+)`", text)
    return found[1] if found else None


def _read_message(message: Message) -> ChatMessage:
    """Returns a message for chat templates, which do not know OpenAI's newer name of the system
    role."""
    role = SYSTEM if message.role == "developer" else message.role
    return ChatMessage(role, _text(message))


def _text(message: Message) -> str:
    if isinstance(message.content, str):
        return message.content
    texts = []
    for part in message.content or ():
        if part.type != "text" or part.text is None:
            raise ApiError(
                400, f"content of type {part.type!r:.40} cannot be given to this model: give text",
                param="messages",
            )  # fmt: skip
        texts.append(part.text)
    return "".join(texts)


def _without_effect(fields: dict[str, Any]) -> list[str]:
    return [name for name in _WITHOUT_EFFECT if fields.get(name)]


def _parsed(body: _Body, prompt: str, limit: int | None, ignored: list[str]) -> ParsedRequest:
    if body.n not in (None, 1):
        raise ApiError(400, f"n must be 1, got {body.n}: ask once for each answer", param="n")
    stop = (body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ())
    if len(stop) > MOST_STOPS:
        raise ApiError(400, f"stop must have at most {MOST_STOPS} texts", param="stop")
    if not all(stop):
        raise ApiError(400, "stop must not have an empty text", param="stop")
    limit = None if limit is None or limit == -1 else limit  # as llama-server has -1
    if limit is not None and limit < 1:
        raise ApiError(400, f"max_tokens must be at least 1, got {limit}", param="max_tokens")
    defaults = GenerationRequest("")
    generation = GenerationRequest(
        prompt,
        limit,
        _given(body.temperature, defaults.temperature),
        _given(body.top_p, defaults.top_p),
        max(0, _given(body.top_k, 0)),
        _seed(body.seed),
        stop,
    )
    wants_usage = bool(body.stream_options and body.stream_options.include_usage)
    return ParsedRequest(body.model, generation, bool(body.stream), wants_usage, tuple(ignored))


def _given(value: Any, default: Any) -> Any:
    return default if value is None else value


def _seed(seed: int | None) -> int:
    """Returns the seed; a new one for a request without one, or with -1, as in llama-server."""
    return int.from_bytes(os.urandom(4), "little") if seed is None or seed == -1 else seed
