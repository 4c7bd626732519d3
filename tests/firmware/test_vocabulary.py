"""A chip's rows of the classifier against the plain statement of them, to the bit."""

from firmware.compute.vocabulary import Vocabulary
from firmware.compute.workspace import Workspace
from tests.firmware.shards import Part, kernels_of, weights_of
from tests.firmware.tiny import TinyModel


def vocabulary_of(model, part):
    weights = weights_of(model, part)
    workspace = Workspace(weights.layout)
    return Vocabulary(weights, workspace, kernels_of(model)), workspace


def test_logits_of_rows_on_one_to_three_chips():
    model = TinyModel(seed=1, heads=3, kv_heads=3)
    for chips in (1, 2, 3):
        rows = []
        for chip in range(chips):
            part = Part(model, chip, chips)
            vocabulary, workspace = vocabulary_of(model, part)
            assert vocabulary.first_row == len(rows)
            assert vocabulary.exponent == model.logit_exponent
            rows.extend(part.rows)
            for x in model.activations(3):
                for i, value in enumerate(x):
                    workspace.x[i] = value
                vocabulary.run()
                assert list(vocabulary.logits) == model.logits(x, part.rows)
        assert rows == list(range(model.rows))


def test_logits_saturate_at_16_bits():
    model = TinyModel(seed=2, rows=200)
    model.classifier.shift -= 1
    vocabulary, workspace = vocabulary_of(model, Part(model))
    for i, value in enumerate(model.activations()[0]):
        workspace.x[i] = value
    vocabulary.run()
    logits = list(vocabulary.logits)
    assert min(logits) == -32767 and max(logits) == 32767
    assert len([v for v in logits if abs(v) < 32767]) > 20
