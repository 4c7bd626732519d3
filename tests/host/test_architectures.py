"""The registry of architectures, and what every one of them must say."""

import pytest

from host.errors import ModelError
from host.model.architectures import ARCHITECTURES, find_by_config, find_by_gguf_name
from host.model.architectures.architecture import Architecture
from host.model.architectures.config_json import ConfigJson
from host.model.checkpoint import weight_shapes
from tests.host.tiny import NORMED_HEADS, TINY

NAMES = [architecture.name for architecture in ARCHITECTURES]


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=NAMES)
def test_each_is_found_by_its_names_and_names_every_weight(architecture: Architecture) -> None:
    fields = {
        "model_type": architecture.model_type,
        "architectures": [architecture.model_class],
    }
    assert find_by_config(ConfigJson(fields)) is architecture
    assert find_by_config(ConfigJson({"model_type": architecture.model_type})) is architecture
    if architecture.gguf_name is not None:
        assert find_by_gguf_name(architecture.gguf_name) is architecture
    for names in (architecture.huggingface_names(), architecture.gguf_names()):
        config = NORMED_HEADS if "q_norm" in names else TINY
        assert names.keys() == weight_shapes(config).keys()
        assert len(set(names.values())) == len(names)


def test_others_are_named_with_what_is_supported() -> None:
    with pytest.raises(ModelError) as caught:
        find_by_gguf_name("mamba")
    *most, last = NAMES
    supported = f"{', '.join(most)} and {last} are"
    assert str(caught.value) == f"architecture mamba is not supported: {supported}"
    with pytest.raises(ModelError, match=f"^no architecture is named: {supported} supported$"):
        find_by_config(ConfigJson({"architectures": []}))
    with pytest.raises(ModelError, match=r"^architecture \[1\] is not supported"):
        find_by_config(ConfigJson({"model_type": [1]}))
