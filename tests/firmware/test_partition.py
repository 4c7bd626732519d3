"""Partitions whose content is not the shard that a chip expects: it says what is wrong."""

from firmware.compute.shard import ShardError
from tests.dual import raises
from tests.firmware.flash_chips import MemoryPartition, has_partitions, settings_of
from tests.firmware.shards import Part, file_of
from tests.firmware.tiny import TinyModel
from tests.protocol.noise import below, flipped


def refusal(content, settings=None):
    """What chip 0 says of a partition with these bytes."""
    module = has_partitions(MemoryPartition(content))
    settings = settings or settings_of(content)
    return str(raises(ShardError, module.load_blocks, settings, 0))


def test_a_damaged_partition_is_refused():
    model = TinyModel(seed=6)
    content = file_of(model, Part(model), block=64)
    settings = settings_of(content)
    for _ in range(20):
        message = refusal(flipped(content, below(8 * len(content))), settings)
        assert "the partition weights" in message and "flash" in message


def test_a_partition_that_is_written_in_part_is_refused():
    model, before = TinyModel(seed=6), TinyModel(seed=7)
    content = file_of(model, Part(model), block=64)
    old = file_of(before, Part(before), block=64)
    settings = settings_of(content)
    for written in (0, 1, 100, 4096, len(content) // 2, len(content) - 1):
        # Flashing writes from the beginning, and what it has not come to is erased, or as before.
        for rest in (b"\xff" * len(content), old + bytes(len(content))):
            message = refusal(content[:written] + rest[written : len(content)], settings)
            assert "interrupted" in message and "flash this chip again" in message


def test_another_shard_in_the_partition_is_refused():
    model, other = TinyModel(seed=6), TinyModel(seed=6)
    other.logit_exponent += 1  # which takes as many bytes
    content, before = [file_of(each, Part(each), block=64) for each in (model, other)]
    assert len(content) == len(before)
    assert "another plan" in refusal(before, settings_of(content))
    of_other_chip = file_of(model, Part(model, 1, 2), block=64)
    message = refusal(of_other_chip)
    assert "chip 1's, this is chip 0" in message


def test_a_partition_that_is_not_there_or_too_small_is_refused():
    model = TinyModel(seed=6)
    content = file_of(model, Part(model), block=64)
    settings = settings_of(content)
    assert "the partition weights: it has 4096 bytes" in refusal(content[:4096], settings)
    settings["label"] = "nowhere"
    assert "there is no such partition" in refusal(content, settings)
