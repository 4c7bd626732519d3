"""Heaps: what chips report within bounds, and the largest models of boards."""

from dataclasses import replace

from bench import bounds, memory
from host.hardware.boards import load
from host.model.checkpoint import Config


def test_no_chip_has_more_in_use_than_its_bound() -> None:
    assert bounds.exceeded(bounds.heap_figures(), bounds.stored("heap")) == []


def test_more_heap_holds_a_larger_model() -> None:
    board = load("esp32c3")
    small, large = (memory.largest(replace(board, ram_kb=size)) for size in (160, 400))
    assert small is not None and large is not None
    assert small[0].dim < large[0].dim and small[1] < large[1]
    assert memory.largest(replace(board, ram_kb=60)) is None


def test_the_next_larger_model_does_not_fit() -> None:
    board = load("esp32s3")
    found = memory.largest(board)
    assert found is not None
    assert memory._holds(memory.of_family(found[0].dim), board)
    assert not memory._holds(memory.of_family(found[0].dim + 16), board)


def test_parameters_are_those_of_the_checkpoint() -> None:
    stories = Config(
        dim=64, hidden_dim=172, layers=5, heads=8, kv_heads=4, vocab_size=512, context=512
    )
    assert memory.parameters(stories) == 260_032  # and norms and embedding are all of the rest
