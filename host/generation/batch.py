"""Runs several prompts together, as many at a time as a cluster has slots."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing

from host.generation.generator import Generation, Generator, Task
from host.generation.statistics import GenerationStatistics, Meter


class Batch:
    """Runs tasks together and yields their generations in order."""

    def __init__(self, generator: Generator) -> None:
        self._generator = generator
        self._meter = Meter(generator.cluster, generator.drafter)

    @property
    def statistics(self) -> GenerationStatistics:
        """The figures of all generations so far."""
        return self._meter.total

    def run(self, tasks: Sequence[Task]) -> Iterator[Generation]:
        """Yields the generations in the tasks' order, each once it and those before are done.

        Raises ClusterError if chips fail.
        """
        done: set[Task] = set()
        given = 0
        with closing(self._generator.run(tasks, self._meter)) as run:
            for task, piece in run:
                if piece is not None:
                    continue
                done.add(task)
                while given < len(tasks) and tasks[given] in done:
                    yield tasks[given].result()
                    given += 1
