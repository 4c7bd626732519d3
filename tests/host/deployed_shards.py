"""A plan's shard files read back into the parallel layers that its chips make up together."""

import numpy as np

from host.build.shard import shard_file
from host.model.arithmetic import Rescale
from host.model.quantized import Linear
from host.parallel.layers import ColumnParallelLinear, RowParallelLinear
from host.parallel.sharded_model import ShardedLayer, ShardedModel
from host.parallel.sharding import WeightSlice
from tests.host.shard_reader import ShardReader, head_rows


def deployed(model, plan):
    """A ShardedModel whose every weight and row multiplier comes from the files."""
    files = [list(_shards(model, plan, shard)) for shard in plan.shards]
    *blocks, vocabulary = zip(*files, strict=True)
    layers = [ShardedLayer(**_parallel(block)) for block in blocks]
    classifier = [parts["classifier"] for parts in vocabulary]
    return ShardedModel(model, plan, layers, ColumnParallelLinear(classifier, gather_output=False))


def _parallel(block):
    """The layers whose shards each chip's dictionary in `block` names."""
    columns = {
        name: ColumnParallelLinear([parts[name] for parts in block], gather_output=False)
        for name in ("q", "k", "v", "gate", "up")
    }
    rows = {name: RowParallelLinear([parts[name] for parts in block]) for name in ("o", "down")}
    return columns | rows


def _shards(model, plan, shard):
    """Each layer's shards by name, then the classifier's, from the file of this share."""
    config = model.config
    file = ShardReader(shard_file(model, plan, shard))
    file.u16(512), file.u16(1024)  # tables
    for layer in model.layers:
        yield _layer_shards(file, config, layer, shard)
    file.begin()
    rescale = Rescale(file.u16(len(shard.rows)), model.classifier.rescale.shift)
    file.fill(file.header["columns"])
    rows = file.matrix(len(shard.rows), config.dim, 10)
    yield {"classifier": _shard(rows, rescale, 0, shard.rows, config.vocab_size)}


def _layer_shards(file, config, layer, shard):
    file.begin()
    q, kv = (head_rows(heads, config.head_dim) for heads in (shard.heads, shard.kv_heads))
    owned = {"q": q, "k": kv, "v": kv, "gate": shard.units, "up": shard.units}
    rescales = {
        name: Rescale(file.u16(len(own)), getattr(layer, name).rescale.shift)
        for name, own in owned.items()
    }
    file.fill(file.header["columns"])
    stacked = file.matrix(len(q) + 2 * len(kv), config.dim, 5)
    rows = dict(zip("qkv", np.split(stacked, [len(q), len(q) + len(kv)]), strict=True))
    o = file.matrix(config.dim, len(q), 6)
    rows["gate"], rows["up"] = np.split(file.matrix(2 * len(shard.units), config.dim, 7), 2)
    down = file.matrix(config.dim, len(shard.units), 8)
    file.fill(4)
    shards = {
        name: _shard(rows[name], rescales[name], 0, own, len(getattr(layer, name).weight))
        for name, own in owned.items()
    }
    shards["o"] = _shard(o, layer.o.rescale, 1, q, config.q_dim)
    shards["down"] = _shard(down, layer.down.rescale, 1, shard.units, config.hidden_dim)
    return shards


def _shard(weight, rescale, dim, own, size):
    return WeightSlice(
        Linear(weight.astype(np.int8), rescale), dim, np.asarray(own, np.intp), size
    )
