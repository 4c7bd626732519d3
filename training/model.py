"""The Llama architecture in PyTorch, equal to host/model/float_model.py, and its export."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from host.model.checkpoint import Checkpoint, Config
from training import bpe
from training.batches import CONTEXT

# 60 wide: five chips get a head and 32 hidden units each, and a partial sum fits one radio frame.
CONFIG = Config(
    dim=60,
    hidden_dim=160,
    layers=6,
    heads=5,
    kv_heads=5,
    vocab_size=bpe.VOCABULARY,
    context=CONTEXT,
)
INITIAL_DEVIATION = 0.05


@dataclass(frozen=True)
class Rope:
    """The rotations of pairs at every position, [context, head size / 2]."""

    turns: Tensor  # complex numbers

    @classmethod
    def of(cls, config: Config) -> Rope:
        """Makes them for adjacent pairs, as in llama2.c."""
        pairs = torch.arange(0, config.head_dim, 2) / config.head_dim
        angles = torch.outer(torch.arange(config.context), config.rope_theta**-pairs)
        return cls(torch.polar(torch.ones_like(angles), angles))

    def rotated(self, x: Tensor) -> Tensor:
        """Returns `x` [batch, heads, positions, head size], rotated by positions 0 and on."""
        pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)))
        return torch.view_as_real(pairs * self.turns[: x.shape[2]]).flatten(-2)


class Layer(nn.Module):
    """One transformer block."""

    def __init__(self, config: Config, rope: Rope) -> None:
        super().__init__()
        self.config, self.rope = config, rope
        self.attention_norm = nn.Parameter(torch.ones(config.dim))
        self.ffn_norm = nn.Parameter(torch.ones(config.dim))
        self.wq = _linear(config.dim, config.q_dim)
        self.wk = _linear(config.dim, config.kv_dim)
        self.wv = _linear(config.dim, config.kv_dim)
        self.wo = _linear(config.q_dim, config.dim, 2 * config.layers)
        self.w1 = _linear(config.dim, config.hidden_dim)
        self.w2 = _linear(config.hidden_dim, config.dim, 2 * config.layers)
        self.w3 = _linear(config.dim, config.hidden_dim)

    def forward(self, x: Tensor) -> Tensor:
        """Returns `x` [batch, positions, dim] after attention and feed-forward."""
        x = x + self._attention(_normalized(x, self.attention_norm, self.config))
        hidden = _normalized(x, self.ffn_norm, self.config)
        return x + self.w2(functional.silu(self.w1(hidden)) * self.w3(hidden))

    def _attention(self, x: Tensor) -> Tensor:
        q, k, v = (
            matrix(x).unflatten(-1, (-1, self.config.head_dim)).transpose(1, 2)
            for matrix in (self.wq, self.wk, self.wv)
        )
        # For so few positions, matrix products are faster than PyTorch's attention.
        shared = self.config.heads // self.config.kv_heads
        k, v = (x.repeat_interleave(shared, 1) if shared > 1 else x for x in (k, v))
        scores = self.rope.rotated(q * self.config.head_dim**-0.5) @ self.rope.rotated(k).mT
        later = torch.full(scores.shape[-2:], -torch.inf).triu(1)
        heads = (scores + later).softmax(-1) @ v
        return self.wo(heads.transpose(1, 2).flatten(-2))


class Llama(nn.Module):
    """The whole model; the classifier is the embedding."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Parameter(
            torch.randn(config.vocab_size, config.dim) * INITIAL_DEVIATION
        )
        rope = Rope.of(config)
        self.layers = nn.ModuleList(Layer(config, rope) for _ in range(config.layers))
        self.final_norm = nn.Parameter(torch.ones(config.dim))

    def forward(self, tokens: Tensor) -> Tensor:
        """Returns logits [batch, positions, vocab] after each of `tokens` [batch, positions]."""
        x = self.embedding[tokens]
        for layer in self.layers:
            x = layer(x)
        return _normalized(x, self.final_norm, self.config) @ self.embedding.T

    def checkpoint(self) -> Checkpoint:
        """Returns the weights in the host's form."""

        def array(tensor: Tensor) -> np.ndarray:
            return tensor.detach().numpy().astype(np.float32)

        def stacked(name: str) -> np.ndarray:
            parts = (getattr(layer, name) for layer in self.layers)
            return np.stack(
                [array(part.weight if isinstance(part, nn.Linear) else part) for part in parts]
            )

        names = ("attention_norm", "wq", "wk", "wv", "wo", "ffn_norm", "w1", "w2", "w3")
        embedding = array(self.embedding)
        return Checkpoint(
            config=self.config,
            embedding=embedding,
            final_norm=array(self.final_norm),
            classifier=embedding,
            **{name: stacked(name) for name in names},
        )


def _linear(inputs: int, outputs: int, residual_sums: int = 1) -> nn.Linear:
    """Returns a matrix; residual_sums: how many matrices add to the residual stream if this one
    does, which makes its initial values smaller."""
    linear = nn.Linear(inputs, outputs, bias=False)
    nn.init.normal_(linear.weight, std=INITIAL_DEVIATION * residual_sums**-0.5)
    return linear


def _normalized(x: Tensor, weight: Tensor, config: Config) -> Tensor:
    return functional.rms_norm(x, weight.shape, weight, config.norm_eps)
