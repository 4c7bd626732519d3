"""Which heads a chip owns; tests/host/test_heads_agree.py compares with the host's plan."""

from firmware.compute.tensor_parallel import TPConfig
from tests.dual import raises


def dealt(chips, heads, kv_heads=None):
    """(heads, kv_heads) of each chip."""
    configs = [TPConfig.distribute_heads(c, chips, heads, 8, kv_heads) for c in range(chips)]
    return [(config.heads, config.kv_heads) for config in configs]


def test_heads_are_dealt_round_robin_and_a_chip_may_own_none():
    assert dealt(5, 4) == [([0], [0]), ([1], [1]), ([2], [2]), ([3], [3]), ([], [])]
    assert [heads for heads, _ in dealt(3, 8)] == [[0, 3, 6], [1, 4, 7], [2, 5]]


def test_a_config_tells_its_place():
    config = TPConfig.distribute_heads(2, 5, 8, 64, 4)
    assert (config.chip_id, config.num_chips, config.head_dim) == (2, 5, 64)


def test_the_heads_of_a_group_stay_together():
    assert dealt(2, 8, 4) == [([0, 1, 4, 5], [0, 2]), ([2, 3, 6, 7], [1, 3])]
    assert dealt(4, 8, 4) == [([0, 1], [0]), ([2, 3], [1]), ([4, 5], [2]), ([6, 7], [3])]
    assert dealt(3, 6, 1)[0] == ([0, 3], [0])  # one group of six, split: two heads beat six


def test_a_group_is_split_only_where_that_leaves_the_busiest_chip_less():
    # 8 heads in 4 groups over 5 chips: a busiest chip has 2 heads either way.
    assert dealt(5, 8, 4) == dealt(4, 8, 4) + [([], [])]
    # Here 3 would do in place of 4, but with KV heads held twice on fewer chips than there are.
    assert dealt(3, 8, 4) == [([0, 1, 6, 7], [0, 3]), ([2, 3], [1]), ([4, 5], [2])]


def test_more_chips_than_kv_heads_split_groups():
    assert dealt(8, 8, 4) == [([head], [head // 2]) for head in range(8)]
    assert dealt(20, 8, 4) == [([c], [c // 2]) if c < 8 else ([], []) for c in range(20)]


def test_every_head_is_owned_once_with_its_kv_head():
    for chips in range(1, 21):
        for heads, kv_heads in ((1, 1), (8, 4), (8, 1), (12, 3), (16, 16)):
            owned = dealt(chips, heads, kv_heads)
            assert sorted(sum([mine for mine, _ in owned], [])) == list(range(heads))
            for mine, kv in owned:
                assert kv == sorted(set(head * kv_heads // heads for head in mine))


def test_counts_that_make_no_sense_raise():
    for chip, chips, heads, kv_heads in (
        (0, 0, 4, 4), (-1, 4, 4, 4), (4, 4, 4, 4), (0, 1, 0, None), (0, 1, 4, 0), (0, 1, 4, 3),
        (0, 1, -4, 2), (0, 1, 2, 4),
    ):  # fmt: skip
        raised = raises(ValueError, TPConfig.distribute_heads, chip, chips, heads, 8, kv_heads)
        assert str(chips) in str(raised) or str(heads) in str(raised)
