"""SmolLM2-135M-Instruct for tests, quantized once for all of them.

Needs the model: `python -m host.model get smollm2-135m-instruct`.
"""

import pytest

from host.model import cache, loading
from host.model.__main__ import main
from host.model.known_models import KNOWN_MODELS
from host.model.loading import LoadedModel
from host.paths import cache_folder

MODEL = KNOWN_MODELS["smollm2-135m-instruct"].path
QUESTIONS = (
    "What is the capital of France?",
    "Write two sentences about the sea.",
    "How do I boil an egg?",
)


def skip_without_model() -> None:
    if not MODEL.exists():
        pytest.skip(f"no {MODEL.name}: python -m host.model get {MODEL.stem} fetches it")


def load_with_groups() -> LoadedModel:
    """With weights in the groups of the file: quantized, at the first time in minutes, by the
    command that users give, then from the cache."""
    path = cache_folder("models") / f"{MODEL.stem}-groups-{cache.quantizer_digest()[:16]}.model"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        assert main(["quantize", str(MODEL), "-o", str(path), "--weights", "groups"]) == 0
    found = loading.load_model(path)
    assert len(found.quantize().config.grouped) == 7
    drops = [layer.down_drop for layer in found.quantize().layers]
    assert drops.count(None) == len(drops) - 1
    return found
