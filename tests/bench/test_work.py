"""Instructions fitted to those of emulated chips."""

from dataclasses import replace

import pytest

from bench.emulated_chip import ANSWER, Measured
from bench.results import Label, Row
from bench.work import PART, Sample, _means, fitted, kernel_scales, scaled, works
from host.parallel.plan import Shard
from protocol.messages import PHASE_ATTENTION, PHASE_FEED_FORWARD, PHASE_VOCABULARY


def shard(heads: int, kv_heads: int, units: int, rows: int) -> Shard:
    return Shard(0, tuple(range(heads)), tuple(range(kv_heads)), range(units), range(rows))


SHARES = [shard(8, 4, 172, 512), shard(4, 2, 86, 256), shard(2, 1, 35, 103), shard(1, 1, 21, 64)]


def cost(task: int, of: Shard) -> int:
    return {
        PHASE_ATTENTION: 5000 + 300 * len(of.heads) + 70 * len(of.kv_heads),
        PHASE_FEED_FORWARD: 4000 + 13 * len(of.units),
        PHASE_VOCABULARY: 3000 + 6 * len(of.rows),
        PART: 700,
    }[task]


SAMPLES = [
    Sample(task, of, cost(task, of), {"matrix": 400}) for task in range(4) for of in SHARES
]


def test_costs_that_are_as_supposed_are_found_exactly():
    work = fitted(SAMPLES, {})
    other = shard(3, 2, 50, 7)
    for task in range(4):
        assert work.instructions(task, other) == pytest.approx(cost(task, other))
    assert work.instructions(PART) == pytest.approx(700)
    assert work.error == pytest.approx(0, abs=1e-9)


def test_a_cost_that_is_not_as_supposed_is_told():
    odd = [*SAMPLES, Sample(PART, SHARES[0], 1400, {})]
    assert fitted(odd, {}).error > 0.1


def test_kernels_are_scaled_and_nothing_else():
    sample = Sample(PART, SHARES[0], 5000, {"matrix": 1000, "packing": 500})
    assert scaled(sample, {"matrix": 1.5, "elementwise": 9.0}) == 5500


def test_scales_are_what_kernels_take_on_xtensa_over_rv32():
    rows = [
        Row(name, target, shape, value, "", Label.EMULATED)
        for name, shape in (
            ("matvec", "64x64"), ("scores", "128x8"), ("rescale", "64"),
        )
        for target, value in (("rv32imc", 6.0), ("xtensawin", 9.0))
    ]  # fmt: skip
    expected = {"matrix": 1.5, "attention": 1.5, "elementwise": 1.5}
    assert kernel_scales(rows, "xtensawin") == expected


@pytest.mark.verify
def test_chips_take_less_where_their_kernels_do():
    on = works(SAMPLES)
    counts = [on[name].instructions(PART) for name in ("rv32im", "lx6", "pie")]
    assert counts == sorted(counts, reverse=True) and counts[0] > 1.5 * counts[2]


def test_whole_chips_with_native_kernels_are_taken_as_counted():
    native = [replace(sample, instructions=sample.instructions - 300) for sample in SAMPLES]
    on = works(SAMPLES, native)
    for sample in native:
        count = on["rv32im"].instructions(sample.task, sample.shard)
        assert count == pytest.approx(sample.instructions)
    assert on["pie"].instructions(PART) < on["rv32im"].instructions(PART)


def test_a_sample_is_the_mean_of_a_task_and_of_none_that_a_chip_has_no_part_in():
    def measured(instructions: int, **inside: int) -> Measured:
        return Measured(instructions, 0, b"", inside)

    tasks = [PHASE_ATTENTION, PHASE_FEED_FORWARD, PHASE_FEED_FORWARD]
    whole = [measured(50), measured(100), measured(300)]
    inside = [measured(0), measured(0, matvec=10, **{ANSWER: 90}), measured(0, matvec=20, gate=8)]
    (sample,) = _means(shard(0, 0, 5, 5), tasks, whole, inside)
    assert (sample.task, sample.instructions) == (PHASE_FEED_FORWARD, 200)
    assert sample.inside == {"matrix": 15, "elementwise": 4}
