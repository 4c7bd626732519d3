"""An embedding table with its rows divided among workers (Shoeybi et al., Megatron-LM, 2019)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from host.parallel.sharding import Array, WeightSlice, merge_shards


class ParallelEmbedding:
    """Rows of a table [size, dim], divided among workers.

    shards: each worker's, cut along dimension 0. Raises ParallelError if they do not make up a
    table.
    """

    def __init__(self, shards: Sequence[WeightSlice[Array]]) -> None:
        merge_shards(shards, 0)
        self.shards, self.size = shards, shards[0].size
        self._owner, self._place = np.empty((2, self.size), np.intp)
        for worker, shard in enumerate(shards):
            self._owner[shard.indices] = worker
            self._place[shard.indices] = np.arange(len(shard.indices))

    def owner(self, index: int) -> int:
        """Returns the worker that holds row `index`. Raises IndexError if there is none."""
        return int(self._owner[self._checked(index)])

    def __call__(self, indices: ArrayLike) -> Array:
        """Returns rows [..., dim] for indices [...]. Raises IndexError for one that is out of
        range."""
        wanted = self._checked(indices)
        first = self.shards[0].weight
        rows = np.empty((*wanted.shape, *first.shape[1:]), first.dtype)
        for worker, shard in enumerate(self.shards):
            own = self._owner[wanted] == worker
            rows[own] = shard.weight[self._place[wanted[own]]]
        return rows

    def _checked(self, indices: ArrayLike) -> NDArray[np.intp]:
        wanted = np.asarray(indices)
        if wanted.size and not 0 <= wanted.min() <= wanted.max() < self.size:
            wrong = wanted.min() if wanted.min() < 0 else wanted.max()
            raise IndexError(f"index {wrong} is not one of 0 to {self.size - 1}")
        return wanted.astype(np.intp)
