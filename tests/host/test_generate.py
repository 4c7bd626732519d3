"""Decoding from scripted logits: what is run, what is yielded, where it ends."""

import numpy as np
import pytest

from host.generation.choosing import TokenChooser
from host.generation.decoding import TokenPrompt, decode, generate_tokens
from host.model.sampling import Sampler
from host.model.tokenizers.bpe import BOS, EOS
from tests.host.scripted_executor import VOCABULARY, ScriptedExecutor


def test_the_prompt_is_run_at_once_and_then_token_by_token():
    model = ScriptedExecutor((5, 6, 7))
    chooser = TokenChooser(3, 5, Sampler(), 0)
    assert list(generate_tokens(model, [BOS, 9, 8], chooser)) == [5, 6, 7]
    assert model.runs == [[BOS, 9, 8], [5], [6]]
    assert model.opened == model.closed == 1


@pytest.mark.parametrize(("prompt", "steps"), [(1, 1), (1, 6), (4, 4), (4, 6), (6, 6)])
def test_steps_count_all_tokens_after_bos_and_the_last_is_not_run(prompt, steps):
    model = ScriptedExecutor([3] * 20)
    given = [BOS] + [9] * (prompt - 1)
    chooser = TokenChooser(prompt, steps, Sampler(), 0)
    tokens = list(generate_tokens(model, given, chooser))
    assert chooser.is_full and not chooser.has_ended
    assert len(tokens) == steps - (prompt - 1)
    assert sum(map(len, model.runs)) == steps  # positions, so that a context of `steps` suffices


@pytest.mark.parametrize("end", [BOS, EOS])
@pytest.mark.parametrize("count", [0, 2])
def test_bos_and_eos_end_the_text_and_are_not_of_it(end, count):
    model = ScriptedExecutor([4] * count + [end, 4])
    chooser = TokenChooser(1, 10, Sampler(), 0)
    assert list(generate_tokens(model, [BOS], chooser)) == [4] * count
    assert chooser.has_ended and not chooser.is_full


def test_a_prompt_without_a_step_left_is_refused():
    with pytest.raises(ValueError, match="3 steps for a prompt of 4 tokens"):
        TokenChooser(4, 3, Sampler(), 0)


def test_tokens_come_as_they_are_made():
    model = ScriptedExecutor((5, 6))
    tokens = generate_tokens(model, [BOS], TokenChooser(1, 9, Sampler(), 0))
    assert next(tokens) == 5 and len(model.runs) == 1
    assert next(tokens) == 6 and len(model.runs) == 2


def test_what_is_not_read_to_its_end_leaves_no_sequence_open():
    model = ScriptedExecutor((5, 6))
    tokens = generate_tokens(model, [BOS], TokenChooser(1, 9, Sampler(), 0))
    next(tokens)
    tokens.close()
    assert (model.opened, model.closed) == (1, 1) and len(model.runs) == 1


def test_a_chooser_that_is_told_to_end_runs_no_further_token():
    model = ScriptedExecutor((5, 6))
    chooser = TokenChooser(1, 9, Sampler(), 0)
    tokens = generate_tokens(model, [BOS], chooser)
    assert next(tokens) == 5
    chooser.end()
    assert list(tokens) == [] and model.runs == [[BOS]] and model.closed == 1


@pytest.mark.parametrize("slots", [1, 2, 3, 8])
def test_sequences_run_together_as_far_as_there_are_slots(slots):
    scripts = [(3, 4, EOS), (5, EOS), (6, 7, 8, EOS), (EOS,)]
    model = ScriptedExecutor(*scripts, slots=slots)
    prompts = [
        TokenPrompt([BOS, 9 + (n % 2)], TokenChooser(2, 20, Sampler(), 0)) for n in range(4)
    ]
    tokens = {id(prompt): [] for prompt in prompts}
    for prompt, token in decode(model, prompts):
        tokens[id(prompt)].append(token)
    assert list(tokens.values()) == [[3, 4, None], [5, None], [6, 7, 8, None], [None]]
    assert model.opened == model.closed == 4 and model.most_open == min(slots, 4)


def test_what_fails_leaves_no_sequence_open():
    class Failing(ScriptedExecutor):
        def completed(self):
            raise RuntimeError("gone")

    model = Failing(slots=2)
    prompts = [TokenPrompt([BOS], TokenChooser(1, 9, Sampler(), 0)) for _ in range(3)]
    with pytest.raises(RuntimeError, match="gone"):
        list(decode(model, prompts))
    assert model.opened == model.closed == 2


class Constant(ScriptedExecutor):
    """The same fixed-point logits always."""

    def __init__(self, logits):
        super().__init__()
        self.logits = np.array(logits)

    def completed(self):
        return self._awaited.pop(0), self.logits[None]


def test_a_temperature_sees_logits_in_natural_units():
    # Tokens 3 and 4 differ by 1024 / 2**10 = 1, so that 3 is e times as likely as 4.
    logits = [-(1 << 15)] * VOCABULARY
    logits[3], logits[4] = 1024, 0
    sampler = Sampler(temperature=1.0, seed=1)
    chooser = TokenChooser(1, 4000, sampler, 10)
    tokens = list(generate_tokens(Constant(logits), [BOS], chooser))
    assert set(tokens) == {3, 4} and len(tokens) == 4000
    assert tokens.count(3) / tokens.count(4) == pytest.approx(np.e, rel=0.15)
