"""Takes shard files apart by the words of their format."""

import json
import struct
from typing import Any

import numpy as np

from host.build.kernels import column_blocks

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


def head_rows(heads: tuple[int, ...], size: int) -> list[int]:
    return [head * size + i for head in heads for i in range(size)]
