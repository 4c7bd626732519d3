"""The rule by which heads are assigned, in its two statements: a chip's and the host's."""

import pytest

from firmware.compute.tensor_parallel import TPConfig
from host.parallel.assignment import assign_heads


@pytest.mark.parametrize("by_group", [False, True])
@pytest.mark.parametrize("heads", range(1, 17))
def test_chips_and_host_deal_the_same_heads(heads, by_group):
    for kv_heads in (n for n in range(1, heads + 1) if heads % n == 0):
        for chips in range(1, 21):
            configs = [
                TPConfig.distribute_heads(chip, chips, heads, 8, kv_heads, by_group)
                for chip in range(chips)
            ]
            planned = assign_heads(heads, kv_heads, chips, by_group=by_group)
            assert [tuple(config.heads) for config in configs] == planned
            for config in configs:
                assert config.kv_heads == sorted({h * kv_heads // heads for h in config.heads})
