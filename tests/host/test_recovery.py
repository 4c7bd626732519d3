"""How many recoveries there are before a chip is given up."""

import pytest

from host.cluster.recovery import MOST_RECOVERIES, RecoveryBudget
from host.errors import ClusterError


def spend(budget, cause=1):
    """How many recoveries are left."""
    for count in range(1000):
        try:
            budget.spend(cause, "chip 1 keeps restarting")
        except ClusterError as error:
            assert str(error) == "chip 1 keeps restarting"
            return count
    raise AssertionError("there is no end")


def test_there_are_so_many_at_once_for_each_cause():
    budget = RecoveryBudget()
    assert spend(budget) == spend(budget, 2) == MOST_RECOVERIES


def test_tokens_earn_half_as_many_and_never_more_than_at_the_start():
    budget = RecoveryBudget()
    assert spend(budget) == MOST_RECOVERIES
    for _ in range(6):
        budget.earn()
    assert spend(budget) == 3
    for _ in range(1000):
        budget.earn()
    assert spend(budget) == MOST_RECOVERIES


@pytest.mark.parametrize(("tokens", "goes_on"), [(1, False), (2, True)])
def test_a_chip_that_restarts_as_often_as_tokens_come_is_given_up_in_the_end(tokens, goes_on):
    budget = RecoveryBudget()

    def run():
        for _ in range(200):
            budget.spend(3, "chip 3 keeps restarting")
            for _ in range(tokens):
                budget.earn()

    if goes_on:
        run()
    else:
        with pytest.raises(ClusterError):
            run()
