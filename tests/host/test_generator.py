"""Generations: their text up to a stop string, why they end, and what is measured of each."""

from types import SimpleNamespace

import pytest

from host.errors import ArgumentError, ClusterError
from host.generation.batch import Batch
from host.generation.generator import CANCELLED, LENGTH, STOP, Generator
from host.generation.statistics import GenerationStatistics, Measurement, Meter
from host.generation.text_builder import TextBuilder
from host.grammar import Grammar
from host.grammar.action_lines import GrammarError
from host.model.prompt_format import PromptFormat
from host.model.sampling import Sampler
from host.model.tokenizers.bpe import BOS, EOS
from tests.host.scripted_executor import VOCABULARY, ScriptedExecutor


class Letters:
    """A tokenizer whose tokens from 3 on are letters."""

    bos, stops = BOS, frozenset((BOS, EOS))

    def decode(self, token, previous):
        return bytes([ord("a") + token - 3])


class Encoder:
    """Encodes each letter of a prompt."""

    steps = 40

    def encode(self, prompt):
        return [BOS, *(ord(letter) - ord("a") + 3 for letter in prompt)]


class Cluster:
    """What of an OpenCluster is measured; each completion takes a second and three waits."""

    def __init__(self, *texts, slots=1):
        scripts = [[ord(letter) - ord("a") + 3 for letter in text] + [EOS] for text in texts]
        self.executor = self
        self.model = SimpleNamespace(logit_exponent=0)
        self.coordinator = SimpleNamespace(resends=0)
        self.now = 0.0
        self.synchronizations = self.recoveries = self.exchanged_bytes = 0
        self.greedy = None
        self._scripted = ScriptedExecutor(*scripts, slots=slots)
        self.slots = slots
        self.open, self.close = self._scripted.open, self._scripted.close
        self.extend = self._scripted.extend
        self.most_scored = self._scripted.most_scored

    def completed(self):
        self.now += 1
        self.synchronizations += 3
        self.exchanged_bytes += 100
        self.coordinator.resends += 1
        return self._scripted.completed()


def generator_on(cluster, grammar=None):
    form = PromptFormat(grammar=grammar)
    size = SimpleNamespace(vocab_size=VOCABULARY)
    source = SimpleNamespace(tokenizer=Letters(), prompt_format=form, config=size)
    return Generator(cluster, source, Encoder(), drafts=0)


@pytest.fixture
def cluster(monkeypatch):
    """Makes a cluster whose clock is the meter's."""

    def make(*texts, slots=1):
        made = Cluster(*texts, slots=slots)
        measured = Meter.__init__

        def on_its_clock(self, of, drafter=None):
            measured(self, of, drafter, lambda: made.now)

        monkeypatch.setattr(Meter, "__init__", on_its_clock)
        return made

    return make


def test_a_generation_has_its_text_and_tokens_without_the_prompt(cluster):
    generator = generator_on(cluster("cab"))
    generation = generator.generate(generator.task("dd", Sampler()))
    assert (generation.prompt, generation.prompt_text, generation.text) == ("dd", "dd", "cab")
    assert generation.tokens == [5, 3, 4] and generation.prompt_tokens == (BOS, 6, 6)
    assert generation.finish_reason == STOP


@pytest.mark.parametrize(
    ("limit", "stop", "text", "reason"),
    [
        (None, (), "abcabd", STOP),
        (6, (), "abcabd", LENGTH),
        (2, (), "ab", LENGTH),
        (None, ("abd",), "abc", STOP),
        (None, ("x", "ca", "bc"), "a", STOP),
        (None, ("d",), "abcab", STOP),
        (None, ("de", "abde"), "abcabd", STOP),  # begun, and not there
        (5, ("abd",), "abcab", LENGTH),  # held back at the end
    ],
)
def test_where_a_text_ends(cluster, limit, stop, text, reason):
    generator = generator_on(cluster("abcabd"))
    stream = generator.stream(generator.task("", Sampler(), limit, stop))
    pieces = list(stream)
    assert "".join(pieces) == text and all(pieces)
    assert (stream.generation.text, stream.generation.finish_reason) == (text, reason)


def parse_cab(text):
    if text != "cab":
        raise GrammarError(f"{text} is no cab")


@pytest.mark.parametrize(
    ("text", "limit", "answer", "refused"),
    [
        ("cab", None, "cab", ""),
        ("caba", None, "none", "caba is no cab"),
        ("cab", 3, "none", "it is cut off"),
    ],
)
def test_an_answer_of_a_grammar_comes_whole_or_is_refused(cluster, text, limit, answer, refused):
    generator = generator_on(cluster(text), Grammar("cabs", parse_cab, "none"))
    stream = generator.stream(generator.task("", Sampler(), limit))
    assert list(stream) == [answer]
    assert (stream.generation.text, stream.generation.refused) == (answer, refused)
    assert len(stream.generation.tokens) == len(text)


def test_of_an_answer_that_was_cancelled_nothing_gets_out(cluster):
    generator = generator_on(cluster("cab"), Grammar("cabs", parse_cab, "none"))
    stream = generator.stream(generator.task("", Sampler()), lambda: True)
    assert list(stream) == []
    assert (stream.generation.text, stream.generation.finish_reason) == ("", CANCELLED)


def test_a_stream_gives_pieces_as_they_come_and_can_be_closed(cluster):
    chips = cluster("abc", "d")
    generator = generator_on(chips)
    stream = generator.stream(generator.task("", Sampler()))
    assert next(stream) == "a" and chips.now == 1
    assert (stream.generation.text, stream.generation.finish_reason) == ("a", CANCELLED)
    with pytest.raises(ClusterError, match="^another generation is running: read it to its end"):
        generator.generate(generator.task("", Sampler()))
    stream.close()
    assert list(stream) == [] and stream.generation.text == "a"
    assert generator.generate(generator.task("", Sampler())).text == "d"


def test_a_stream_ends_where_it_is_cancelled(cluster):
    generator = generator_on(cluster("abc"))
    seen = []
    stream = generator.stream(generator.task("", Sampler()), lambda: len(seen) == 2)
    for piece in stream:
        seen.append(piece)
    assert seen == ["a", "b"] and stream.generation.finish_reason == CANCELLED


@pytest.mark.parametrize("temperature", [0, 0.5])
def test_chips_may_answer_with_their_best_tokens_where_all_decode_greedily(cluster, temperature):
    chips = cluster("a", "b", slots=2)
    generator = generator_on(chips)
    tasks = [generator.task("", Sampler(value)) for value in (0, temperature)]
    for _ in generator.run(tasks):
        pass
    assert chips.greedy == (temperature == 0)


def test_what_a_task_cannot_have(cluster):
    generator = generator_on(cluster())
    with pytest.raises(ArgumentError, match="^max_tokens must be at least 1, got 0$"):
        generator.task("", Sampler(), 0)
    with pytest.raises(ArgumentError, match="^a stop string must not be empty$"):
        generator.task("", Sampler(), None, ("a", ""))


def test_figures_count_from_the_first_token_but_for_repairs(cluster):
    generator = generator_on(cluster("abc"))
    generation = generator.generate(generator.task("dd", Sampler()))
    # The first token is its prompt's, and what finds the end is none.
    assert generation.statistics == GenerationStatistics(
        2, 2.0, 6, 200, 4, 0, generations=1, first_token_seconds=1.0
    )


@pytest.mark.parametrize("slots", [1, 2])
def test_generations_of_a_batch_come_in_order_with_figures_that_add_up(cluster, slots):
    chips = cluster("abc", "de", "f", slots=slots)
    generator = generator_on(chips)
    batch = Batch(generator)
    tasks = [generator.task(prompt, Sampler()) for prompt in ("x", "y", "z")]
    found = list(batch.run(tasks))
    assert [(each.prompt, each.text) for each in found] == [("x", "abc"), ("y", "de"), ("z", "f")]
    total = sum((each.statistics for each in found), GenerationStatistics())
    assert (total.tokens, total.retransmissions) == (3, 9)
    assert batch.statistics.tokens == 3 and batch.statistics.retransmissions == 9
    if slots == 1:  # nothing else went on meanwhile
        assert batch.statistics == total == GenerationStatistics(
            3, 3.0, 9, 300, 9, 0, generations=3, first_token_seconds=14.0
        )
    else:  # what a prompt or an end took while the other was decoding counts too
        assert total.synchronizations == 9
        assert batch.statistics == GenerationStatistics(
            3, 5.0, 15, 500, 9, 0, generations=3, first_token_seconds=11.0
        )


def test_a_measurement_of_two_is_shared_by_whose_token_came(cluster):
    chips = cluster()
    meter, one, two = Meter(chips), Measurement(), Measurement()

    def step(note, own):
        chips.now += 1
        chips.exchanged_bytes += 10
        note(own)

    step(meter.note_token, one)  # a first token
    step(meter.note_token, one)
    step(meter.note_token, two)  # a first token while the other decodes
    step(meter.note_token, one)
    step(meter.note_end, one)
    step(meter.note_token, two)
    assert (one.statistics.tokens, one.statistics.seconds, one.statistics.bytes) == (2, 3.0, 20)
    assert (two.statistics.tokens, two.statistics.seconds, two.statistics.bytes) == (1, 3.0, 10)
    assert (meter.total.tokens, meter.total.seconds, meter.total.bytes) == (3, 5.0, 50)


def test_text_that_may_begin_a_stop_string_is_held_back():
    builder = TextBuilder(Letters(), [BOS, 3], ("bcd",))
    assert builder.prompt_text == "a"
    assert [builder.push(token) for token in (4, 4, 5, 3)] == ["", "b", "", "bca"]
    assert builder.push(4) == "" and builder.whole == "bbcab" and builder.text == "bbca"
    assert builder.finish() == "b" and builder.text == "bbcab" and not builder.has_stopped
