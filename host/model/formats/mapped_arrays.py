"""Writes arrays one by one to files of the safetensors format, and maps them for reading.

The library's writer holds all bytes in memory at once, and its reader copies. Here a model of some
hundred megabytes is written from its arrays and mapped, so that unused parts are never read.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]

_KINDS = {"I8": "<i1", "U8": "<u1", "I16": "<i2", "U16": "<u2", "I32": "<i4", "U32": "<u4",
          "I64": "<i8", "F32": "<f4", "F64": "<f8"}  # fmt: skip
_NAMES = {np.dtype(kind): name for name, kind in _KINDS.items()}
_ALIGNMENT = 8


def write_arrays(file: BinaryIO, arrays: Arrays, metadata: Mapping[str, str]) -> None:
    """Writes arrays of the kinds that have names, the same bytes for the same arguments.

    Arrays with the largest elements come first, so that each is aligned. Raises OSError.
    """
    order = sorted(arrays, key=lambda name: (-arrays[name].itemsize, name))
    header: dict[str, object] = {"__metadata__": dict(metadata)}
    end = 0
    for name in order:
        array = arrays[name]
        start, end = end, end + array.nbytes
        kind = _NAMES[array.dtype.newbyteorder("<")]
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % _ALIGNMENT)
    file.write(len(text).to_bytes(8, "little") + text)
    for name in order:
        array = np.ascontiguousarray(arrays[name], arrays[name].dtype.newbyteorder("<"))
        file.write(array.data)


def map_arrays(path: str | Path) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Returns the arrays in a file, read-only, and its metadata.

    Changes to the file would show in the arrays, so replace it by a new file, as `quantize` does.
    Raises OSError, and the library's errors for a damaged file.
    """
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as checked:  # that offsets are sound, above all
        metadata = checked.metadata() or {}
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    arrays = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        start, end = entry["data_offsets"]
        kind = np.dtype(_KINDS[entry["dtype"]])
        count = (end - start) // kind.itemsize
        array = np.frombuffer(mapped, kind, count, 8 + size + start)
        arrays[name] = array.reshape(entry["shape"])
    return arrays, metadata
