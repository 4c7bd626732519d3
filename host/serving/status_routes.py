"""The state of a server: /health, /slots and /props, in llama-server's form."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from host.build.firmware_version import RELEASE, firmware_version
from host.serving.engine import FAILED, LOADING, READY, Engine
from host.serving.service import ServedModel, Service

OK, LOADING_MODEL = "ok", "Loading model"


class StatusApi:
    """The endpoints that programs for llama-server use."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def routes(self) -> list[Route]:
        return [
            Route("/health", self.health),
            Route("/v1/health", self.health),
            Route("/slots", self.slots),
            Route("/props", self.props),
        ]

    async def health(self, request: Request) -> Response:
        """Answers 200 if every model takes requests, 503 while one is loaded or has no cluster."""
        models = list(self._service.models.values())
        clusters = [describe_engine(engine) for engine in self._service.engines]
        states = {model.state for model in models}
        if states & {LOADING, FAILED}:
            is_loading = LOADING in states
            error = {
                "code": 503,
                "message": LOADING_MODEL if is_loading else "no cluster of a model works",
                "type": "unavailable_error",
            }
            return JSONResponse({"error": error, "clusters": clusters}, 503)
        is_whole = all(
            engine.state == READY and not engine.note for engine in self._service.engines
        )
        return JSONResponse({"status": OK, "is_degraded": not is_whole, "clusters": clusters})

    async def slots(self, request: Request) -> Response:
        """Shows what each slot does."""
        return JSONResponse([
            slot for model in self._service.models.values() for slot in describe_slots(model)
        ])  # fmt: skip

    async def props(self, request: Request) -> Response:
        """Describes the first model, or the one named in the query."""
        model = self._service.find(request.query_params.get("model"))
        source = model.source
        chat = source.prompt_format.chat
        return JSONResponse({
            "default_generation_settings": {"n_ctx": model.context, "params": DEFAULTS},
            "total_slots": model.slots,
            "model_alias": model.name,
            "model_path": model.name,
            "chat_template": chat.source if chat else source.prompt_format.template,
            "modalities": {"vision": False, "audio": False},
            "build_info": f"micropython-federation {RELEASE}, firmware {firmware_version()}",
            "clusters": [describe_engine(engine) for engine in model.engines],
            "examples": list(source.prompt_format.examples),
            "answers": source.prompt_format.answers,
        })  # fmt: skip


DEFAULTS = {"temperature": 0.0, "top_p": 0.9, "top_k": 0, "n_predict": -1, "stop": []}


def describe_engine(engine: Engine) -> dict[str, Any]:
    """Returns a cluster's state and, if it is open, a description of it."""
    cluster = engine.cluster
    found: dict[str, Any] = {
        "name": engine.name, "state": engine.state, "restarts": engine.restarts,
    }  # fmt: skip
    if engine.error:
        found["last_error"] = engine.error
    if note := engine.note:
        found["note"] = note
    if cluster:
        found |= {
            "chips": cluster.executor.plan.chips,
            "parallelism": cluster.choice.describe(),
            "is_simulated": cluster.is_simulated,
            "recoveries": cluster.executor.recoveries,
            "resends": cluster.coordinator.resends,
        }
    return found


def describe_slots(model: ServedModel) -> list[dict[str, Any]]:
    """Returns all slots of a model's clusters."""
    found: list[dict[str, Any]] = []
    for engine in model.engines:
        cluster = engine.cluster
        if not cluster:
            continue
        jobs = list(engine.running.values())
        for number in range(cluster.executor.slots):
            slot: dict[str, Any] = {
                "id": len(found), "cluster": engine.name, "n_ctx": model.context,
                "is_processing": number < len(jobs),
            }  # fmt: skip
            if number < len(jobs):
                task = jobs[number].task
                slot["n_prompt_tokens"] = len(task.prompt_tokens)
                slot["n_decoded"] = len(task.tokens) - len(task.prompt_tokens)
            found.append(slot)
    return found
