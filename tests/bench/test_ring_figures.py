"""The figures of boards in a ring, and that the page's are those that are modelled."""

from dataclasses import replace

import pytest

from bench import ring
from bench.results import Label
from bench.ring import BAUDS, figures, shape_of
from bench.virtual.model import CONFIG, small_model


@pytest.fixture(scope="module")
def rows():
    shape = replace(CONFIG, dim=64, hidden_dim=96, layers=ring.CHIPS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ring, "_TOKENS", 8)
        return list(figures(small_model(shape), "small"))


def values(rows, name):
    return {row.shape: row.value for row in rows if row.name == f"ring: {name}"}


def test_every_speed_has_every_figure(rows):
    shapes = {f"small {shape_of(baud, signed)}" for baud in BAUDS for signed in (False, True)}
    assert {row.label for row in rows} == {Label.MODELLED}
    for name in ("frames", "bytes", "sequences", *ring.KINDS):
        assert values(rows, name).keys() == shapes
    assert set(values(rows, "frames").values()) == {(ring.CHIPS + 1) ** 2}


def test_faster_lines_are_faster_and_keys_cost_some(rows):
    for kind in ring.KINDS:
        speeds = values(rows, kind)
        unsigned, signed = (
            [speeds[f"small {shape_of(baud, key)}"] for baud in BAUDS] for key in (False, True)
        )
        assert unsigned == sorted(unsigned) and signed == sorted(signed)
        assert all(with_key < without for without, with_key in zip(unsigned, signed, strict=True))


def test_what_boards_do_not_hold_has_no_row():
    wide = small_model(replace(CONFIG, dim=512, hidden_dim=1024, layers=ring.CHIPS))
    assert list(figures(wide, "wide")) == []
