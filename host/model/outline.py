"""What planning needs to know of a model, from its header alone: whether chips could run it at
all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Protocol

from host.model.arithmetic import INT16_LIMIT
from host.model.checkpoint import Config, FloatArray, check_weight
from host.model.quantization.scales import Rows

# In any row that is not all zeros the largest weight is 127; the largest input is INT16_LIMIT.
LEAST_BITS = (127 * INT16_LIMIT).bit_length() + 1
MOST_BITS = 32  # of a chip's accumulators


class Divisible(Protocol):
    """A quantized model, or the outline of one."""

    @property
    def config(self) -> Config:
        """The model's dimensions."""

    @property
    def accumulator_bits(self) -> int:
        """The bits of the widest partial sum that a chip can send."""


@dataclass(frozen=True)
class Outline:
    """A model of which only the header was read. accumulator_bits: a lower bound of the model's
    own, so that a model that does not fit with it never fits."""

    config: Config
    accumulator_bits: int = LEAST_BITS


def widen(model: Divisible) -> Divisible:
    """Returns the model or, for an outline, one whose sums are as wide as any model's: where that
    has room, so has the model itself."""
    return replace(model, accumulator_bits=MOST_BITS) if isinstance(model, Outline) else model


def count_bits(matrices: Iterable[tuple[str, FloatArray]]) -> int:
    """Returns the bits of the widest sum that these matrices [rows, columns], each with its name,
    can have: a lower bound for their model. Raises ModelError for one that is not finite."""
    found = LEAST_BITS
    for name, matrix in matrices:
        check_weight(name, matrix, matrix.shape)
        rows = Rows(matrix)
        found = max(found, (rows.largest_norm * rows.input_limit()).bit_length() + 1)
    return found
