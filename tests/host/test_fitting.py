"""What fits: the same answer to whoever asks, and advice that can be followed."""

from dataclasses import replace

import pytest

from host.errors import ModelError
from host.hardware.boards import load
from host.launch.choice import choose_parallelism
from host.model.checkpoint import Config
from host.model.outline import Outline
from host.model.quantization.quantize import quantize
from host.parallel.assessment import assess_all, recommend
from host.parallel.boards import BoardSet
from host.parallel.fitting import (
    explain,
    find_fewest_chips,
    find_first_plan,
    find_obstacle,
    find_plans,
    list_parallelisms,
)
from host.parallel.parallelism import ALL_REDUCE, ANYWHERE, FLASH, HEAP, HOST_REDUCE, pipeline
from host.parallel.refusal import Advice, DoesNotFit
from tests.host.tiny import random_checkpoint

# More tokens than one chip's message has logits.
WORDS = Config(dim=16, hidden_dim=24, layers=4, heads=4, kv_heads=2, vocab_size=2500, context=64)
# Of the shipped model's shapes.
HOME = Config(dim=60, hidden_dim=160, layers=6, heads=5, kv_heads=5, vocab_size=512, context=128)


@pytest.fixture(scope="module")
def words():
    return quantize(random_checkpoint(WORDS))


@pytest.fixture(scope="module")
def home():
    return quantize(random_checkpoint(HOME))


def alike(count, board="esp32s3", kind="espnow", line="pins"):
    return BoardSet((load(board),) * count, kind, None, True, line)


def test_a_large_vocabulary_takes_chips_and_everybody_says_how_many():
    """A chip names rows by 16 bits."""
    config = Config(8, 8, 1, 2, 2, 200_000, 16)
    board = load("esp32s3-n16r8")
    with pytest.raises(DoesNotFit) as caught:
        BoardSet((board,), "uart", 16, True, "pins").plan(Outline(config), HOST_REDUCE)
    assert str(caught.value) == (
        "a vocabulary of 200000 tokens takes at least 4 chips, each with 65535 of them, and 1 is"
        " there: 4 chips would do"
    )
    assert find_fewest_chips(Outline(config), board, 16, "uart", "pins") == 4


def test_a_pipeline_names_its_last_stage():
    config = Config(8, 8, 4, 2, 2, 200_000, 16)
    boards = BoardSet((load("esp32s3-n16r8"),) * 2, "uart", 16, True, "pins")
    with pytest.raises(DoesNotFit, match="^in 2 stages, of the last one's chips a vocabulary of"):
        boards.plan(Outline(config), pipeline(2))


def test_too_many_boards_on_the_radio_are_text_how_many_would_do(home):
    with pytest.raises(DoesNotFit) as caught:
        choose_parallelism(home, alike(200, "esp32c3"), batch=False)
    assert "no number of chips" not in str(caught.value)
    assert 5 < caught.value.chips < 200
    assert find_plans(home, alike(caught.value.chips, "esp32c3"))[0]


@pytest.mark.parametrize("line", ["usb", "pins"])
@pytest.mark.parametrize(
    "names",
    [
        ("esp32s3", "esp32c3", "esp32c3"),
        ("esp32", "esp32c3"),
        ("esp32s3",) * 2,
        ("esp32c6", "esp32s2", "esp32c3", "esp32s3"),
        ("esp32c5", "esp32") * 2,
    ],
)
def test_advice_from_a_header_alone_can_be_followed(home, names, line):
    """It has room for the padding of matrices, and for sums as wide as the model's are."""
    boards = BoardSet(tuple(map(load, names)), "espnow", None, True, line, weights=ANYWHERE)
    with pytest.raises(DoesNotFit) as caught:
        find_first_plan(Outline(HOME), boards)
    advice = caught.value.advice
    assert advice.chips or advice.context or advice.uart_helps
    if advice.context:
        assert find_plans(home, replace(boards, context=advice.context))[0]
    if advice.chips:
        assert find_plans(home, replace(boards, boards=boards.boards[:1] * advice.chips))[0]
    if advice.uart_helps:
        assert find_plans(home, replace(boards, kind="uart"))[0]


def test_a_shortage_gives_the_flash_of_each_chip(home):
    boards = BoardSet(
        tuple(map(load, ("esp32s3", "esp32c3", "esp32c3"))), "espnow", weights=FLASH
    )
    with pytest.raises(DoesNotFit, match="heap and 5632, 1536, 1536 KB of flash for weights"):
        boards.plan(home, replace(HOST_REDUCE, weights=FLASH))


def test_all_ask_the_same_function(home):
    for count in (1, 3, 4):
        plans, problems = find_plans(home, alike(count))
        fitting, others = assess_all(home, alike(count))
        assert [each.plan for each in fitting] == plans
        assert {way: str(each) for way, each in problems.items()} == {
            way: str(each) for way, each in others.items()
        }
        assert bool(plans) == (count >= find_fewest_chips(home, load("esp32s3"), 128, "espnow"))


def test_the_fewest_may_be_another_strategys(home):
    fewest = find_fewest_chips(home, load("esp32s2"), 128, "uart", "pins")
    assert find_plans(home, alike(fewest, "esp32s2", "uart"))[0]
    assert not find_plans(home, alike(fewest - 1, "esp32s2", "uart"))[0]


def test_repl_ports_carry_what_the_host_adds_up_alone():
    assert list_parallelisms(HOME, alike(5, kind="uart", line="usb")) == [HOST_REDUCE]
    assert len(list_parallelisms(HOME, alike(5, kind="uart"))) == 4


def shortage(text, chips, context):
    return DoesNotFit(lambda: Advice(text, chips, context))


def test_the_problem_that_can_be_cured_is_reported():
    hard, chips, context = ModelError("width"), shortage("a", 7, None), shortage("b", None, 40)
    neither = shortage("c", None, None)
    for problems, reported in (
        ((hard, neither, chips), chips),
        ((hard, neither, context), context),
        ((hard, neither), neither),
        ((hard,), hard),
    ):
        by_parallelism = dict(zip((HOST_REDUCE, ALL_REDUCE, 3, 4), problems, strict=False))
        assert explain(by_parallelism) is reported
    text = explain(dict(zip((HOST_REDUCE, ALL_REDUCE), (context, chips), strict=True)))
    assert str(text) == "a: 7 chips would do, or --context 40"


def test_advice_is_looked_for_once_and_only_when_it_is_asked_for():
    asked = []

    def find():
        asked.append(1)
        return Advice("short\n", 3, None)

    problem = DoesNotFit(find)
    assert asked == []
    assert str(problem) == "short\\n: 3 chips would do" and problem.chips == 3 and asked == [1]


def test_what_no_chips_can_run(words):
    assert find_obstacle(words, 64) is None
    wide = Config(dim=16, hidden_dim=24, layers=1, heads=1, kv_heads=1, vocab_size=9, context=8,
                  head_dim=4098)  # fmt: skip
    assert "head" in str(find_obstacle(quantize(random_checkpoint(wide)), 8))


def test_strategies_that_heaps_are_too_small_for_have_weights_in_flash():
    """Behind those that fit in heaps: as fast as they are, they are considered."""
    config = Config(64, 172, 5, 8, 4, 512, 56)  # as stories260K
    model = quantize(random_checkpoint(config))
    boards = replace(alike(5, "esp32c3"), weights=ANYWHERE, signed=False)
    in_heaps, _ = find_plans(model, replace(boards, weights=HEAP))
    plans, problems = find_plans(model, boards)
    assert 0 < len(in_heaps) < len(plans) and plans[: len(in_heaps)] == in_heaps
    for plan in plans[len(in_heaps) :]:
        assert all(plan.block(chip) for chip in range(5))
    assert len(plans) + len(problems) == len(list_parallelisms(config, boards))
    fitting, _ = assess_all(model, boards)
    best = recommend(fitting)
    assert best and best.plan.parallelism == replace(ALL_REDUCE, weights=ANYWHERE)
    assert best.latency.total < 0.4 * fitting[0].latency.total
