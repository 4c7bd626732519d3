"""Generation from scripted logits: what is run, what is yielded, where it ends."""

import numpy as np
import pytest

from host.generation.decoding import Choice, generated
from host.model.sampling import Sampler
from host.model.tokenizers.bpe import BOS, EOS

VOCABULARY = 12


class Scripted:
    """Prefers the next token of a script at each step; keeps what it was given to run."""

    def __init__(self, *script):
        self.script = list(script)
        self.runs = []
        self.begun = 0

    def begin(self):
        self.begun += 1

    def forward(self, tokens):
        self.runs.append(list(tokens))
        return np.eye(VOCABULARY, dtype=np.int64)[self.script.pop(0)] * 1000


def test_the_prompt_is_run_at_once_and_then_token_by_token():
    model = Scripted(5, 6, 7)
    assert list(generated(model, [BOS, 9, 8], Choice(3, 5, Sampler(), 0))) == [5, 6, 7]
    assert model.runs == [[BOS, 9, 8], [5], [6]]
    assert model.begun == 1


@pytest.mark.parametrize(("prompt", "steps"), [(1, 1), (1, 6), (4, 4), (4, 6), (6, 6)])
def test_steps_count_all_tokens_after_bos_and_the_last_is_not_run(prompt, steps):
    model = Scripted(*[3] * 20)
    given = [BOS] + [9] * (prompt - 1)
    choice = Choice(prompt, steps, Sampler(), 0)
    tokens = list(generated(model, given, choice))
    assert choice.is_full and not choice.ended
    assert len(tokens) == steps - (prompt - 1)
    assert sum(map(len, model.runs)) == steps  # positions, so that a context of `steps` suffices


@pytest.mark.parametrize("end", [BOS, EOS])
@pytest.mark.parametrize("count", [0, 2])
def test_bos_and_eos_end_the_text_and_are_not_of_it(end, count):
    model = Scripted(*[4] * count, end, 4)
    choice = Choice(1, 10, Sampler(), 0)
    assert list(generated(model, [BOS], choice)) == [4] * count
    assert choice.ended and not choice.is_full


def test_a_prompt_without_a_step_left_is_refused():
    with pytest.raises(ValueError, match="3 steps for a prompt of 4 tokens"):
        Choice(4, 3, Sampler(), 0)


def test_tokens_come_as_they_are_made():
    model = Scripted(5, 6)
    stream = generated(model, [BOS], Choice(1, 9, Sampler(), 0))
    assert next(stream) == 5 and len(model.runs) == 1
    assert next(stream) == 6 and len(model.runs) == 2


class Constant:
    """The same fixed-point logits always."""

    def __init__(self, logits):
        self.logits = np.array(logits)

    def begin(self):
        pass

    def forward(self, tokens):
        return self.logits


def test_a_temperature_sees_logits_in_natural_units():
    # Tokens 3 and 4 differ by 1024 / 2**10 = 1, so that 3 is e times as likely as 4.
    logits = [-(1 << 15)] * VOCABULARY
    logits[3], logits[4] = 1024, 0
    sampler = Sampler(temperature=1.0, seed=1)
    tokens = list(generated(Constant(logits), [BOS], Choice(1, 4000, sampler, 10)))
    assert set(tokens) == {3, 4} and len(tokens) == 4000
    assert tokens.count(3) / tokens.count(4) == pytest.approx(np.e, rel=0.15)
