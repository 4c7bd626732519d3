"""Training steps, and that what PyTorch computes is what the host computes."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from host.model.checkpoint import Config
from host.model.float_model import FloatModel
from host.model.formats import llama2c
from host.model.tokenizers.bpe import BpeTokenizer
from host.paths import HOME_TOKENIZER
from training import bpe, train
from training.batches import Batch, batches
from training.model import CONFIG, Llama
from training.train import Training, exported


@pytest.fixture(scope="module")
def samples() -> list[Batch]:
    encoder = bpe.Encoder(BpeTokenizer.load(HOME_TOKENIZER, bpe.VOCABULARY))
    drawn = (Batch(*(part[:16] for part in batch)) for batch in batches(encoder, 0))
    return [next(drawn) for _ in range(5)]


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_logits_are_the_hosts(kv_heads: int) -> None:
    torch.manual_seed(1)
    model = Llama(Config(16, 20, 3, 4, kv_heads, 40, 12))
    for norm in (p for p in model.parameters() if p.ndim == 1):
        torch.nn.init.uniform_(norm, 0.5, 2)
    tokens = torch.randint(40, (3, 12))
    with torch.no_grad():
        logits = model(tokens).numpy()
    expected = FloatModel(model.checkpoint()).logits(tokens.numpy())
    np.testing.assert_allclose(logits, expected, atol=1e-5)


def test_an_exported_model_loads_as_it_was(samples: list[Batch], tmp_path: Path) -> None:
    checkpoint = exported(Training(3, "data").model, samples[0])
    llama2c.save(checkpoint, tmp_path / "model.bin")
    loaded = llama2c.load(tmp_path / "model.bin")
    assert loaded.config == CONFIG and loaded.shared_classifier
    np.testing.assert_array_equal(loaded.w2, checkpoint.w2)


def test_an_export_that_computes_something_else_is_refused(samples: list[Batch]) -> None:
    model = Training(3, "data").model
    model.layers[0].rope.turns.zero_()
    with pytest.raises(ValueError, match="the host's logits differ from PyTorch's by"):
        exported(model, samples[0])


def test_learning_lowers_the_loss(samples: list[Batch]) -> None:
    training = Training(60, "data")
    losses = [training.learn(samples[0]) for _ in range(60)]
    assert losses[0] > 5 > 3 > losses[-1]


def test_a_training_that_was_broken_off_goes_on_as_if_it_was_not(
    samples: list[Batch], tmp_path: Path
) -> None:
    whole, begun = Training(5, "data"), Training(5, "data")
    losses = [whole.learn(batch) for batch in samples]
    for batch in samples[:3]:
        begun.learn(batch)
    begun.save(tmp_path / "state" / "state.pt")
    resumed = Training(5, "data")
    assert resumed.restore(tmp_path / "state" / "state.pt")
    assert resumed.step == 3
    again = [resumed.learn(batch) for batch in samples[3:]]
    assert again == pytest.approx(losses[3:], rel=1e-5)


def test_a_run_that_is_killed_loses_what_was_not_kept_and_ends_alike(
    samples: list[Batch], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in its fourth step, of which every second was kept, it goes on from the third."""
    monkeypatch.setattr(train, "SAVED_EVERY", 2)
    given: list[int] = []

    def drawn(killed_at: int) -> Callable[..., Iterator[Batch]]:
        def batches(_: bpe.Encoder, first: int, unseen: frozenset[str]) -> Iterator[Batch]:
            for number in range(first, len(samples)):
                if number == killed_at:
                    raise KeyboardInterrupt
                given.append(number)
                yield samples[number]

        return batches

    def trained(state: Path, killed_at: int) -> Training:
        monkeypatch.setattr(train, "batches", drawn(killed_at))
        training = Training(5, "data")
        training.restore(state)
        train.run(training, bpe.Encoder(tokenizer), state, Console(quiet=True), frozenset())
        return training

    tokenizer = BpeTokenizer.load(HOME_TOKENIZER, bpe.VOCABULARY)
    whole = trained(tmp_path / "whole.pt", -1)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "killed.pt", 3)
    given.clear()
    resumed = trained(tmp_path / "killed.pt", -1)
    assert given == [2, 3, 4] and resumed.step == 5
    for one, other in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("steps", "data"), [(6, "data"), (5, "other data")])
def test_the_state_of_another_training_is_not_taken(tmp_path: Path, steps: int, data: str) -> None:
    Training(5, "data").save(tmp_path / "state.pt")
    assert not Training(steps, data).restore(tmp_path / "state.pt")
    assert not Training(5, "data").restore(tmp_path / "none.pt")
