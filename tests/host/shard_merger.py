"""Merges the shards of all chips, and compares them with the model."""

import hashlib
from typing import Any

import numpy as np

from host.build.shard import shard_file
from host.model import arithmetic
from host.model.arithmetic import Gain
from host.model.quantized import Linear, QuantizedModel
from host.parallel.plan import Plan, Shard
from protocol.shard_layout import HEADER
from tests.host.shard_reader import (
    NUMBERS,
    UNKNOWN,
    ShardReader,
    head_rows,
)
from tests.plans import tensor_plan


class Merged:
    """Matrices put together from shards; every element must be given, and always the same."""

    def __init__(self, linear: Linear) -> None:
        self.linear = linear
        self.weight = np.full(linear.weight.shape, UNKNOWN)
        self.multiplier = np.full(len(linear.weight), 99999)
        self.given = np.zeros(linear.weight.shape, int)

    def put(self, rows: Any, columns: Any, part: np.ndarray) -> None:
        place = np.ix_(rows, columns)
        assert ((self.weight[place] == UNKNOWN) | (self.weight[place] == part)).all()
        self.weight[place] = part
        self.given[place] += 1

    def assert_whole(self, times: int = 1) -> None:
        """Every element was given, right, and none more often than `times`."""
        assert np.array_equal(self.weight, self.linear.weight)
        assert self.given.min() >= 1
        assert self.given.max() <= times

    def assert_multipliers(self) -> None:
        assert np.array_equal(self.multiplier, self.linear.rescale.multiplier)


class Merger:
    """A model's matrices, and the shards of a plan read into them."""

    def __init__(self, model: QuantizedModel, padding: int = 1) -> None:
        self.model, self.reduce, self.padding = model, "host", padding
        names = ("q", "k", "v", "o", "gate", "up", "down")
        self.layers = [
            {name: Merged(getattr(layer, name)) for name in names} for layer in model.layers
        ]
        self.classifier = Merged(model.classifier)

    def read(self, plan: Plan, shard: Shard) -> None:
        file = shard_file(self.model, plan, shard, self.padding)
        reader = ShardReader(file)
        assert reader.version == (5 if self.model.config.groups else 4)
        self.reduce = plan.parallelism.reduce
        self.assert_header(reader.header, plan, shard)
        assert reader.u16(512).tolist() == arithmetic.exp_table().tolist()
        assert reader.u16(1024).tolist() == arithmetic.sigmoid_table().tolist()
        in_flash = "block" in reader.header
        places = []
        for index in range(len(self.layers)):
            self.read_multipliers(reader, index, shard)
            if in_flash:
                places.append(reader.place())
            else:
                self.read_matrices(reader, index, shard)
                reader.fill(4)
            if self.reduce == "chips":
                self.read_norms(reader, index)
        dim = self.model.config.dim
        if self.reduce == "chips":
            assert_gain(reader.u16(dim), self.model.final_gain)
        reader.begin()
        self.classifier.multiplier[shard.rows] = reader.u16(len(shard.rows))
        reader.fill(reader.alignment)
        if in_flash:
            places.append(reader.place())
            assert reader.filled <= plan.filling(shard, self.padding)
            reader.origin = 0
            reader.fill(16)
            for index in range(len(self.layers)):
                assert reader.at == places[index]
                self.read_matrices(reader, index, shard)
            assert reader.at == places[-1]
        self.classifier.put(shard.rows, range(dim), reader.matrix(len(shard.rows), dim, 10))
        reader.fill(4)
        assert reader.file[reader.at :] == hashlib.sha256(reader.file[: reader.at]).digest()

    def read_multipliers(self, reader: ShardReader, index: int, shard: Shard) -> None:
        layer, size = self.layers[index], self.model.config.head_dim
        assert reader.at % 2 == 0
        reader.begin()
        q, kv = head_rows(shard.heads, size), head_rows(shard.kv_heads, size)
        rows = {"q": q, "k": kv, "v": kv, "gate": shard.units, "up": shard.units}
        for name, own in rows.items():
            layer[name].multiplier[own] = reader.u16(len(own))
        reader.fill(reader.alignment)

    def read_matrices(self, reader: ShardReader, index: int, shard: Shard) -> None:
        layer, dim, size = self.layers[index], self.model.config.dim, self.model.config.head_dim
        q, kv = head_rows(shard.heads, size), head_rows(shard.kv_heads, size)
        stacked = reader.matrix(len(q) + 2 * len(kv), dim, 5)
        for name, part in zip("qkv", np.split(stacked, [len(q), len(q) + len(kv)]), strict=True):
            layer[name].put(q if name == "q" else kv, range(dim), part)
        layer["o"].put(range(dim), q, reader.matrix(dim, len(q), 6))
        stacked = reader.matrix(2 * len(shard.units), dim, 7)
        for name, part in zip(("gate", "up"), np.split(stacked, 2), strict=True):
            layer[name].put(shard.units, range(dim), part)
        down = reader.matrix(dim, len(shard.units), 8)
        layer["down"].put(range(dim), shard.units, down)

    def read_norms(self, reader: ShardReader, index: int) -> None:
        dim, plain = self.model.config.dim, self.model.layers[index]
        assert_gain(reader.u16(dim), plain.attention_gain)
        assert reader.u16(dim).tolist() == plain.o.rescale.multiplier.tolist()
        assert_gain(reader.u16(dim), plain.feed_forward_gain)
        assert reader.u16(dim).tolist() == plain.down.rescale.multiplier.tolist()

    def assert_header(self, header: dict[str, Any], plan: Plan, shard: Shard) -> None:
        config, model = self.model.config, self.model
        expected = {
            "model": model.sha256().hex()[:16],
            "chip": shard.chip, "members": list(range(plan.chips)),
            "first_layer": 0, "next": [], "slots": 1, "columns": self.padding,
            "has_norms": plan.parallelism.reduce == "chips",
            "dim": config.dim, "head_dim": config.head_dim,
            "total_heads": config.heads, "total_kv_heads": config.kv_heads,
            "heads": list(shard.heads), "kv_heads": list(shard.kv_heads),
            "units": len(shard.units), "rows": len(shard.rows), "first_row": shard.rows.start,
            "context": plan.context, "positions": plan.positions,
            "rope": model.rope_steps.tolist(),
            "logit_shift": model.classifier.rescale.shift,
            "logit_exponent": model.logit_exponent,
            "final_norm": [model.final_gain.shift, model.final_gain.epsilon, model.final_limit],
        }  # fmt: skip
        if plan.block(shard.chip):
            header = dict(header)
            assert header.pop("block") == plan.block(shard.chip)
        if grouped := config.grouped:
            header = dict(header)
            names = {5: "wq", 6: "wo", 7: "w1", 8: "w2"}
            assert header.pop("weights") == [part for part in names if names[part] in grouped]
        assert {name: header[name] for name in expected} == expected
        assert tuple(header) == HEADER
        assert set(header) == {*expected, "bits", "layers"}
        for numbers, layer in zip(header["layers"], model.layers, strict=True):
            assert numbers == layer_numbers(layer)
        for layer in model.layers:
            for linear, limit in ((layer.o, layer.v_limit), (layer.down, layer.hidden_limit)):
                widest = np.abs(linear.weight.astype(int)).sum(axis=1).max() * limit
                if linear.weight.dtype == np.int16:
                    widest //= 4
                assert widest < 1 << (header["bits"] - 1)

    def assert_whole(self, kv_times: int) -> None:
        for layer in self.layers:
            for name, merged in layer.items():
                merged.assert_whole(kv_times if name in "kv" else 1)
                if name not in ("o", "down"):
                    merged.assert_multipliers()
        self.classifier.assert_whole()
        self.classifier.assert_multipliers()


def assert_gain(stored: np.ndarray, gain: Gain) -> None:
    assert (stored - 32768).tolist() == gain.multiplier.tolist()


def layer_numbers(layer: Any) -> list[Any]:
    numbers: list[Any] = [number(layer, name) for name in NUMBERS]
    for name, linear in (("attention", layer.o), ("feed_forward", layer.down)):
        gain = getattr(layer, f"{name}_gain")
        numbers.append([gain.shift, gain.epsilon, getattr(layer, f"{name}_limit")])
        numbers.append(linear.rescale.shift)
    for gain, limit in ((layer.q_norm, layer.q_limit), (layer.k_norm, layer.k_limit)):
        if gain is not None:
            numbers += [gain.shift, gain.epsilon, limit, *gain.multiplier.tolist()]
    return numbers


def number(layer: Any, path: str) -> int:
    for name in path.split("."):
        layer = getattr(layer, name)
    return layer


def assert_merges(
    model: QuantizedModel, chips: int, reduce: str = "host", padding: int = 1, flash: int = 0
) -> None:
    """flash: bytes of each chip's partition for weights, 0 where they lie in heaps."""
    plan = tensor_plan(model, chips, reduce=reduce, flash=(flash,) * chips if flash else ())
    merger = Merger(model, padding)
    for shard in plan.shards:
        merger.read(plan, shard)
        if flash:
            size = len(shard_file(model, plan, shard, padding))
            assert size <= plan.flash_need(shard, padding)
    # A KV head is held twice or more only where its query heads are apart.
    merger.assert_whole(kv_times=model.config.heads_per_kv_head)
