"""What properties of the arithmetic are tried with: integers, extremes among them."""

from hypothesis import settings
from hypothesis import strategies as st

from host.model.arithmetic import INT16_LIMIT


def symmetric(limit: int) -> st.SearchStrategy[int]:
    """Integers within the limit, itself and its neighbours not left out."""
    return st.integers(-limit, limit) | st.sampled_from([-limit, 1 - limit, -1, 0, 1, limit])


int16s = symmetric(INT16_LIMIT)
seeds = st.integers(0, 2**32 - 1)
# Thousands of elements one by one take a while on a busy machine.
unhurried = settings(deadline=None)
