"""The web application: all endpoints behind one guard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from host.errors import FederationError
from host.serving.api_errors import ApiError, on_api_error, on_federation_error, on_http_error
from host.serving.chip_counters import ChipCounters
from host.serving.guard import BODY_TIMEOUT, Guard
from host.serving.live import LiveView
from host.serving.metrics import Metrics
from host.serving.openai_routes import OpenAiApi
from host.serving.page_routes import Page
from host.serving.service import Service
from host.serving.status_routes import StatusApi

DEADLINE = 600.0  # seconds within which an answer must be complete


@dataclass(frozen=True)
class AppSettings:
    """Settings of the web application.

    api_key: the key that every request must have, "" for none; cors: origins of web pages whose
    requests are accepted, or "*"; is_insecure: whether those of all other pages are too, if there
    is no key; deadline: seconds within which an answer must be complete; body_timeout: seconds
    within which a request's body must arrive.
    """

    api_key: str = ""
    cors: Sequence[str] = ()
    is_insecure: bool = False
    deadline: float = DEADLINE
    body_timeout: float = BODY_TIMEOUT


def make_app(service: Service, metrics: Metrics, live: LiveView, settings: AppSettings) -> ASGIApp:
    """Returns the application of a service, which others start and stop.

    metrics, live: observers of the service's clusters.
    """
    guard = Middleware(
        Guard, api_key=settings.api_key, body_timeout=settings.body_timeout,
        origins=None if settings.is_insecure else settings.cors,
    )  # fmt: skip
    middleware = [guard]
    if settings.cors:
        cors = Middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors),
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
        )
        middleware.insert(0, cors)  # first, so that web pages can read refusals too
    counters = ChipCounters(service)
    return Starlette(
        routes=[
            *OpenAiApi(service, settings.deadline).routes(),
            *StatusApi(service).routes(),
            *metrics.routes(service, counters),
            *Page(service, live, counters).routes(),
        ],
        middleware=middleware,
        exception_handlers={
            ApiError: on_api_error,
            FederationError: on_federation_error,
            HTTPException: on_http_error,
        },
    )
