"""Guards all endpoints: verifies the key, or the web page that sends a request; limits bodies."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Sequence
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from host.serving.api_errors import ApiError
from host.serving.origins import verify_page

MOST_BODY = 1 << 20  # bytes
BODY_TIMEOUT = 20.0  # seconds within which a body must be complete
# Paths without the key: the server's health, and the page, which asks the user for the key.
PUBLIC = ("/", "/health", "/v1/health")
PUBLIC_FOLDER = "/page/"


class Guard:
    """Refuses requests without the key (if there is no key: from web pages of other sites), and
    bodies that are too long or too slow.

    A body is read completely before the application sees the request, so that no answer has begun
    when a limit is exceeded.
    """

    def __init__(
        self, app: ASGIApp, api_key: str = "", most_body: int = MOST_BODY,
        body_timeout: float = BODY_TIMEOUT, origins: Sequence[str] | None = None,
    ) -> None:  # fmt: skip
        """api_key: "" for none; origins: of web pages whose requests are accepted without a key,
        None for all."""
        self._app, self._key, self._origins = app, api_key.encode(), origins
        self._most_body, self._body_timeout = most_body, body_timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        try:
            if self._origins is not None and not self._key:
                verify_page(headers, self._origins)
            self._verify_key(scope, headers)
            body = await self._read(headers, receive)
        except ApiError as error:
            await error.response()(scope, receive, send)
            return
        if body is not None:
            await self._app(scope, _replay(body, receive), send)

    def _verify_key(self, scope: Scope, headers: dict[bytes, bytes]) -> None:
        path = scope["path"]
        is_public = path in PUBLIC or path.startswith(PUBLIC_FOLDER)
        if not self._key or is_public or scope["method"] == "OPTIONS":
            return
        scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() != b"bearer":
            given = headers.get(b"x-api-key", b"")
        if not hmac.compare_digest(given.strip(), self._key):
            raise ApiError(
                401, "the API key is missing or wrong: send Authorization: Bearer KEY",
                code="invalid_api_key", kind="authentication_error",
            )  # fmt: skip

    async def _read(self, headers: dict[bytes, bytes], receive: Receive) -> bytes | None:
        """Returns the body, None if the client is gone. Raises ApiError."""
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length[:20]) > self._most_body:
            raise self._too_long()
        body = bytearray()
        try:
            async with asyncio.timeout(self._body_timeout):
                while True:
                    message: Message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    body += message.get("body", b"")
                    if len(body) > self._most_body:
                        raise self._too_long()
                    if not message.get("more_body"):
                        return bytes(body)
        except TimeoutError:
            raise ApiError(
                408, f"the body was not there within {self._body_timeout:.0f} s"
            ) from None

    def _too_long(self) -> ApiError:
        return ApiError(413, f"the body is longer than {self._most_body} bytes: shorten it")


def _replay(body: bytes, receive: Receive) -> Any:
    """Returns a `receive` that returns the body first, and then what comes."""
    is_given = False

    async def receive_again() -> Message:
        nonlocal is_given
        if not is_given:
            is_given = True
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return receive_again
