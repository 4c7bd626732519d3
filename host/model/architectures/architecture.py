"""The interface of architectures: how their files name things, and which models can run here."""

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
        """Returns the value of `key`, or `default` if there is none.

        Raises ModelError for a value of another type, and for a missing one without a default.
        """


class Architecture(ABC):
    """One family of models in the files of Hugging Face and of llama.cpp.

    Its methods translate the content of a file to that of `Config` and `Checkpoint`. Features that
    a model of the family may have but this program does not compute must be refused with
    ModelError, so that a model that loads computes what its authors meant.
    """

    name: ClassVar[str]  # for people
    model_type: ClassVar[str]  # of config.json
    model_class: ClassVar[str]  # of config.json's "architectures"
    gguf_name: ClassVar[str | None]  # general.architecture; None if llama.cpp has no own

    @abstractmethod
    def read_config(self, fields: ConfigJson) -> Config:
        """Returns the dimensions that config.json gives. Raises ModelError."""

    @abstractmethod
    def read_metadata(self, metadata: Metadata, vocab_size: int) -> Config:
        """Returns the dimensions that a GGUF file's metadata give. Raises ModelError."""

    @abstractmethod
    def huggingface_names(self) -> dict[str, str]:
        """Returns for each weight of `weight_shapes` the name of its tensor in safetensors files,
        with {layer} in place of the layer's number."""

    @abstractmethod
    def gguf_names(self) -> dict[str, str]:
        """Returns the same for GGUF files."""

    @abstractmethod
    def arrange_huggingface(self, weights: Weights, config: Config) -> Weights:
        """Returns the weights of safetensors files in the order of `Checkpoint`."""

    @abstractmethod
    def arrange_gguf(self, weights: Weights, config: Config) -> Weights:
        """Returns the weights of a GGUF file in the order of `Checkpoint`."""


def pair_rows(weight: FloatArray, heads: int) -> FloatArray:
    """Reorders rows [layers, heads * head size, dim] of a model whose rope pairs element i of a
    head with element i + head size / 2, to the order of `Checkpoint`, where pairs are adjacent."""
    layers, rows, columns = weight.shape
    halves = weight.reshape(layers, heads, 2, rows // heads // 2, columns)
    return halves.swapaxes(2, 3).reshape(weight.shape)
