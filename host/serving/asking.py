"""Generates from a coroutine, for clients of the server that do not use HTTP."""

from __future__ import annotations

import asyncio
from typing import Any

from host.generation.generator import Generation
from host.serving.job import Done, Mailbox
from host.serving.service import GenerationRequest, ServedModel


def describe_answer(generation: Generation) -> dict[str, Any]:
    """Returns what clients receive with an answer that has a grammar: how sure the model is, why
    the answer was refused, if it was, and whether to ask the user before acting on it."""
    found: dict[str, Any] = {"confidence": round(generation.confidence, 4)}
    if generation.refused:
        found["refused"] = generation.refused
    if generation.needs_confirmation:
        found["needs_confirmation"] = True
    return found


async def await_generation(mailbox: Mailbox, deadline: float) -> Generation:
    """Awaits the end of a job, and returns its generation; see Mailbox.events."""
    async for event in mailbox.events(deadline):
        if isinstance(event, Done):
            return event.generation
    raise AssertionError("events end with Done")


async def generate(
    model: ServedModel, request: GenerationRequest, client: str, seconds: float
) -> Generation:
    """Returns the generation for a request.

    client: identifies the client, since clients take turns in the queue; seconds: within which the
    answer must be complete. Raises what ServedModel.task and submit raise, and the job's error.
    """
    deadline = asyncio.get_running_loop().time() + seconds
    task = await asyncio.to_thread(model.task, request)
    mailbox = Mailbox()
    job = model.submit(task, client, mailbox.deliver)
    try:
        return await await_generation(mailbox, deadline)
    finally:
        model.queue.cancel(job)
