"""Clusters without chips: what an executor would compute, the reference does in this process."""

import threading
from contextlib import contextmanager
from dataclasses import fields
from types import SimpleNamespace

import numpy as np

from host.errors import ClusterError
from host.executors.executor import Sequence
from host.launch.chip_statistics import ChipStatistics
from host.launch.choice import Choice
from host.model.reference import Reference
from host.parallel.parallelism import HOST_REDUCE, Link


class ReferenceExecutor:
    """Computes what chips would. script: called before each completion, and may raise."""

    def __init__(self, model, slots, context, script):
        self.model, self.slots, self.script = model, slots, script
        self.greedy = False
        self.synchronizations = self.recoveries = self.completions = 0
        self.plan = SimpleNamespace(
            chips=1, context=context, positions=1, scored=1, link=Link()
        )  # fmt: skip
        self.most_scored = 1  # no drafts
        self.most_open = 0
        self._references, self._awaited = {}, []

    def open(self):
        free = set(range(self.slots)) - {sequence.slot for sequence in self._references}
        sequence = Sequence(min(free), 0)
        self._references[sequence] = Reference(self.model, batch=1, context=self.plan.context)
        self.most_open = max(self.most_open, len(self._references))
        return sequence

    def extend(self, sequence, tokens, scored=1):
        assert scored == 1
        sequence.tokens += tokens
        self._awaited.append(sequence)

    def completed(self):
        sequence = self._awaited.pop(0)
        self.script(self)
        self.completions += 1
        for token in sequence.tokens[sequence.position :]:
            logits = self._references[sequence].step(np.array([token]))
        sequence.position = len(sequence.tokens)
        return sequence, logits

    def close(self, sequence):
        del self._references[sequence]
        self._awaited = [each for each in self._awaited if each is not sequence]


class ReferenceChips:
    """What stands for chips: opens as often as it is asked.

    script: as ReferenceExecutor's; refusals: how often it cannot be opened, from the start;
    opened: the executors that it has made.
    """

    count = 1

    def __init__(self, slots=1, script=lambda executor: None, context=None, refusals=0):
        self.slots, self.script, self.context = slots, script, context
        self.refusals, self.opened = refusals, []

    def without_one(self, model):
        return None

    def choose(self, model, batch=False):
        return Choice(HOST_REDUCE, "as given")

    @contextmanager
    def open(self, model, choice, on_ready=lambda chip: None):
        if self.refusals:
            self.refusals -= 1
            raise ClusterError("chip 0 does not answer")
        context = self.context or model.config.context
        executor = ReferenceExecutor(model, self.slots, context, self.script)
        self.opened.append(executor)
        numbers = {each.name: number for number, each in enumerate(fields(ChipStatistics))}
        chip = ChipStatistics(**numbers)
        yield SimpleNamespace(
            executor=executor, exchanged_bytes=0, choice=choice, is_simulated=True, boards=(),
            coordinator=SimpleNamespace(
                resends=0, boot_ids={0: 1}, answering={0: 1.5},
                dispatcher=SimpleNamespace(tap=None),
            ),
            statistics=lambda collect=True: [chip],
        )  # fmt: skip


class Gate:
    """A script that holds back completions until it is opened; counts who waits."""

    def __init__(self):
        self.is_open, self.waiting = threading.Event(), threading.Event()

    def __call__(self, executor):
        self.waiting.set()
        assert self.is_open.wait(60)
