"""Hypothesis strategies for models of any shape, with weights from vanishing to huge."""

import numpy as np
from hypothesis import strategies as st

from host.model.checkpoint import Checkpoint, Config, weight_shapes

VOCABULARY, CONTEXT = 40, 16


def configs(
    head_sizes: tuple[int, ...] = (2, 6, 8, 16, 22, 32, 64), largest_hidden: int = 700
) -> st.SearchStrategy[Config]:
    """Shapes with and without grouped queries, any number of feed-forward units, a width that is
    that of all heads or another, with and without norms of queries and keys."""

    def config(
        head_dim: int,
        kv_heads: int,
        group: int,
        layers: int,
        hidden: int,
        dim: int | None,
        qk_norm: bool,
    ) -> Config:
        heads = kv_heads * group
        return Config(
            dim or head_dim * heads, hidden, layers, heads, kv_heads, VOCABULARY, CONTEXT,
            head_dim=head_dim, qk_norm=qk_norm,
        )  # fmt: skip

    small = st.integers(1, 3)
    hidden = st.integers(1, min(largest_hidden, 40)) | st.integers(1, largest_hidden)
    dim = st.none() | st.integers(1, 96)
    return st.builds(
        config, st.sampled_from(head_sizes), small, small, small, hidden, dim, st.booleans()
    )


@st.composite
def checkpoints(draw: st.DrawFn, shapes: st.SearchStrategy[Config] | None = None) -> Checkpoint:
    """Weights of which some are zero, some have zero rows, and some are of an odd scale."""
    config = draw(configs() if shapes is None else shapes)
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    weights = {}
    for name, shape in weight_shapes(config).items():
        weight = random.standard_normal(shape) * 0.3 + name.endswith("norm")
        match draw(st.sampled_from(["usual"] * 12 + ["scaled", "zero", "zero row", "one large"])):
            case "scaled":
                weight *= 10.0 ** draw(st.integers(-12, 4))
            case "zero":
                weight[:] = 0
            case "zero row":
                weight.reshape(-1, shape[-1])[random.integers(weight.size // shape[-1])] = 0
            case "one large":
                weight.reshape(-1)[random.integers(weight.size)] *= 1000
        weights[name] = weight.astype(np.float32)
    return Checkpoint(config=config, **weights)
