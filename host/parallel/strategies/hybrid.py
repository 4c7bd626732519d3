"""Hybrid parallelism: groups of chips hold whole layers, and divide them among themselves.

Its executor and its role are the pipeline's, whose stages are groups of one chip.
"""

from __future__ import annotations

from host.parallel.parallelism import Parallelism
from host.parallel.strategies.pipeline import Pipeline, count_stages

DEFAULT_STAGES = 2


class Hybrid(Pipeline):
    """Each group of chips holds whole layers."""

    name = "hybrid"
    summary = "groups of chips divide whole layers, and pass on what comes out of them"

    def candidates(self, layers: int, chips: int) -> tuple[Parallelism, ...]:
        if count_stages(layers, chips) <= DEFAULT_STAGES:
            return ()  # it would be a pipeline
        return (self.make_parallelism(layers, chips, None),)

    def make_parallelism(self, layers: int, chips: int, stages: int | None) -> Parallelism:
        return Parallelism(self.name, DEFAULT_STAGES if stages is None else stages, self.reduce)

    def describe_options(self, parallelism: Parallelism) -> str:
        return f"--parallel {self.name} --stages {parallelism.stages}"

    def stages_of_chips(self, layers: int, chips: int, parallelism: Parallelism) -> int | None:
        return parallelism.stages if parallelism.stages <= chips else None


STRATEGY = Hybrid()
