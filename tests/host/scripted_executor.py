"""An executor whose logits are a script: for tests of what decodes them."""

import numpy as np

from host.executors.executor import Sequence

VOCABULARY = 12


def prefer(token):
    """Logits whose most probable token is this one."""
    return np.eye(VOCABULARY, dtype=np.int64)[token] * 1000


class ScriptedExecutor:
    """Prefers the next token of a script at each step; keeps what it was given to run.

    script: of each sequence in the order in which they are opened; what is extended first is
    completed first.
    """

    most_scored = 8

    def __init__(self, *scripts, slots=1):
        self.slots = slots
        self.runs = []
        self.opened = self.closed = self.most_open = 0
        self._scripts = [list(script) for script in scripts]
        self._awaited = []
        self._prompts = {}  # tokens of each sequence's

    def open(self):
        assert self.opened - self.closed < self.slots
        self.opened += 1
        self.most_open = max(self.most_open, self.opened - self.closed)
        return Sequence(0, self.opened)

    def extend(self, sequence, tokens, scored=1):
        assert 0 < scored <= min(len(tokens), self.most_scored)
        self.runs.append(list(tokens))
        self._prompts.setdefault(sequence, len(tokens) - scored + 1)
        sequence.tokens += tokens
        sequence.scored = scored
        self._awaited.append(sequence)

    def completed(self):
        sequence = self._awaited.pop(0)
        script = self._scripts[sequence.sequence_id - 1]
        end = len(sequence.tokens) - self._prompts[sequence] + 1
        wanted = range(end - sequence.scored, end)
        # Drafts that are wrong, or go too far, may be answered with anything.
        return sequence, np.stack([prefer(script[at] if at < len(script) else 0) for at in wanted])

    def close(self, sequence):
        self.closed += 1
        self._awaited = [each for each in self._awaited if each is not sequence]
