"""A chip that lies in good form: the text is another, and a spot check on the host notices it."""

from random import Random

import pytest

from host.errors import ClusterError
from host.executors.spot_check import SpotCheck
from protocol.crc32 import crc32
from protocol.frame import TYPE
from protocol.message_types import BEST, PARTIAL
from tests.virtual.clusters import STRATEGIES, generate, open_virtual


def have_lied(cluster, after=20):
    """Has chip 1 change a number in its answers, with a right checksum, from some frame on."""
    arrive, count = cluster.transport.arrive, []

    def lying(source, frame):
        if source == 1 and frame[TYPE] in (PARTIAL, BEST):
            count.append(frame)
            if len(count) > after:
                frame = bytearray(frame[:-4])
                frame[20] ^= 0x7F  # of a partial sum, or of a logit
                frame += crc32(frame, len(frame)).to_bytes(4, "little")
        arrive(source, bytes(frame))

    cluster.transport.arrive = lying


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_is_checked_and_the_truth_passes(model, text, strategy):
    with open_virtual(model, strategy, "uart") as cluster:
        check = cluster.executor.spot_check = SpotCheck(model, cluster.plan, 1)
        assert generate(cluster) == text
        assert check.count == len(text) - 3  # tokens after the prompt


@pytest.mark.parametrize("strategy", ["host", "chips"])
def test_a_chip_that_lies_is_noticed(model, text, strategy):
    with open_virtual(model, strategy, "uart") as cluster:
        have_lied(cluster)
        assert generate(cluster) != text
    with open_virtual(model, strategy, "uart") as cluster:
        have_lied(cluster)
        cluster.executor.spot_check = SpotCheck(model, cluster.plan, 1)
        with pytest.raises(ClusterError, match="^spot check: what chips made of position"):
            generate(cluster)


def test_one_token_in_so_many_is_chosen(model, text):
    with open_virtual(model, "chips", "uart") as cluster:
        for every in (1, 4, 1000):
            random = Random(7)
            expected = sum(not random.randrange(every) for _ in text[3:])
            check = cluster.executor.spot_check = SpotCheck(model, cluster.plan, every, Random(7))
            assert generate(cluster) == text
            assert check.count == expected
            assert every != 4 or 0 < expected < len(text) - 3


def test_a_chip_that_lies_on_is_noticed_though_one_token_in_four_is_chosen(model, text):
    with open_virtual(model, "chips", "uart") as cluster:
        have_lied(cluster)
        check = cluster.executor.spot_check = SpotCheck(model, cluster.plan, 4, Random(7))
        with pytest.raises(ClusterError, match="^spot check: what chips made of position"):
            generate(cluster)
        assert 0 < check.count < len(text) - 3
