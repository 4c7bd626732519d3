"""What an architecture is: how its files name things, and which of its models can run here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Protocol, TypeVar

from host.model.architectures.config_json import ConfigJson
from host.model.checkpoint import Config, FloatArray

T = TypeVar("T")
Weights = dict[str, FloatArray]


class Metadata(Protocol):
    """The metadata of a GGUF file."""

    def get(self, key: str, kind: type[T], default: T | None = None) -> T:
        """The value of `key`, or `default` where there is none.

        Raises ModelError for a value of another type, and for none without a default.
        """


class Architecture(ABC):
    """One family of models in the files of Hugging Face and of llama.cpp.

    Its methods take what a file says and give what `Config` and `Checkpoint` hold. Whatever a
    model of the family may have and the arithmetic here has not must be refused, with ModelError:
    a model that loads computes what its authors meant.
    """

    name: ClassVar[str]  # for people
    model_type: ClassVar[str]  # of config.json
    model_class: ClassVar[str]  # of config.json's "architectures"
    gguf_name: ClassVar[str | None]  # general.architecture; None where llama.cpp has no own

    @abstractmethod
    def read_config(self, fields: ConfigJson) -> Config:
        """Returns the dimensions that config.json gives. Raises ModelError."""

    @abstractmethod
    def read_metadata(self, metadata: Metadata, vocab_size: int) -> Config:
        """Returns the dimensions that a GGUF file's metadata give. Raises ModelError."""

    @abstractmethod
    def huggingface_names(self) -> dict[str, str]:
        """Returns for each weight of `weight_shapes` its tensor in safetensors files, {layer}
        standing for the layer's number."""

    @abstractmethod
    def gguf_names(self) -> dict[str, str]:
        """Returns the same for GGUF files."""

    @abstractmethod
    def arrange_huggingface(self, weights: Weights, config: Config) -> Weights:
        """Returns the weights of safetensors files in the order that `Checkpoint` has."""

    @abstractmethod
    def arrange_gguf(self, weights: Weights, config: Config) -> Weights:
        """Returns the weights of a GGUF file in the order that `Checkpoint` has."""


def pair_rows(weight: FloatArray, heads: int) -> FloatArray:
    """Brings rows [layers, heads * head size, dim] from a rope that turns element i of a head with
    element i + head size / 2 to the order of `Checkpoint`, where the two stand side by side."""
    layers, rows, columns = weight.shape
    halves = weight.reshape(layers, heads, 2, rows // heads // 2, columns)
    return halves.swapaxes(2, 3).reshape(weight.shape)
