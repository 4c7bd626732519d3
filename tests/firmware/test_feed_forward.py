"""A chip's feed-forward units against the plain statement of them, to the bit."""

from firmware.compute.feed_forward import FeedForward
from firmware.compute.workspace import Workspace, int32s
from tests.firmware.shards import Part, kernels_of, weights_of
from tests.firmware.tiny import TinyModel


def partials(model, part, inputs):
    """[layer][input]: the partial sums of a chip."""
    weights = weights_of(model, part)
    workspace = Workspace(weights.layout)
    feed_forward = FeedForward(weights, workspace, kernels_of(model))
    out, found = int32s(model.dim), []
    for layer in weights.layers:
        found.append([])
        for x in inputs:
            for i, value in enumerate(x):
                workspace.x[i] = value
            feed_forward.run(layer, out)
            found[-1].append(list(out))
    return found


def check(model, chips):
    inputs = model.activations(4)
    for chip in range(chips):
        part = Part(model, chip, chips)
        for index, results in enumerate(partials(model, part, inputs)):
            for x, result in zip(inputs, results):
                assert result == model.feed_forward(index, x, part.units)


def test_units_on_one_to_four_chips():
    for chips in (1, 2, 3, 4):
        check(TinyModel(seed=chips, heads=4, kv_heads=4), chips)


def test_one_unit_and_more_units_than_a_block_takes():
    check(TinyModel(seed=5, units=1), 1)
    check(TinyModel(seed=6, units=40), 1)


def test_units_add_up():
    model = TinyModel(seed=7)
    x = model.activations()[0]
    parts = [Part(model, chip, 2) for chip in (0, 1)]
    one, other = [partials(model, part, [x])[1][0] for part in parts]
    assert [a + b for a, b in zip(one, other)] == model.feed_forward(1, x, range(model.units))
