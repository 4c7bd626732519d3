"""What plans ask of a model, known from its header: whether chips could run it at all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from host.model.arithmetic import INT16_LIMIT
from host.model.checkpoint import Config, FloatArray
from host.model.quantization.scales import Rows

# Of any row that is not all zeros the largest weight is 127, and the largest input INT16_LIMIT.
LEAST_BITS = (127 * INT16_LIMIT).bit_length() + 1


class Divisible(Protocol):
    """A quantized model, or the outline of one."""

    @property
    def config(self) -> Config:
        """The model's dimensions."""

    @property
    def accumulator_bits(self) -> int:
        """Bits of the widest partial sum that a chip can send."""


@dataclass(frozen=True)
class Outline:
    """A model of which the header was read. accumulator_bits: the model's own are no fewer, so
    that what does not fit by these never will."""

    config: Config
    accumulator_bits: int = LEAST_BITS


def count_bits(matrices: Iterable[FloatArray]) -> int:
    """Bits of the widest sum that these matrices, [rows, columns], can lead to: a lower bound for
    the model that they are a part of."""
    found = LEAST_BITS
    for matrix in matrices:
        rows = Rows(matrix)
        found = max(found, (rows.largest_norm * rows.input_limit()).bit_length() + 1)
    return found
