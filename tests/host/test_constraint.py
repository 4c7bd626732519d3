"""Answers held to a grammar token by token."""

import math

import numpy as np
import pytest

from host.generation.choosing import TokenChooser
from host.generation.constraint import Constraint, Cursor, TokenTexts, confidence_of
from host.grammar.automaton import Automaton, Rule
from host.model.loading import load_model
from host.model.sampling import Sampler
from host.paths import HOME_MODEL


class Pieces:
    """A tokenizer of these pieces: it writes the longest that fits. Token 1 ends a text."""

    stops = frozenset((1,))
    bos = 1

    def __init__(self, *pieces):
        self.pieces = ["", "<s>", "\n", *pieces]

    def encode(self, text, bos=True):
        found = [1] * bos
        while text:
            fitting = [piece for piece in self.pieces[2:] if text.startswith(piece)]
            found.append(self.pieces.index(max(fitting, key=len)))
            text = text[len(self.pieces[found[-1]]) :]
        return found

    def decode(self, token, previous):
        return self.pieces[token].encode()


TOKENS = Pieces("a", "b", "c", "d", "cd", "x")
A, B, C, D, CD, X = range(3, 9)
END = 1


def constraint_of(*alternatives, tokens=TOKENS, least=0.5, exponent=0):
    automaton = Automaton(Rule(tuple((text,) for text in alternatives)))
    cursor = Cursor(automaton, TokenTexts(tokens, len(tokens.pieces)))
    return Constraint(cursor, exponent, least)


def logits(**values):
    found = np.zeros(9, np.int64)
    for name, value in values.items():
        found[{"end": END}.get(name) or globals()[name.upper()]] = value
    return found


def chooser_of(constraint, sampler=None):
    return TokenChooser(1, 20, sampler or Sampler(), 0, TOKENS.stops, constraint)


def test_what_must_follow_is_not_asked_of_the_model():
    chooser = chooser_of(constraint_of("abx", "bax"))
    assert list(chooser.take_forced()) == []
    assert chooser.next_token(logits(b=3)) == B
    assert list(chooser.take_forced()) == [A, X] and chooser.has_ended
    assert chooser.confidence == confidence_of(3) and not chooser.refused


def test_what_must_follow_does_so_whatever_the_logits_of_a_draft_are():
    chooser = chooser_of(constraint_of("abx", "bax"))
    assert [chooser.next_token(logits(b=3)), chooser.next_token(logits(x=99))] == [B, A]
    assert chooser.next_token(logits(c=99)) == X
    assert chooser.next_token(logits(c=99)) is None and chooser.has_ended and not chooser.refused


def test_a_token_that_may_be_part_of_another_is_left_to_the_model():
    constraint = constraint_of("abcd", "abcx", "b")  # "cd" is a token: what follows c matters
    chooser = chooser_of(constraint)
    assert chooser.next_token(logits(a=1)) == A
    assert list(chooser.take_forced()) == [B]
    assert chooser.next_token(logits(cd=1)) == CD and list(chooser.take_forced()) == []
    assert chooser.has_ended


def test_the_best_token_is_taken_or_the_answer_is_refused():
    chooser = chooser_of(constraint_of("ab", "ba"))
    assert chooser.next_token(logits(x=5, a=4)) is None
    assert chooser.has_ended and chooser.refused == "no answer may begin with 'x'"
    chooser = chooser_of(constraint_of("ab", "ba"))
    assert chooser.next_token(logits(end=5)) is None and chooser.refused == "'' is no whole answer"


def test_an_answer_that_the_model_is_not_sure_of_is_refused():
    chooser = chooser_of(constraint_of("ab", "a", "b", least=0.9))
    assert chooser.next_token(logits(a=3)) == A
    assert chooser.next_token(logits(end=2)) is None
    assert chooser.refused == "the model is not sure: 0.881, and 0.9 is needed"
    assert chooser.confidence == confidence_of(2) == pytest.approx(1 / (1 + math.exp(-2)))


def test_confidence_is_that_of_the_least_certain_token_in_the_models_scale():
    constraint = constraint_of("ab", "a", "b", exponent=2)
    assert constraint.confidence == 1 and constraint.choose(A, logits(a=40, x=20))
    assert constraint.margin == 5 and constraint.choose(B, logits(b=8, end=8))
    assert constraint.margin == 0 and constraint.confidence == 0.5


def test_what_is_sampled_is_admissible():
    for seed in range(40):
        chooser = chooser_of(constraint_of("ax", "bx", least=0.0), Sampler(2.0, seed=seed))
        assert chooser.next_token(logits(x=9, c=9)) in (A, B)
        assert list(chooser.take_forced()) == [X]


def test_guesses_keep_to_what_must_follow():
    constraint = constraint_of("abxa", "abxb", "ba")
    assert constraint.amend([A, B, X, B, C]) == [A, B, X, B]
    assert constraint.amend([A, C, X, B]) == [A, B, X]  # what follows a wrong one is wrong too
    assert constraint.amend([A]) == [A] and constraint.amend([C, A]) == []
    assert constraint.amend([]) == []


@pytest.fixture(scope="module")
def home():
    return load_model(HOME_MODEL)


@pytest.mark.parametrize(
    "line",
    ["unknown", "light.A brightness=30; alarm at=06:30", "scene.movie",
     "timer.pasta start=1h30m", "fan.B on for=20m; tv.all volume=up"],
)  # fmt: skip
def test_tokens_of_a_line_are_those_of_its_tokenizer_forced_or_not(home, line):
    vocabulary = TokenTexts(home.tokenizer, home.config.vocab_size)
    cursor = Cursor(home.prompt_format.automaton("the kitchen, and the office"), vocabulary)
    wanted = home.tokenizer.encode(f"\n{line}", bos=False)[2:]
    chooser = TokenChooser(1, 99, Sampler(), 0, vocabulary.stops, Constraint(cursor, 0))
    chosen, asked = [], 0
    while not chooser.is_done:
        chosen += chooser.take_forced()
        if not chooser.is_done:
            asked += 1
            end = home.tokenizer.bos
            best = wanted[len(chosen)] if len(chosen) < len(wanted) else end
            token = chooser.next_token(np.eye(home.config.vocab_size)[best])
            chosen += [] if token is None else [token]
    assert chosen == wanted and not chooser.refused
    assert asked < len(wanted) + 1  # the end is a token too
