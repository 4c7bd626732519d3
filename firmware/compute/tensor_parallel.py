"""Distributes heads to the chips of a tensor-parallel group."""


class BufferOverflow(Exception):
    """A chip's shard does not fit its memory; the text names chip, heads and bytes."""


class TPConfig:
    """A chip's place in a tensor-parallel group: chip_id, num_chips, head_dim, and the global
    indices of its query heads (`heads`) and of the KV heads that they need (`kv_heads`)."""

    def __init__(self, chip_id, num_chips, head_dim, heads, kv_heads):
        self.chip_id = chip_id
        self.num_chips = num_chips
        self.head_dim = head_dim
        self.heads = heads
        self.kv_heads = kv_heads

    @classmethod
    def distribute_heads(
        cls, chip_id, num_chips, total_heads, head_dim, kv_heads=None, by_group=False
    ):
        """Returns the TPConfig of chip `chip_id`: head h goes to chip h % num_chips.

        With grouped-query attention (fewer kv_heads than heads) whole groups are assigned: the
        query heads of one KV head together, so that no chip holds a KV head that another one
        holds. But if chips outnumber KV heads, and the busiest chip then has fewer heads, single
        heads are assigned, unless `by_group` is true. A chip may get none. Raises ValueError for a
        chip_id outside the group, and for heads that are no multiple of kv_heads.
        """
        kv_heads = total_heads if kv_heads is None else kv_heads
        if not 0 <= chip_id < num_chips:
            raise ValueError("chip %d is not one of %d" % (chip_id, num_chips))
        if total_heads < 1 or kv_heads < 1 or total_heads % kv_heads:
            raise ValueError("%d heads do not share %d KV heads" % (total_heads, kv_heads))
        group = total_heads // kv_heads
        busiest_of_groups = -(-kv_heads // num_chips) * group
        split = num_chips > kv_heads and -(-total_heads // num_chips) < busiest_of_groups
        together = 1 if split and not by_group else group
        heads = [h for h in range(total_heads) if h // together % num_chips == chip_id]
        return cls(chip_id, num_chips, head_dim, heads, sorted({h // group for h in heads}))
