"""Limits of kernels and messages, which no number of chips and no size of heaps can exceed."""

from __future__ import annotations

from host.errors import ModelError
from host.model.checkpoint import WIDEST, Config

MAX_HEAD_SIZE = WIDEST  # for which the kernels of attention are made and tested
KERNEL_COLUMNS = 192  # of a matrix that one call takes: host/build/kernels.py
# By the fields of a request, protocol/messages.py: a layer is a u8, positions are u16.
MAX_LAYERS, MAX_CONTEXT = 256, 65_535
MAX_VOCABULARY = 262_144  # the largest in use, of Gemma 3


def check_limits(config: Config, context: int) -> None:
    """Raises ModelError for a model that chips cannot run with caches of `context` positions."""
    if config.head_dim > MAX_HEAD_SIZE:
        raise ModelError(
            f"head size {config.head_dim}: kernels are made for at most {MAX_HEAD_SIZE}"
        )
    if config.layers > MAX_LAYERS:
        raise ModelError(f"{config.layers} layers: a message names at most {MAX_LAYERS}")
    if config.vocab_size > MAX_VOCABULARY:
        raise ModelError(
            f"a vocabulary of {config.vocab_size} tokens: at most {MAX_VOCABULARY} are supported"
        )
    if context > MAX_CONTEXT:
        raise ModelError(
            f"a context of {context} positions: a message names at most {MAX_CONTEXT}, give a"
            " smaller --context"
        )
