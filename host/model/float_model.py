"""The forward pass in float64: what quantized arithmetic is measured against.

The same computation as llama2.c's run.c: RMSNorm, rope on adjacent pairs, attention with
grouped queries, SwiGLU; and where a model has them, norms of each head's query and key. Everything
is batched: hidden states are [batch, positions, dim].
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from host.errors import ModelError
from host.model.checkpoint import Config
from host.model.float_weights import FloatWeights
from host.model.ranges import Ranges
from host.model.sampling import softmax

Array = npt.NDArray[np.float64]
Tokens = npt.NDArray[np.integer[Any]]
# Called with the site, the layer (-1 outside the layers) and the values there.
Observer = Callable[[str, int, Array], None]

# Largest temporary of a batch, in elements (64 MB), so that calibration of a large model with a
# large vocabulary is split rather than running out of memory.
BATCH_ELEMENTS = 1 << 23
# Bytes of layers that are kept in float64. The others are read again for each pass, from a file
# that is larger than most computers' memory anyway.
_KEPT = 3 << 29
_LARGE = 1 << 17  # elements of a matrix that does not stay in a processor's cache


class KVCache:
    """Keys (after rope) and values of `batch` sequences of up to `positions` positions."""

    def __init__(self, config: Config, batch: int, positions: int) -> None:
        shape = (config.layers, batch, config.kv_heads, positions, config.head_dim)
        self.keys = np.zeros(shape)
        self.values = np.zeros(shape)
        self.filled = 0  # positions that hold keys and values


Layer = Mapping[str, Array]


class FloatModel:
    """A model that computes in float64, with no more of its weights in memory than necessary."""

    def __init__(self, weights: FloatWeights, kept: int = _KEPT) -> None:
        """kept: bytes of layers that stay in memory; the others are read for each pass."""
        self.config = config = weights.config
        self._weights, self._room = weights, kept
        self._layers: dict[int, Layer] = {}
        # Transposed and doubled once, so that each use is a plain product.
        classifier = weights.classifier.astype(np.float64)
        self._embedding = classifier if weights.shared_classifier else weights.embedding
        self._classifier = classifier.T
        self._final_norm = weights.final_norm.astype(np.float64)
        pairs = np.arange(0, config.head_dim, 2)
        angles = np.outer(
            np.arange(config.context), config.rope_theta ** (-pairs / config.head_dim)
        )
        self._rotations = np.exp(1j * angles)  # [context, head size / 2]

    def logits(self, tokens: npt.ArrayLike) -> Array:
        """Runs `tokens` [positions] or [batch, positions]; returns logits [..., positions, vocab].

        Raises ModelError for more positions than the model's context.
        """
        array = np.asarray(tokens)
        batch = np.atleast_2d(array)
        logits = self._forward(batch, self.new_cache(*batch.shape))
        return logits.reshape(*array.shape, self.config.vocab_size)

    def new_cache(self, batch: int = 1, positions: int | None = None) -> KVCache:
        """Returns an empty KV cache, by default for the model's whole context.

        Raises ModelError for more positions than the context.
        """
        positions = self.config.context if positions is None else positions
        if positions > self.config.context:
            raise ModelError(
                f"{positions} positions do not fit the model's context of {self.config.context}"
            )
        return KVCache(self.config, batch, positions)

    def step(self, tokens: npt.ArrayLike, cache: KVCache) -> Array:
        """Runs one more token of each sequence of `cache`; returns logits [batch, vocab].

        Raises ModelError if the cache is full.
        """
        return self._forward(np.asarray(tokens).reshape(-1, 1), cache)[:, 0]

    def measure_ranges(
        self,
        sequences: Iterable[npt.ArrayLike],
        advance: Callable[[], object] = lambda: None,
        watch: Observer | None = None,
    ) -> Ranges:
        """Measures the largest magnitude at every site over all positions of `sequences`.

        It goes layer by layer, so that each is read only once. advance: called after each layer;
        watch: observes the same values.
        """
        ranges = Ranges(self.config.layers)

        def observe(site: str, layer: int, values: Array) -> None:
            ranges.observe(site, layer, values)
            if watch:
                watch(site, layer, values)

        batches = list(self._batches([np.asarray(sequence) for sequence in sequences]))
        streams = [self._embed(batch) for batch in batches]
        for x in streams:
            observe("residual", -1, x)
        for index in range(self.config.layers):
            layer = self._layer(index)
            for place, x in enumerate(streams):
                shape = (len(x), self.config.kv_heads, x.shape[1], self.config.head_dim)
                cache = np.zeros(shape), np.zeros(shape)
                streams[place] = self._run_layer(index, layer, x, cache, 0, observe)
            advance()
        for x in streams:
            self._classify(x, observe)
        return ranges

    def _batches(self, sequences: Sequence[Tokens]) -> Iterable[Tokens]:
        """Stacks sequences of equal length [batch, positions], in batches of bounded size."""
        by_length: dict[int, list[Tokens]] = defaultdict(list)
        for sequence in sequences:
            by_length[len(sequence)].append(sequence)
        for length, group in by_length.items():
            widest = max(self.config.vocab_size, self.config.heads * length)
            size = max(1, BATCH_ELEMENTS // (length * widest))
            for start in range(0, len(group), size):
                yield np.stack(group[start : start + size])

    def _forward(self, tokens: Tokens, cache: KVCache, observe: Observer | None = None) -> Array:
        """Returns logits [batch, positions, vocab] for `tokens` that follow what `cache` holds."""
        observe = observe or _ignore
        if cache.filled + tokens.shape[1] > cache.keys.shape[3]:
            raise ModelError(f"the KV cache of {cache.keys.shape[3]} positions is full")
        x = self._embed(tokens)
        observe("residual", -1, x)
        for index in range(self.config.layers):
            stored = cache.keys[index], cache.values[index]
            x = self._run_layer(index, self._layer(index), x, stored, cache.filled, observe)
        cache.filled += tokens.shape[1]
        return self._classify(x, observe)

    def _embed(self, tokens: Tokens) -> Array:
        return self._embedding[tokens].astype(np.float64)

    def _classify(self, x: Array, observe: Observer) -> Array:
        normed = self._normalize(x, self._final_norm)
        observe("final", -1, normed)
        logits = _times(normed, self._classifier)
        observe("logits", -1, logits)
        return logits

    def _layer(self, index: int) -> Layer:
        """Returns a layer's weights in float64, matrices transposed."""
        if index in self._layers:
            return self._layers[index]
        layer = {
            name: weight.astype(np.float64).T
            for name, weight in self._weights.layer(index).items()
        }
        size = sum(weight.nbytes for weight in layer.values())
        if size <= self._room:
            self._room -= size
            self._layers[index] = layer
        return layer

    def _run_layer(
        self,
        index: int,
        layer: Layer,
        x: Array,
        cache: tuple[Array, Array],
        start: int,
        observe: Observer,
    ) -> Array:
        """Returns the residual stream after a layer; cache: its keys and values, filled up to
        `start`."""
        x = x + self._attention(index, layer, x, cache, start, observe)
        observe("residual", -1, x)
        x = x + self._feed_forward(index, layer, x, observe)
        observe("residual", -1, x)
        return x

    def _attention(
        self,
        index: int,
        layer: Layer,
        x: Array,
        cache: tuple[Array, Array],
        start: int,
        observe: Observer,
    ) -> Array:
        """Returns what the attention of `layer` adds to the residual stream `x`."""
        config = self.config
        normed = self._normalize(x, layer["attention_norm"])
        observe("attention_input", index, normed)
        query = self._split_heads(_times(normed, layer["wq"]), config.heads)
        key = self._split_heads(_times(normed, layer["wk"]), config.kv_heads)
        value = self._split_heads(_times(normed, layer["wv"]), config.kv_heads)
        for site, values in (("q", query), ("k", key), ("v", value)):
            observe(site, index, values)
        if config.qk_norm:
            query = self._normalize(query, layer["q_norm"])
            key = self._normalize(key, layer["k_norm"])
            observe("rotated_q", index, query)
            observe("rotated_k", index, key)
        end = start + x.shape[1]
        query, key = self._rotate(query, start), self._rotate(key, start)
        observe("rotated_q", index, query)
        observe("rotated_k", index, key)
        keys, values = cache
        keys[:, :, start:end], values[:, :, start:end] = key, value
        heads = self._attend(query, keys[:, :, :end], values[:, :, :end])
        observe("attention_output", index, heads)
        return _times(heads, layer["wo"])

    def _attend(self, query: Array, keys: Array, values: Array) -> Array:
        """Returns the results of all heads [batch, positions, heads * head size].

        query [batch, heads, positions, head size]; keys and values [batch, KV heads, end, head
        size], where `end` is the position after the last of the queries.
        """
        batch, heads, positions, head_dim = query.shape
        end = keys.shape[2]
        # Query head h belongs to KV head h // group, so the groups lie side by side.
        grouped = query.reshape(batch, self.config.kv_heads, -1, positions, head_dim)
        scores = grouped @ keys[:, :, None].swapaxes(-1, -2) / np.sqrt(head_dim)
        future = np.arange(end) > np.arange(end - positions, end)[:, None]
        scores[..., future] = -np.inf
        attended = softmax(scores) @ values[:, :, None]
        attended = attended.reshape(batch, heads, positions, head_dim)
        return np.asarray(attended.swapaxes(1, 2).reshape(batch, positions, heads * head_dim))

    def _feed_forward(self, index: int, layer: Layer, x: Array, observe: Observer) -> Array:
        """Returns what the feed-forward network of `layer` adds to the residual stream `x`."""
        normed = self._normalize(x, layer["ffn_norm"])
        observe("ffn_input", index, normed)
        gate = _times(normed, layer["w1"])
        observe("gate", index, gate)
        up = _times(normed, layer["w3"])
        observe("up", index, up)
        with np.errstate(over="ignore"):  # divided by infinity, it is 0 as it should be
            hidden = gate / (1.0 + np.exp(-gate)) * up
        observe("hidden", index, hidden)
        return _times(hidden, layer["w2"])

    def _normalize(self, x: Array, weight: Array) -> Array:
        """Returns x / sqrt(mean(x^2) + epsilon) * weight: RMSNorm."""
        mean_square = np.mean(x * x, axis=-1, keepdims=True)
        return np.asarray(x / np.sqrt(mean_square + self.config.norm_eps) * weight)

    def _split_heads(self, x: Array, heads: int) -> Array:
        """Brings [batch, positions, heads * head size] to [batch, heads, positions, head size]."""
        return x.reshape(*x.shape[:2], heads, self.config.head_dim).swapaxes(1, 2)

    def _rotate(self, x: Array, start: int) -> Array:
        """Turns each adjacent pair, as a complex number, by its position's angle: rope."""
        pairs = np.ascontiguousarray(x).view(np.complex128)
        turned = pairs * self._rotations[start : start + x.shape[2]]
        return np.asarray(turned.view(np.float64))


def _times(x: Array, matrix: Array) -> Array:
    """Returns x [..., columns] @ matrix.

    numpy would compute a product for each element of a batch, and read the matrix again for each:
    with a large matrix they are computed as one product. With a small one that would only start
    the threads of its library.
    """
    if matrix.size < _LARGE:
        return np.asarray(x @ matrix)
    product = x.reshape(-1, x.shape[-1]) @ matrix
    return np.asarray(product.reshape(*x.shape[:-1], -1))


def perplexity(logits: Array, sequences: npt.ArrayLike) -> float:
    """Returns exp(mean negative log probability) of each next token; logits [..., positions,
    vocab]."""
    targets = np.asarray(sequences)[..., 1:].astype(np.intp)
    scores = np.asarray(logits, dtype=np.float64)[..., :-1, :]
    peak = scores.max(axis=-1)
    log_sum = peak + np.log(np.exp(scores - peak[..., None]).sum(axis=-1))
    chosen = np.take_along_axis(scores, targets[..., None], axis=-1)[..., 0]
    return float(np.exp(np.mean(log_sum - chosen)))


def _ignore(site: str, layer: int, values: Array) -> None:
    """Does nothing: the observer of a forward pass that is not observed."""
