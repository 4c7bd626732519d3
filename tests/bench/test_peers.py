"""Other ways to run the same checkpoint."""

from bench import peers
from bench.results import Label
from tests.host.tiny import random_checkpoint


def test_rings_send_twice_all_but_one_copies() -> None:
    checkpoint = random_checkpoint()
    rows = {(row.name, row.shape): row.value for row in peers.all_reduces(checkpoint.config, "m")}
    tensors = 2 * checkpoint.config.layers * checkpoint.config.dim  # elements summed in a token
    assert rows["peer: float32 ring all-reduce", "m 5 chips"] == 2 * 4 * 4 * tensors
    assert rows["peer: 8-bit ring all-reduce", "m 2 chips"] == 2 * tensors


def test_the_float_model_is_timed() -> None:
    row = peers.float_speed(random_checkpoint(), 3, "m")
    assert row.value > 0 and row.label == Label.MEASURED
