"""Hypothesis strategies for weights, and for dealing them to ranks."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from host.model.arithmetic import Rescale
from host.model.quantized import Linear

DTYPES = st.sampled_from(["int8", "int16", "int32", "float32", "float64"])
WORLDS = st.integers(1, 20)


@st.composite
def weights(draw):
    """Arrays of one to four dimensions."""
    shape = draw(arrays.array_shapes(max_dims=4, max_side=24))
    random = np.random.default_rng(draw(st.integers(0, 1000)))
    return random.integers(-100, 100, shape).astype(draw(DTYPES))


@st.composite
def linears(draw):
    """Quantized matrices."""
    rows, columns = draw(st.tuples(st.integers(1, 40), st.integers(1, 40)))
    random = np.random.default_rng(draw(st.integers(0, 1000)))
    rescale = Rescale(random.integers(0, 1 << 15, rows), draw(st.integers(16, 45)))
    return Linear(random.integers(-127, 128, (rows, columns)).astype(np.int8), rescale)


@st.composite
def dealt(draw, size):
    """0 .. size - 1 dealt to 1 to 20 ranks in any order; a rank may own none."""
    order = draw(st.permutations(range(size)))
    owner = draw(st.lists(st.integers(0, draw(WORLDS) - 1), min_size=size, max_size=size))
    parts = [[] for _ in range(max(owner, default=0) + 1)]
    for index, rank in zip(order, owner, strict=True):
        parts[rank].append(index)
    return parts
