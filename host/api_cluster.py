"""The cluster of the public API: it takes prompts, and returns generations."""

from __future__ import annotations

from collections.abc import Sequence

from host import api_arguments as given
from host.errors import ClusterError
from host.generation.batch import Batch
from host.generation.generator import (
    Generation,
    GenerationStream,
    Generator,
    Task,
    make_sampler,
)
from host.generation.prompt_encoder import PromptEncoder
from host.launch import OpenCluster
from host.launch.chip_statistics import ChipStatistics
from host.model.loading import LoadedModel


class Cluster:
    """Chips that hold a model and generate with it; simulate() and connect() return one."""

    def __init__(
        self,
        opened: OpenCluster,
        source: LoadedModel,
        context: int | None,
        drafts: int | None = None,
    ) -> None:
        self._opened: OpenCluster | None = opened
        steps = context or source.config.context
        encoder = PromptEncoder(source, context, steps, is_flashed=not opened.is_simulated)
        self._generator = Generator(opened, source, encoder, drafts)
        self.parallelism = opened.choice.parallelism
        self.choice = str(opened.choice)
        self.chips = opened.executor.plan.chips
        self.context = opened.executor.plan.context
        self.is_simulated = opened.is_simulated

    def generate(
        self,
        prompt: str,
        *,
        max_tokens: int | None = None,
        temperature: float = 0.0,
        top_p: float = 0.9,
        seed: int = 0,
        stop: str | Sequence[str] | None = None,
    ) -> Generation:
        """Generates what follows a prompt.

        max_tokens: the most tokens to generate, None for as many as the context holds;
        temperature: 0 takes the most probable token each time, above 0 tokens are sampled; top_p:
        sampling is among the most probable tokens with this total probability; seed: the same seed
        samples the same tokens on any number of chips; stop: texts before which the generation
        ends.

        Raises ArgumentError, ModelError for a prompt that is too long, ClusterError if chips fail.
        """
        task = self._task(prompt, max_tokens, temperature, top_p, seed, stop)
        return self._generator.generate(task)

    def stream(
        self,
        prompt: str,
        *,
        max_tokens: int | None = None,
        temperature: float = 0.0,
        top_p: float = 0.9,
        seed: int = 0,
        stop: str | Sequence[str] | None = None,
    ) -> GenerationStream:
        """Generates as `generate` does, and returns a stream of the pieces of text as they come.

        The stream's `generation` is complete once the stream was read to its end. Close the stream
        to end sooner; until then nothing else can be generated on this cluster.
        """
        task = self._task(prompt, max_tokens, temperature, top_p, seed, stop)
        return self._generator.stream(task)

    def generate_batch(
        self,
        prompts: Sequence[str],
        *,
        max_tokens: int | None = None,
        temperature: float = 0.0,
        top_p: float = 0.9,
        seed: int = 0,
        stop: str | Sequence[str] | None = None,
    ) -> list[Generation]:
        """Generates what follows each of several prompts, as `generate` would one by one.

        Stages of a pipeline work on several at the same time.
        """
        settings = max_tokens, temperature, top_p, seed, stop
        tasks = [self._task(each, *settings) for each in given.texts("prompts", prompts)]
        return list(Batch(self._generator).run(tasks))

    def statistics(self) -> list[ChipStatistics]:
        """Asks every chip for its counters. Raises ClusterError for one that does not answer."""
        return self._open_cluster().statistics()

    def mark_closed(self) -> None:
        """Makes all further calls raise ClusterError, because the chips are about to end."""
        self._opened = None

    def _open_cluster(self) -> OpenCluster:
        if self._opened is None:
            raise ClusterError("the cluster is closed: use it inside its with block")
        return self._opened

    def _task(
        self,
        prompt: str,
        max_tokens: int | None,
        temperature: float,
        top_p: float,
        seed: int,
        stop: str | Sequence[str] | None,
    ) -> Task:
        self._open_cluster()
        sampler = make_sampler(
            given.real("temperature", temperature, "a number from 0"),
            given.real("top_p", top_p, "in (0, 1]"),
            given.whole("seed", seed, 0),
        )
        most = given.maybe_whole("max_tokens", max_tokens, 1)
        return self._generator.task(given.text("prompt", prompt), sampler, most, given.stops(stop))
