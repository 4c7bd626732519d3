"""Finds the file of MicroPython for a board: given, kept from before, or downloaded.

An image is downloaded from MicroPython's site, whose certificate is checked. Its SHA-256 is kept
beside it and checked whenever the image is used: the first download is trusted, and later changes
are noticed. A user who knows the SHA-256 can demand it.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import tempfile
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from host.errors import FlashError
from host.hardware.board import Board
from host.paths import cache_folder

SITE = "https://micropython.org/resources/firmware/"
FOLDER = cache_folder("micropython")
_TIMEOUT = 20  # seconds without a byte
_PIECE = 64 * 1024

# Called with the bytes downloaded so far, and all bytes, None if unknown.
OnDownload = Callable[[int, int | None], None]


def find_image_file(
    board: Board,
    given: Path | None,
    sha256: str | None = None,
    on_download: OnDownload = lambda size, total: None,
    *,
    folder: Path = FOLDER,
    site: str = SITE,
) -> Path:
    """Returns the file of MicroPython's image to write to the board, and downloads it if need be.

    given: an image, or a folder of official ones, of which the newest for the board is taken; None
    for the release that the board's file names, which is kept in `folder` or downloaded from
    `site`. sha256: the one that the image must have, in hexadecimal. Raises FlashError.
    """
    try:
        return _find(board, given, sha256, on_download, folder, site)
    except OSError as error:
        raise FlashError(f"cannot use {error.filename or folder}: {error.strerror}") from None


def _find(
    board: Board,
    given: Path | None,
    sha256: str | None,
    on_download: OnDownload,
    folder: Path,
    site: str,
) -> Path:
    assert board.flash is not None
    if given is None:
        path = folder / f"{board.flash.image}-{board.flash.version}.bin"
        if not path.exists():
            _download(site + path.name, path, on_download)
        _check_kept(path)
    else:
        path = _newest(given, board.flash.image) if given.is_dir() else given
    if sha256 and hash_file(path) != sha256.lower():
        raise FlashError(f"{path} has the SHA-256 {hash_file(path)}, not {sha256.lower()}")
    return path


def hash_file(path: Path) -> str:
    """Returns a file's SHA-256 in hexadecimal digits. Raises FlashError."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise FlashError(f"cannot read {path}: {error.strerror}") from None


def _newest(folder: Path, image: str) -> Path:
    """Returns the file with the highest version, of those named as on MicroPython's site."""
    name = re.compile(re.escape(image) + r"-(\d{8})-v(\d+)\.(\d+)\.(\d+)\.bin")
    found = [(match, path) for path in folder.iterdir() if (match := name.fullmatch(path.name))]
    if not found:
        raise FlashError(f"no {image}-DATE-vVERSION.bin in {folder}: download it from {SITE}")
    return max(found, key=lambda one: [int(one[0][group]) for group in (2, 3, 4, 1)])[1]


def _check_kept(path: Path) -> None:
    """Raises FlashError if an image has changed since it was downloaded."""
    record = path.with_name(path.name + ".sha256")
    found = hash_file(path)
    if not record.exists():
        record.write_text(f"{found}  {path.name}\n")  # as sha256sum -c reads it
    elif record.read_text().split()[:1] != [found]:
        raise FlashError(
            f"{path} has changed since it was downloaded: remove it and {record.name}, or give"
            " FIRMWARE="
        )


def _download(url: str, path: Path, on_download: OnDownload) -> None:
    """Downloads `url` to a file, which is written whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with open(descriptor, "wb") as file, urllib.request.urlopen(url, timeout=_TIMEOUT) as page:
            total = page.length
            while piece := page.read(_PIECE):
                file.write(piece)
                on_download(file.tell(), total)
            if total is not None and file.tell() != total:
                raise http.client.IncompleteRead(b"", total - file.tell())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except (OSError, http.client.HTTPException) as error:
        raise FlashError(
            f"no MicroPython here for the board ({_reason(error)}): download {url} and put it"
            f" into {path.parent}, or give FIRMWARE="
        ) from None
    finally:
        with suppress(FileNotFoundError):
            os.unlink(name)


def _reason(error: Exception) -> str:
    if isinstance(error, http.client.IncompleteRead):
        return "the download was interrupted"
    return str(getattr(error, "reason", None) or error).split("\n")[0]
