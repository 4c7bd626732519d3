"""Drafts: guesses of the tokens that follow, which change no text."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from host.errors import ModelError
from host.executors.host_reduce import HostReduceExecutor
from host.generation.choosing import TokenChooser
from host.generation.decoding import decode, generate_tokens
from host.generation.drafts import Drafter, NgramTable, measure_yields
from host.model.float_model import FloatModel
from host.model.own_text import (
    OwnText,
    load_own_text,
    own_text_path,
    save_own_text,
    write_own_text,
)
from host.model.quantization.quantize import quantize
from host.model.reference import Reference
from host.model.sampling import Sampler
from host.paths import HOME_MODEL
from protocol.messages import MAX_POSITIONS
from tests.host.fake_coordinator import FakeCoordinator, digests
from tests.host.fake_steps import FakePipeline, FakeReplicas
from tests.host.scripted_executor import ScriptedExecutor
from tests.host.tiny import TINY, random_checkpoint
from tests.plans import staged_plan, tensor_plan


class Oracle:
    """Drafts from a list, with some tokens wrong."""

    def __init__(self, text, wrong=()):
        self.text, self.wrong = text, set(wrong)
        self.noted = []

    def draft(self, tokens, most):
        at = len(tokens)
        drafts = self.text[at : at + most]
        return [token ^ 1 if at + i in self.wrong else token for i, token in enumerate(drafts)]

    def note(self, drafted, accepted):
        self.noted.append((drafted, accepted))


@given(
    st.lists(st.integers(3, 11), min_size=1, max_size=30), st.sets(st.integers(0, 40)),
    st.integers(1, 8), st.integers(1, 5),
)  # fmt: skip
def test_a_text_does_not_depend_on_what_was_drafted(script, wrong, most, prompt):
    executor = ScriptedExecutor(script)
    executor.most_scored = most
    tokens = [1] * prompt
    steps = prompt - 1 + len(script)
    oracle = Oracle(tokens + script, wrong)
    chooser = TokenChooser(prompt, steps, Sampler(), 0, ())
    assert list(generate_tokens(executor, tokens, chooser, oracle)) == script
    passes = len(executor.runs)
    assert sum(accepted for _, accepted in oracle.noted) + passes == len(script)
    if not wrong:
        assert passes == -(-len(script) // most)


def test_a_text_that_ends_within_a_draft_ends_there():
    script = [4, 5, 2, 6, 7]
    oracle = Oracle([1, *script])
    chooser = TokenChooser(1, 30, Sampler(), 0, {2})
    assert list(generate_tokens(ScriptedExecutor(script), [1], chooser, oracle)) == [4, 5]


def test_no_draft_goes_beyond_the_steps():
    script = [4, 5, 6, 7]
    executor = ScriptedExecutor(script)
    chooser = TokenChooser(1, 4, Sampler(), 0, ())
    list(generate_tokens(executor, [1], chooser, Oracle([1, *script, 8, 9])))
    assert executor.runs == [[1, 4, 5, 6]]


def test_a_table_guesses_what_followed_most_often_after_the_longest_end_it_knows():
    table = NgramTable([np.array([1, 2, 3, 1, 2, 3, 1, 2, 4]), np.array([9, 2, 5])], 12)
    assert table.guess([1, 2]) == (3, 2 / 3)
    assert table.guess([9, 2]) == (5, 1.0)
    assert table.guess([7, 2]) == (3, 2 / 4)  # of a single token
    assert table.guess([7]) is None and table.guess([]) is None


def test_of_equally_frequent_tokens_the_lowest_is_guessed():
    assert NgramTable([np.array([1, 5, 1, 4, 1, 6])], 12).guess([1]) == (4, 1 / 3)


def test_texts_too_short_for_a_table_give_none():
    assert NgramTable([np.array([1]), np.array([], np.int64)], 12).guess([1]) is None


def test_a_repeated_text_is_drafted_before_the_tables():
    drafter = Drafter(NgramTable([np.array([4, 5, 11])], 12), most=3)
    assert drafter.draft([9, 1, 2, 3, 4, 5, 6, 7, 1, 2, 3, 4, 5], 8) == [6, 7, 1]
    assert drafter.draft([4, 5], 8) == [11]
    assert drafter.draft([4, 5], 0) == []


def test_drafts_end_where_they_are_unlikely():
    table = NgramTable([np.array([1, 2, 3]), np.array([1, 2, 4])], 12)
    assert Drafter(table, 5, least_likely=0.5).draft([1], 5) == [2, 3]
    assert Drafter(table, 5, least_likely=0.6).draft([1], 5) == [2]


def yield_of(texts, vocabulary, count):
    """Tokens a pass, each pass with a draft of its own."""
    drafter, tokens, passes = Drafter(NgramTable(texts[::2], vocabulary), count), 0, 0
    for text in (each.tolist() for each in texts[1::2][:16]):
        at = 1
        while at < len(text):
            drafts = drafter.draft(text[:at], count)
            right = 0
            while right < len(drafts) and text[at : at + right + 1] == drafts[: right + 1]:
                right += 1
            gained = min(right + 1, len(text) - at)
            at, tokens, passes = at + gained, tokens + gained, passes + 1
    return tokens / passes


def test_yields_are_what_passes_give_and_are_kept_with_the_shipped_texts():
    vocabulary = 512
    own = load_own_text(own_text_path(HOME_MODEL), vocabulary)
    assert own.yields == measure_yields(own.texts, vocabulary)
    for count in (0, 1, 3, MAX_POSITIONS - 1):
        assert own.yields[count] == yield_of(own.texts, vocabulary, count)


@pytest.fixture(scope="module")
def model():
    return quantize(random_checkpoint())


def executors(model, clock):
    """One of each strategy, with several slots."""
    plan = tensor_plan(model, 3, slots=3)
    fake = FakeCoordinator(model, plan)
    fake.may_rewind = True
    yield HostReduceExecutor(model, plan, fake, digests(plan))
    replicas = FakeReplicas(model, tensor_plan(model, 3, reduce="chips", slots=3), clock)
    yield replicas.executor
    yield FakePipeline(model, staged_plan(model, 4, 2), clock).executor


def text_alone(model, prompt, sampler, steps):
    """What the reference generates."""
    reference, chooser = Reference(model), TokenChooser(len(prompt), steps, sampler, 4, ())
    logits = [reference.step([token])[0] for token in prompt][-1]
    text = []
    while not chooser.is_done:
        token = chooser.next_token(logits)
        text.append(token)
        logits = reference.step([token])[0] if reference.position < TINY.context else None
    return text


PROMPTS = [[1, 5, 9], [1], [1, 2, 3, 4, 5, 6, 7], [1, 30], [1, 8, 8, 8]]


class Task:
    def __init__(self, tokens, chooser):
        self.tokens, self.chooser, self.text = tokens, chooser, []


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("drafts", [0, 3])
def test_sequences_together_and_drafted_are_each_as_alone(model, clock, temperature, drafts):
    steps = TINY.context
    alone = [
        text_alone(model, prompt, Sampler(temperature, 1.0, seed), steps)
        for seed, prompt in enumerate(PROMPTS)
    ]
    # From the texts themselves and others, so that some drafts are right and some are not.
    pairs = zip(PROMPTS[::2], alone[::2], strict=True)
    texts = [np.array([*prompt, *text]) for prompt, text in pairs]
    for executor in executors(model, clock):
        executor.connect(1.0)
        tasks = [
            Task(prompt, TokenChooser(len(prompt), steps, Sampler(temperature, 1.0, seed), 4, ()))
            for seed, prompt in enumerate(PROMPTS)
        ]
        drafter = Drafter(NgramTable(texts, TINY.vocab_size), drafts)
        for task, token in decode(executor, tasks, drafter):
            if token is not None:
                task.text.append(token)
        assert [task.text for task in tasks] == alone, executor.plan.strategy.executor
        assert executor.recoveries == 0
        assert (drafter.accepted > 0) == (drafts > 0)
        assert drafter.accepted < drafter.drafted or not drafts


def test_own_texts_are_written_and_read_again(tmp_path):
    checkpoint = random_checkpoint()
    texts = write_own_text(FloatModel(checkpoint), 1, {1, 2})
    assert len(texts) % 2 == 0 and all(text[0] == 1 for text in texts)
    assert not any(np.isin(text[1:-1], [1, 2]).any() for text in texts)
    half = len(texts) // 2
    for sampled, greedy in zip(texts[:half], texts[half:], strict=True):
        shared = min(len(sampled), len(greedy), 8)
        assert sampled[:shared].tolist() == greedy[:shared].tolist()
    path = own_text_path(tmp_path / "model.bin")
    save_own_text(OwnText(texts, [1.0, 1.5]), path)
    again = load_own_text(path, TINY.vocab_size)
    assert [text.tolist() for text in again.texts] == [text.tolist() for text in texts]
    assert again.yields == [1.0, 1.5]
    assert load_own_text(tmp_path / "none", 5) is None
    with pytest.raises(ModelError, match="of another model"):
        load_own_text(path, 5)
    path.write_bytes(b"\0" * 40)
    with pytest.raises(ModelError, match="no texts for drafts"):
        load_own_text(path, TINY.vocab_size)
