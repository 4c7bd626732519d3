"""Errors in the form of OpenAI's API: a status, and an object that says what is wrong and
where."""

from __future__ import annotations

from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from host.errors import ArgumentError, FederationError, ModelError
from host.generation.prompt_encoder import PromptTooLong
from host.serving.job import DeadlineError
from host.serving.job_queue import QueueFull
from host.serving.service import NotReady, UnknownModel

_LOADING_RETRY = 2  # seconds after which a model may be loaded


class ApiError(Exception):
    """An error that a request gets in place of an answer."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        kind: str = "invalid_request_error",
        retry_after: int | None = None,
    ) -> None:
        """status: of HTTP; param: the field that is wrong; code, kind: OpenAI's code and type;
        retry_after: seconds."""
        super().__init__(message)
        self.status, self.message, self.retry_after = status, message, retry_after
        self.param, self.code, self.kind = param, code, kind

    def body(self) -> dict[str, Any]:
        """Returns the object of the response's body."""
        error = {
            "message": self.message, "type": self.kind, "param": self.param, "code": self.code,
        }  # fmt: skip
        return {"error": error}

    def response(self) -> Response:
        """Returns the HTTP response."""
        headers = {"Retry-After": str(self.retry_after)} if self.retry_after else {}
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        if self.status in (408, 413):
            headers["Connection"] = "close"  # the rest of the body would be read as a request
        return JSONResponse(self.body(), self.status, headers)


def describe_error(error: FederationError) -> ApiError:
    """Returns the ApiError that clients get for one of our errors."""
    text = str(error)
    match error:
        case PromptTooLong():
            return ApiError(400, text, param="messages", code="context_length_exceeded")
        case UnknownModel():
            return ApiError(404, text, param="model", code="model_not_found")
        case ArgumentError() | ModelError():
            return ApiError(400, text)
        case QueueFull():
            retry = error.retry_after
            return ApiError(
                429, text, code="queue_full", kind="rate_limit_error", retry_after=retry
            )
        case NotReady():
            return ApiError(
                503, text, code=error.state, kind="unavailable_error", retry_after=_LOADING_RETRY
            )
        case DeadlineError():
            return ApiError(504, text, code="deadline_exceeded", kind="timeout_error")
    return ApiError(500, text, code="cluster_error", kind="server_error")


async def on_api_error(request: Request, error: Exception) -> Response:
    """For starlette."""
    assert isinstance(error, ApiError)
    return error.response()


async def on_federation_error(request: Request, error: Exception) -> Response:
    """For starlette."""
    assert isinstance(error, FederationError)
    return describe_error(error).response()


async def on_http_error(request: Request, error: Exception) -> Response:
    """For starlette: unknown paths and methods."""
    assert isinstance(error, HTTPException)
    message = f"{request.method} {request.url.path}: {error.detail}"
    response = ApiError(error.status_code, message, code="unknown_url").response()
    response.headers.update(error.headers or {})
    return response
