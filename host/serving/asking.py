"""Asking a model from a coroutine, for whatever speaks to the server otherwise than by HTTP."""

from __future__ import annotations

import asyncio
from typing import Any

from host.generation.generator import Generation
from host.serving.job import Done, Mailbox
from host.serving.service import GenerationRequest, ServedModel


def describe_answer(generation: Generation) -> dict[str, Any]:
    """Returns what clients are told of an answer that has a grammar: how sure the model is of it,
    why it was refused, if it was, and whether they should ask before they do it."""
    found: dict[str, Any] = {"confidence": round(generation.confidence, 4)}
    if generation.refused:
        found["refused"] = generation.refused
    if generation.needs_confirmation:
        found["needs_confirmation"] = True
    return found


async def whole(mailbox: Mailbox, deadline: float) -> Generation:
    """Awaits the end of a job; what Mailbox.events says."""
    async for event in mailbox.events(deadline):
        if isinstance(event, Done):
            return event.generation
    raise AssertionError("events end with Done")


async def generate(
    model: ServedModel, request: GenerationRequest, client: str, seconds: float
) -> Generation:
    """Returns what a request leads to.

    client: who takes turns with others in the queue; seconds: in which the answer must be there.
    Raises what ServedModel.task and submit raise, and what the job fails with.
    """
    deadline = asyncio.get_running_loop().time() + seconds
    task = await asyncio.to_thread(model.task, request)
    mailbox = Mailbox()
    job = model.submit(task, client, mailbox.deliver)
    try:
        return await whole(mailbox, deadline)
    finally:
        model.queue.cancel(job)
