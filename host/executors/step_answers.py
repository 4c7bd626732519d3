"""Assembles logits from the answers of the chips in a pipeline's last stage."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection

from host.cluster.dispatcher import Message
from host.executors.executor import Sequence
from host.executors.logits import no_logits, put_scores
from host.executors.step_sender import Step
from host.model.arithmetic import Ints
from host.parallel.plan import Plan
from protocol import message_types


class StepAnswers:
    """The STEPs whose logits are awaited, and the sequences whose logits have come."""

    def __init__(self, plan: Plan) -> None:
        self.completed: deque[tuple[Sequence, Ints]] = deque()
        self._plan = plan
        self._with_rows: Collection[int] = {shard.chip for shard in plan.shards if shard.rows}
        self._awaited: dict[int, Step] = {}  # by number

    def expect(self, step: Step, scored: int) -> None:
        """Awaits the logits of `scored` positions of a STEP, from all chips that have rows of the
        vocabulary."""
        step.logits, step.missing = no_logits(self._plan, scored), set(self._with_rows)
        self._awaited[step.number] = step

    def take(self, message: Message) -> bool:
        """Takes in a LOGITS, BEST or CANDIDATES; returns whether it was awaited.

        Raises ClusterError if it is malformed, or has other rows than the chip's.
        """
        step = self._awaited.get(message.sequence)
        if step is None or step.logits is None or message.source not in step.missing:
            return False
        greedy = message.kind == message_types.BEST
        put_scores(self._plan, step.logits, message.source, message.payload, greedy=greedy)
        step.missing.discard(message.source)
        if not step.missing:
            del self._awaited[step.number]
            step.sequence.is_awaited = False
            self.completed.append((step.sequence, step.logits))
        return True

    def abandon(self) -> None:
        """Stops awaiting answers, because chips have forgotten all STEPs."""
        self._awaited.clear()

    def close(self, sequence: Sequence) -> None:
        """Drops the answers for a sequence, and awaits no more of them."""
        self._awaited = {n: s for n, s in self._awaited.items() if s.sequence is not sequence}
        self.completed = deque(each for each in self.completed if each[0] is not sequence)
