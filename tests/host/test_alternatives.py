"""The one change that would help most: that it is true, and the best of those that there are."""

from dataclasses import replace

import pytest

from host.hardware.boards import load
from host.model.checkpoint import Config
from host.model.quantization.quantize import quantize
from host.parallel import alternatives
from host.parallel.alternatives import (
    FASTEST_BAUD,
    Change,
    assess_with_advice,
    find_best_change,
    list_changes,
)
from host.parallel.assessment import assess, assess_all, recommend
from host.parallel.boards import BoardSet
from host.parallel.options import parse_parallelism
from host.parallel.parallelism import HOST_REDUCE
from tests.host.tiny import random_checkpoint

LAYERS = 2
PSRAM, SMALL = load("esp32s3-psram"), load("esp32c3")


@pytest.fixture(scope="module")
def model():
    shape = Config(
        dim=32, hidden_dim=64, layers=LAYERS, heads=4, kv_heads=4, vocab_size=64, context=8
    )
    return quantize(random_checkpoint(shape))


def boards_of(*boards, kind="espnow"):
    return BoardSet(boards, kind, 8, True, "pins")  # of few positions, which are soon run


def planners_choice(chips):
    return None


def fastest(model, boards):
    best = recommend(assess_all(model, boards)[0])
    return best.latency.tokens_per_second if best else 0.0  # more boards in a ring than layers


@pytest.mark.parametrize(
    ("boards", "kind"),
    [((PSRAM,) * 3, "espnow"), ((SMALL,) * 2, "uart"), ((PSRAM, SMALL), "espnow")],
)
def test_the_advice_is_true_and_none_is_much_better(model, boards, kind):
    these = boards_of(*boards, kind=kind)
    fitting, _, change = assess_with_advice(model, these, planners_choice)
    before = recommend(fitting).latency.tokens_per_second
    rates = {}
    for text, changed in list_changes(these):
        rates[text] = fastest(model, changed)
    if change is None:
        assert max(rates.values()) < 1.15 * before
        return
    assert change.before == before and change.tokens_per_second > 1.05 * before
    assert change.tokens_per_second == pytest.approx(rates[change.text])
    assert change.tokens_per_second > 0.85 * max(rates.values())


def test_what_can_be_changed():
    def texts(boards):
        return [text.split(", ")[-1] for text, _ in list_changes(boards)]

    assert texts(boards_of(SMALL, SMALL)) == [
        "--link ring",
        "--link uart",
        "--radio-mtu 1470",
        f"--line-baud {FASTEST_BAUD}",
        *(f"--chips {count}" for count in (1, 3, 4, 5, 6, 7, 8)),
    ]
    long = replace(SMALL.with_mtu(1470), uart=replace(SMALL.uart, baud=FASTEST_BAUD))
    assert texts(boards_of(long)) == [
        "--link uart", "--radio-mtu 250", *(f"--chips {n}" for n in range(2, 8))
    ]  # fmt: skip
    assert texts(boards_of(SMALL, SMALL, kind="ring")) == [
        "--link uart", "--link espnow", *(f"--chips {n}" for n in (1, 3, 4, 5, 6, 7, 8))
    ]  # fmt: skip
    assert texts(boards_of(SMALL, PSRAM, kind="uart")) == [
        "--link ring",
        "--link espnow",
        f"--line-baud {FASTEST_BAUD}",
        *(f"one {board.name} {how}" for board in (SMALL, PSRAM) for how in ("less", "more")),
    ]
    slow_ring = boards_of(SMALL, SMALL, kind="ring").with_line_baud(921_600)
    assert f"--line-baud {FASTEST_BAUD}" in texts(slow_ring)
    changes = dict(list_changes(boards_of(SMALL, SMALL, kind="uart").with_line_baud(115_200)))
    (ring,) = (text for text in changes if text.startswith("a ring"))
    assert "a ring of 115,200 baud" in ring and changes[ring].link.baud == 115_200
    no_radio = load("esp32h2")
    assert "--link espnow" not in texts(boards_of(no_radio, kind="uart"))


def test_a_strategy_that_was_asked_for_stays(model):
    def by_host(chips):
        return parse_parallelism("tensor", None, "host", LAYERS, chips)

    fitting, problems, change = assess_with_advice(model, boards_of(PSRAM, PSRAM), by_host)
    assert len(fitting) == 1 and problems == {}
    assert change.assessment.plan.parallelism == HOST_REDUCE


def test_of_simulated_chips_nothing_is_known_to_help(model):
    simulated = boards_of(load("simulated"), load("simulated"))
    fitting, _, change = assess_with_advice(model, simulated, planners_choice)
    assert fitting and change is None


def test_what_does_not_hold_its_promise_is_no_advice(model, monkeypatch):
    """The quick look may err; what is printed was assessed."""
    these = boards_of(PSRAM, PSRAM)
    fitting = assess_all(model, these)[0]
    assessed = []

    def disappointing(*given):
        assessed.append(given)
        return recommend(fitting)

    monkeypatch.setattr(alternatives, "assess", disappointing)
    assert find_best_change(model, these, fitting, planners_choice) is None
    assert 1 <= len(assessed) <= 3


def test_it_is_told_in_a_line(model):
    these = boards_of(PSRAM, PSRAM)
    of = assess(model, these, these.plan(model, HOST_REDUCE))
    change = Change("two of them", of, 12.345)
    rate = of.latency.tokens_per_second
    assert str(change) == (
        f"two of them: {rate:.1f} tokens a second in place of 12.3,"
        " with --parallel tensor --reduce host (modelled)"
    )
    assert change.as_dict() == {
        "text": "two of them", "options": "--parallel tensor --reduce host", "chips": 2,
        "link": "espnow", "tokens_per_second": rate,
    }  # fmt: skip
