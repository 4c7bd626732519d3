"""Takes shard files apart by the words of their format, and puts a model together from them."""

import hashlib
import json
import struct
from typing import Any

import numpy as np

from host.build.kernels import column_blocks
from host.build.shard import shard_file
from host.model import arithmetic
from host.model.arithmetic import Gain
from host.model.quantized import Linear, QuantizedModel
from host.parallel.plan import Plan, Shard
from protocol.shard_layout import HEADER
from tests.plans import tensor_plan

NUMBERS = [
    "q.rescale.shift", "q_limit", "k.rescale.shift", "k_limit", "v.rescale.shift", "v_limit",
    "score_shift", "gate.rescale.shift", "up.rescale.shift", "index_shift", "product_shift",
    "hidden_limit",
]  # fmt: skip


class ShardReader:
    """Reads a shard file from its beginning on."""

    def __init__(self, file: bytes) -> None:
        self.file, self.at = file, 0
        self.filled = 0  # bytes of padding so far
        magic, self.version, zero, length = struct.unpack("<8sHHI", self.bytes(16))
        assert (magic, zero) == (b"FEDSHARD", 0)
        assert length % 4 == 0
        self.header: dict[str, Any] = json.loads(self.bytes(length))

    def bytes(self, count: int) -> bytes:
        self.at += count
        assert self.at <= len(self.file)
        return self.file[self.at - count : self.at]

    def u16(self, count: int) -> np.ndarray:
        assert self.at % 2 == 0
        return np.frombuffer(self.bytes(2 * count), "<u2").astype(int)

    @property
    def alignment(self) -> int:
        """Of multipliers, and of matrices behind them."""
        return 16 if "weights" in self.header else self.header["columns"]

    def matrix(self, rows: int, columns: int, part: int) -> np.ndarray:
        """Weights [rows, columns], as the header's columns say that they are stored; part: 5 for
        q, k and v, 6 for o, 7 for gate and up, 8 for down, 10 for the vocabulary's."""
        padding, block = self.header["columns"], self.header.get("block", 0)
        if rows == 0 or columns == 0:
            return np.zeros((rows, columns), int)
        if part in self.header.get("weights", ()):
            return self.matrix_in_groups(rows, columns, block)
        if block:
            whole = self.matrix_in_flash(rows, columns, padding, block)
            self.fill(4)
            return whole
        whole = self.stored(rows, columns, padding)
        self.fill(self.alignment)
        return whole

    def matrix_in_groups(self, rows: int, columns: int, block: int) -> np.ndarray:
        """As many rows at a time as go into a block, if there is one."""
        at_once = min(block // 16 * 16 // (columns // 32 * 18), 256) if block else rows
        counts = [min(at_once, rows - row) for row in range(0, rows, at_once)]
        return np.vstack([self.stored_groups(count, columns // 32) for count in counts])

    def stored_groups(self, rows: int, groups: int) -> np.ndarray:
        """Weights [rows, 32 * groups], of which each is the integer step * number + least."""
        words = np.frombuffer(self.bytes(16 * rows * groups), "<u2").reshape(rows, groups, 8)
        numbers = [words.astype(int) >> 4 * place & 15 for place in range(4)]
        parts = np.frombuffer(self.bytes(2 * rows * groups), "<i2").reshape(rows, groups, 1)
        self.fill(16)
        weights = np.concatenate(numbers, axis=2) * (parts & 63) + (parts >> 6)
        return weights.reshape(rows, 32 * groups)

    def matrix_in_flash(self, rows: int, columns: int, padding: int, block: int) -> np.ndarray:
        """A matrix of as many rows at a time as go into a block, where that makes a difference."""
        if padding != 16:
            return self.stored(rows, columns, padding)
        filled = -(-columns // 16) * 16
        at_once = min(block // (filled + 4), 256)
        counts = [min(at_once, rows - row) for row in range(0, rows, at_once)]
        return np.vstack([self.stored(count, columns, padding) for count in counts])

    def stored(self, rows: int, columns: int, padding: int) -> np.ndarray:
        """int8-valued [rows, columns]."""
        if padding == 1:  # blocks of columns lie one after another
            blocks = [self.u8(rows, count) for _, count in column_blocks(columns)]
            return np.hstack(blocks) - 128
        filled = -(-columns // padding) * padding
        if padding == 4:
            pairs = self.u8(rows // 2, 2 * filled)
            last = self.u8(rows % 2, filled) - 128
            upper = (pairs[:, 1::2] ^ 128) - 128
            both = np.stack([pairs[:, ::2] - 128, upper], 1).reshape(-1, filled)
            weights = np.vstack([both, last])
        else:
            weights = self.u8(rows, filled) - 128
            biases = np.frombuffer(self.bytes(4 * rows), "<i4").astype(np.int64)
            assert not ((biases + 32768 * weights.sum(1)) % (1 << 32)).any()
        assert not weights[:, columns:].any()
        self.fill(padding)
        return weights[:, :columns]

    def u8(self, rows: int, columns: int) -> np.ndarray:
        return np.frombuffer(self.bytes(rows * columns), "u1").reshape(rows, columns).astype(int)

    def begin(self) -> None:
        """A layer or the vocabulary begins, from where alignment counts."""
        self.origin = self.at

    def place(self) -> int:
        """Where matrices are, counted as if they followed on what has begun."""
        length = self.at - self.origin
        return length + int.from_bytes(self.bytes(4), "little", signed=True)

    def fill(self, size: int) -> None:
        """Nothing up to a multiple of a size."""
        count = (self.origin - self.at) % size
        self.filled += count
        assert self.bytes(count).strip(b"\0") == b""


UNKNOWN = 9999  # which is no weight


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


def head_rows(heads: tuple[int, ...], size: int) -> list[int]:
    return [head * size + i for head in heads for i in range(size)]


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
