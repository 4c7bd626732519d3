"""Reads and writes federation.toml: the cluster as it was flashed, and its chips' common key.

    version = 2
    model = "models/home.bin"
    model_hash = "0123456789abcdef"
    chips = 5
    context = 128
    key = "64 hexadecimal digits"
    chip = [
        { id = 0, board = "esp32s3", mac = "34:85:18:00:00:01", port = "/dev/ttyACM0" },
    ]

    [parallelism]
    strategy = "hybrid"
    stages = 2
    reduce = "chips"
    exchange = "all-reduce"

    [link]
    kind = "espnow"
    channel = 1
    line = "usb"
    mtu = 250


Anyone who has the key can join the cluster, so only the file's owner may read it, and git ignores
it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import tomli_w

from host.cluster.cluster_fields import VERSION, ClusterFile, decode_cluster, encode_cluster
from host.errors import ClusterError
from host.toml_file import TomlError, read_toml

FILE = Path("federation.toml")
_KEY_SIZE = 32  # bytes of a new key
_TITLE = "# The cluster as flashed. Whoever has the key can join it: keep this file to yourself.\n"


class ClusterFileError(ClusterError):
    """The cluster file cannot be read or written; the message is one line."""


def make_key() -> bytes:
    """Returns a new cluster key."""
    return os.urandom(_KEY_SIZE)


def read(path: Path = FILE) -> ClusterFile | None:
    """Returns the cluster in a file, None if there is none. Raises ClusterFileError."""
    try:
        fields = read_toml(path)
        if fields.get("version") == VERSION:
            return decode_cluster(fields)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ClusterFileError(f"cannot read {path}: {error.strerror}") from None
    except TomlError as error:
        raise ClusterFileError(
            f"{path}: {error}: correct it, or remove it and flash again"
        ) from None
    raise ClusterFileError(
        f"{path} was written by another version of this program: remove it, and flash all boards"
        " again"
    )


def change(
    make: Callable[[ClusterFile | None], ClusterFile], path: Path = FILE
) -> ClusterFile:
    """Replaces the cluster in a file by make(cluster), and returns the new one.

    Commands that change the file at the same time, for two boards, wait for each other, so `make`
    must be quick. The file is replaced whole or not at all. Raises ClusterFileError.
    """
    try:
        with _locked(path.parent):
            cluster = make(read(path))
            _replace(path, format_cluster(cluster))
    except OSError as error:
        raise ClusterFileError(f"cannot write {path}: {error.strerror}") from None
    except UnicodeEncodeError:
        raise ClusterFileError(f"cannot write {path}: a name in it is not Unicode") from None
    return cluster


def format_cluster(cluster: ClusterFile) -> str:
    """Returns the text of a cluster's file."""
    return _TITLE + tomli_w.dumps(encode_cluster(cluster))


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _replace(path: Path, text: str) -> None:
    content = text.encode()
    # In the same folder, so that renaming is atomic; readable by its owner only; and always of the
    # same name, so that the file left by a command that was killed is replaced by the next.
    name = path.with_name(f"{path.name}.new")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name)
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
