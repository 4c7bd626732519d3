"""The models that a server offers, each with its queue and the clusters that hold it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from host.errors import ClusterError, FederationError
from host.generation.generator import Task, TaskMaker, make_sampler
from host.generation.prompt_encoder import Prompt, PromptTooLong
from host.launch import Chips
from host.model.chat import Message
from host.model.loading import LoadedModel
from host.serving.engine import FAILED, LOADING, READY, RECOVERING, Engine
from host.serving.job import Event, Job
from host.serving.job_queue import JobQueue
from host.serving.observer import Observer

# Hardly any token has more characters than this: a text too long by that measure is not encoded.
_LONGEST_TOKEN = 64


class NotReady(FederationError):
    """A model's clusters take no jobs now; state: that of the clusters."""

    def __init__(self, message: str, state: str) -> None:
        super().__init__(message)
        self.state = state


class UnknownModel(FederationError):
    """The server has no such model."""


@dataclass(frozen=True)
class GenerationRequest:
    """What to generate: the parameters of host.Cluster.generate, and top_k, 0 for no limit;
    messages: a whole conversation for models that know them; its last message by the user is the
    prompt."""

    prompt: str
    messages: tuple[Message, ...] = field(default=(), kw_only=True)
    max_tokens: int | None = None
    temperature: float = 0.0
    top_p: float = 0.9
    top_k: int = 0
    seed: int = 0
    stop: tuple[str, ...] = ()


class ServedModel:
    """A model, its queue and its clusters."""

    def __init__(
        self,
        name: str,
        source: LoadedModel,
        clusters: Sequence[Sequence[Chips]],
        observer: Observer,
        most_waiting: int,
        pause: Callable[[float], object] | None = None,
    ) -> None:
        """source: a quantized model; clusters: the chips of each, and others to use if these fail;
        most_waiting: requests in the queue; pause: that of Engine."""
        self.name, self.source, self.created = name, source, int(time.time())
        self.queue = JobQueue(most_waiting)
        names = [name] if len(clusters) == 1 else [f"{name}-{n}" for n in range(len(clusters))]
        self.engines = [
            Engine(own, source, chips, self.queue, observer, pause)
            for own, chips in zip(names, clusters, strict=True)
        ]
        self.context = self.engines[0].encoder().steps
        self.digest = source.quantize().sha256().hex()[:12]
        exponent = source.quantize().logit_exponent
        self._maker = TaskMaker(source, self.engines[0].encoder(), exponent)

    @property
    def state(self) -> str:
        """The best of the clusters' states."""
        states = {engine.state for engine in self.engines}
        return next((each for each in (READY, RECOVERING, LOADING) if each in states), FAILED)

    @property
    def knows_conversations(self) -> bool:
        """Whether the model is given whole conversations, not only the last message."""
        return self.source.prompt_format.chat is not None

    @property
    def slots(self) -> int:
        """How many jobs can run at the same time, on all open clusters."""
        clusters = [engine.cluster for engine in self.engines]
        return sum(cluster.executor.slots for cluster in clusters if cluster)

    def task(self, request: GenerationRequest) -> Task:
        """Returns the task for a request, whose prompt is encoded here.

        Raises PromptTooLong, ModelError for a prompt that is not text, and ArgumentError.
        """
        sampler = make_sampler(request.temperature, request.top_p, request.seed, request.top_k)
        prompt: Prompt = request.prompt
        if request.messages and self.knows_conversations:
            prompt = request.messages
        size = sum(len(one if isinstance(one, str) else one.content) for one in prompt)
        if size > _LONGEST_TOKEN * self.context:
            raise PromptTooLong(
                f"the prompt has {size} characters, and the context {self.context} positions:"
                " shorten it"
            )
        return self._maker.make(prompt, sampler, request.max_tokens, request.stop)

    def submit(self, task: Task, client: str, deliver: Callable[[Event], None]) -> Job:
        """Adds a task to the queue, and returns its job. Raises NotReady, QueueFull."""
        if self.state == LOADING:
            raise NotReady("the model is being loaded: try again in a few seconds", LOADING)
        if self.state not in (READY, RECOVERING):
            reasons = "; ".join(engine.error for engine in self.engines if engine.error)
            raise NotReady(f"no cluster of {self.name} works: {reasons}", FAILED)
        job = Job(task, client, deliver)
        self.queue.put(job)
        return job


class Service:
    """All models of a server; is_stopping: whether viewers of the page must be disconnected."""

    def __init__(self, models: Sequence[ServedModel]) -> None:
        self.models = {model.name: model for model in models}
        self.is_stopping = False

    @property
    def engines(self) -> list[Engine]:
        """The engines of all models."""
        return [engine for model in self.models.values() for engine in model.engines]

    @property
    def waiting(self) -> int:
        """How many jobs of all models wait for a slot."""
        return sum(len(model.queue) for model in self.models.values())

    @property
    def default(self) -> ServedModel:
        """The model of requests that name none."""
        return next(iter(self.models.values()))

    def find(self, name: str | None) -> ServedModel:
        """Returns the model of this name; if there is only one, it is returned for every name.

        As llama-server does: programs use names of their own for the only model of a local server.
        Raises UnknownModel.
        """
        if name is None or len(self.models) == 1:
            return self.default
        if name not in self.models:
            known = ", ".join(self.models)
            raise UnknownModel(f"no model {name!r:.80} here: there is {known}")
        return self.models[name]

    def start(self) -> None:
        """Begins to open all clusters."""
        for engine in self.engines:
            engine.start()

    def stop(self) -> None:
        """Fails all jobs, and closes all clusters."""
        self.is_stopping = True
        for engine in self.engines:
            engine.stop()
        for model in self.models.values():
            model.queue.close(ClusterError("the server stops"))
        for engine in self.engines:
            engine.join()
