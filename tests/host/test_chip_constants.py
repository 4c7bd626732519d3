"""Constants that hot functions of the firmware have copies of, for to look one up takes time."""

from types import ModuleType

import pytest

from firmware import node, shard
from protocol import collective, frame
from protocol import message_types as kinds
from protocol import messages as layout

COPIES = [
    (node, {"_BROADCAST": frame.BROADCAST, "_VERSION": frame.VERSION,
            "_TYPE": frame.TYPE, "_DST": frame.DST, "_LENGTH": frame.LENGTH,
            "_HEADER": frame.HEADER_SIZE, "_REQUEST": layout.REQUEST_SIZE}),
    (collective, {"_SEQUENCE": frame.SEQUENCE, "_SRC": frame.SRC, "_TYPE": frame.TYPE,
                  "_REPAIR": kinds.REPAIR}),
    (shard, {"_PARTIAL": kinds.PARTIAL, "_ATTENTION": layout.PHASE_ATTENTION,
             "_VOCABULARY": layout.PHASE_VOCABULARY, "_TYPE": frame.TYPE,
             "_HEADER": frame.HEADER_SIZE, "_REQUEST_DATA": layout.COMPUTE_DATA,
             "_ANSWER_BITS": layout.PARTIAL_BITS, "_ANSWER_DATA": layout.PARTIAL_DATA}),
]  # fmt: skip


@pytest.mark.parametrize(("module", "constants"), COPIES)
def test_copies_are_the_protocols_constants(
    module: ModuleType, constants: dict[str, int]
) -> None:
    assert {name: getattr(module, name) for name in constants} == constants
