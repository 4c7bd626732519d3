"""A model in memory: its dimensions and float weights, whatever file they came from."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from host.errors import ModelError
from host.model.groups import COLUMNS, GROUP_BYTES

FloatArray = npt.NDArray[np.float32]


DIMENSIONS = ("dim", "hidden_dim", "layers", "heads", "kv_heads", "vocab_size", "context")
# No model of this family comes near this: beyond it, the file is of another kind or damaged.
LARGEST_DIMENSION = 1 << 20
# The widest dim that norms and messages are made and tested for. It is checked before the weights
# are read, which would take gigabytes for a wider model.
WIDEST = 4096


@dataclass(frozen=True)
class Config:
    """Dimensions of a Llama model.

    The heads of one position have heads * head_dim elements, which may be more or fewer than dim.
    Raises ModelError if the dimensions contradict each other.
    """

    dim: int
    hidden_dim: int
    layers: int
    heads: int
    kv_heads: int
    vocab_size: int
    context: int  # positions the model was trained for
    rope_theta: float = 10000.0
    norm_eps: float = 1e-5
    head_dim: int = 0  # elements of one head; 0 stands for dim // heads
    qk_norm: bool = False  # whether each head's query and key pass an RMSNorm before rope
    # Whether a quantized model's KV caches hold int8 (arithmetic.narrow_rows), else int16.
    int8_kv: bool = False
    # Names of a quantized model's matrices that are in groups of four bits (groups.py), with
    # spaces between them; the others are int8.
    groups: str | None = None

    def __post_init__(self) -> None:
        for name in DIMENSIONS:
            self._check_dimension(name)
        if self.dim > WIDEST:
            raise ModelError(f"dim must be at most {WIDEST}, got {self.dim}")
        if not (0 < self.rope_theta < math.inf and 0 <= self.norm_eps < math.inf):
            raise ModelError(
                "the rope base must be positive and epsilon at least 0, got"
                f" {self.rope_theta:g} and {self.norm_eps:g}"
            )
        if self.head_dim == 0:
            if self.dim % self.heads:
                raise ModelError(f"dim {self.dim} is not divisible by {self.heads} heads")
            object.__setattr__(self, "head_dim", self.dim // self.heads)
        self._check_dimension("head_dim")
        if self.head_dim % 2:
            raise ModelError(f"head size {self.head_dim} is odd, rope needs pairs")
        if self.heads % self.kv_heads:
            raise ModelError(f"{self.heads} heads are not divisible by {self.kv_heads} KV heads")

    def _check_dimension(self, name: str) -> None:
        value = getattr(self, name)
        if not 1 <= value <= LARGEST_DIMENSION:
            raise ModelError(f"{name} must be 1 to {LARGEST_DIMENSION}, got {value}")

    @property
    def grouped(self) -> frozenset[str]:
        """The names of the matrices that are in groups."""
        return frozenset((self.groups or "").split())

    @property
    def q_dim(self) -> int:
        """The elements of all queries (or attention results) of one position in one layer."""
        return self.heads * self.head_dim

    @property
    def cache_row(self) -> int:
        """The bytes of one head's key (or value) of one position in a KV cache."""
        return self.head_dim + 1 if self.int8_kv else 2 * self.head_dim

    @property
    def kv_dim(self) -> int:
        """The elements of all keys (or values) of one position in one layer."""
        return self.kv_heads * self.head_dim

    @property
    def heads_per_kv_head(self) -> int:
        """The query heads that share a KV head: query head h uses KV head h // this."""
        return self.heads // self.kv_heads


def weight_shapes(config: Config) -> dict[str, tuple[int, ...]]:
    """Returns the shape of every weight; matrices are [rows = outputs, columns = inputs]."""
    dim, hidden, layers = config.dim, config.hidden_dim, config.layers
    gains = (layers, config.head_dim)
    return {
        "embedding": (config.vocab_size, dim),
        "attention_norm": (layers, dim),
        "wq": (layers, config.q_dim, dim),
        "wk": (layers, config.kv_dim, dim),
        "wv": (layers, config.kv_dim, dim),
        "wo": (layers, dim, config.q_dim),
        **({"q_norm": gains, "k_norm": gains} if config.qk_norm else {}),
        "ffn_norm": (layers, dim),
        "w1": (layers, hidden, dim),
        "w2": (layers, dim, hidden),
        "w3": (layers, hidden, dim),
        "final_norm": (dim,),
        "classifier": (config.vocab_size, dim),
    }


def count_parameters(config: Config) -> int:
    """Returns how many weights a model has, a classifier that shares the embedding included."""
    return sum(math.prod(shape) for shape in weight_shapes(config).values())


def layer_shapes(config: Config) -> dict[str, tuple[int, ...]]:
    """Returns the shape of every weight of one layer."""
    whole = ("embedding", "final_norm", "classifier")
    return {
        name: shape[1:] for name, shape in weight_shapes(config).items() if name not in whole
    }


def check_weight(name: str, weight: FloatArray, shape: tuple[int, ...]) -> None:
    """Raises ModelError for a wrong shape or type, and for NaN and infinite weights."""
    if weight.shape != shape:
        raise ModelError(f"{name} has shape {weight.shape}, expected {shape}")
    if weight.dtype != np.float32:
        raise ModelError(f"{name} holds {weight.dtype}, expected float32")
    if not np.isfinite(weight).all():
        raise ModelError(f"{name} holds values that are not finite numbers")


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Float32 weights of a model, shaped as `weight_shapes` says.

    Raises ModelError for a wrong shape or type, and for NaN and infinite weights.
    """

    config: Config
    embedding: FloatArray
    attention_norm: FloatArray
    wq: FloatArray
    wk: FloatArray
    wv: FloatArray
    wo: FloatArray
    ffn_norm: FloatArray
    w1: FloatArray  # gate projection
    w2: FloatArray  # down projection
    w3: FloatArray  # up projection
    final_norm: FloatArray
    classifier: FloatArray  # `embedding` itself if the two are shared
    q_norm: FloatArray | None = None  # where config.qk_norm
    k_norm: FloatArray | None = None

    def __post_init__(self) -> None:
        for name, shape in weight_shapes(self.config).items():
            check_weight(name, getattr(self, name), shape)

    def layer(self, index: int) -> Mapping[str, FloatArray]:
        """Returns the weights of a layer, by their names."""
        return {name: getattr(self, name)[index] for name in layer_shapes(self.config)}

    def digest(self) -> bytes:
        """Returns a digest that is equal for two models only if their weights are equal."""
        digest = hashlib.sha256()
        for name in weight_shapes(self.config):
            digest.update(np.ascontiguousarray(getattr(self, name)).data)
        return digest.digest()

    @property
    def shared_classifier(self) -> bool:
        """Whether the classifier is the embedding."""
        return self.classifier is self.embedding


def quantized_bytes(config: Config) -> int:
    """Returns the bytes of the matrices in int8 or in groups, and of the multipliers that
    chips keep for rows."""
    total = 0
    for name, shape in weight_shapes(config).items():
        if name.endswith("norm") or name == "embedding":
            continue  # these stay on the host
        count = math.prod(shape)
        total += count // COLUMNS * GROUP_BYTES if name in config.grouped else count
        if name not in ("wo", "w2"):  # the host rescales the sums of these
            total += 2 * math.prod(shape[:-1])
    return total
