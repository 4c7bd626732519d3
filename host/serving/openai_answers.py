"""Answers of OpenAI's API, whole and in pieces."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from typing import Any

from host.generation.generator import LENGTH, Generation
from host.serving.asking import describe_answer

CHAT, TEXT = "chat.completion", "text_completion"


class AnswerWriter:
    """Writes the objects of one answer.

    kind: CHAT or TEXT; ignored: fields of the request that had no effect, listed in `federation`,
    our own field; has_grammar: whether the model's answers have a grammar: then that field also
    says how sure the model is.
    """

    def __init__(
        self,
        kind: str,
        model: str,
        fingerprint: str,
        ignored: Sequence[str],
        has_grammar: bool = False,
    ) -> None:
        self._has_grammar = has_grammar
        self._is_chat = kind == CHAT
        self._kind, self._model, self._fingerprint = kind, model, fingerprint
        self._ignored = list(ignored)
        prefix = "chatcmpl" if self._is_chat else "cmpl"
        self._id, self._created = f"{prefix}-{secrets.token_hex(12)}", int(time.time())

    def whole(self, generation: Generation) -> dict[str, Any]:
        """Returns the whole answer."""
        text, reason = generation.text, _finish_reason(generation)
        if self._is_chat:
            message = {"role": "assistant", "content": text, "refusal": None}
            choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reason}
        else:
            choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": reason}
        whole = self._object(False, [choice])
        return {**whole, "usage": usage(generation), **self._ours(generation)}

    def first_pieces(self) -> list[dict[str, Any]]:
        """Returns what a streamed answer begins with: in a chat, the role of the speaker."""
        role = self._chunk({"role": "assistant", "content": ""}, "", None)
        return [self._object(True, [role])] if self._is_chat else []

    def piece(self, text: str) -> dict[str, Any]:
        """Returns a piece of text."""
        return self._object(True, [self._chunk({"content": text}, text, None)])

    def last_piece(self, generation: Generation) -> dict[str, Any]:
        """Returns the piece that says why the text ended."""
        choice = self._chunk({}, "", _finish_reason(generation))
        return {**self._object(True, [choice]), **self._ours(generation)}

    def usage_piece(self, generation: Generation) -> dict[str, Any]:
        """Returns the piece after the last one, for clients that want usage."""
        return {**self._object(True, []), "usage": usage(generation)}

    def _chunk(self, delta: dict[str, str], text: str, reason: str | None) -> dict[str, Any]:
        own: dict[str, Any] = {"delta": delta} if self._is_chat else {"text": text}
        return {"index": 0, **own, "logprobs": None, "finish_reason": reason}

    def _object(self, is_piece: bool, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": f"{self._kind}.chunk" if is_piece and self._is_chat else self._kind,
            "created": self._created,
            "model": self._model,
            "system_fingerprint": self._fingerprint,
            "choices": choices,
        }

    def _ours(self, generation: Generation) -> dict[str, Any]:
        ours: dict[str, Any] = {"ignored": self._ignored} if self._ignored else {}
        if self._has_grammar:
            ours |= describe_answer(generation)
        figures = generation.statistics
        timings = {
            "prompt_n": len(generation.prompt_tokens),
            "predicted_n": len(generation.tokens),
            "predicted_ms": round(1000 * figures.seconds, 3),
            "predicted_per_second": round(figures.tokens_per_second, 3),
        }
        return {"timings": timings, **({"federation": ours} if ours else {})}


def usage(generation: Generation) -> dict[str, int]:
    """Returns the numbers of tokens of prompt and answer."""
    prompt, completion = len(generation.prompt_tokens), len(generation.tokens)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }


def _finish_reason(generation: Generation) -> str:
    return "length" if generation.finish_reason == LENGTH else "stop"
