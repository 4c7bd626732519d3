"""What `pip install .` installs, and that the installed program runs outside a checkout."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from host.paths import PROJECT, cache_folder
from tests.simulation.launch import REPOSITORY

COMMAND = ["run", "--chips", "5", "--prompt", "turn off the kitchen lights"]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout without git and without what make has put there."""
    target = tmp_path_factory.mktemp("source") / "copy"
    made = {".git", ".venv", ".micropython", "build", "federation.toml"}

    def ignored(folder: str, names: list[str]) -> set[str]:
        caches = {name for name in names if name == "__pycache__" or name.endswith("_cache")}
        return caches | (made if Path(folder) == REPOSITORY else set())

    return shutil.copytree(REPOSITORY, target, ignore=ignored)


@pytest.fixture(scope="module")
def wheel(copy: Path) -> Path:
    """The wheel that is built of the copy, without a connection."""
    out = copy.parent / "wheel"
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", out]
    subprocess.run(command, cwd=copy, check=True, capture_output=True, timeout=60)
    (built,) = out.glob("*.whl")
    return built


def test_the_wheel_has_all_that_the_program_reads(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    expected = set()
    for folder in ("firmware", "host", "protocol"):
        files = (p for p in (REPOSITORY / folder).rglob("*") if p.is_file())
        expected |= {
            p.relative_to(REPOSITORY).as_posix() for p in files if p.parent.name != "__pycache__"
        }
    for folder in ("boards", "models"):
        expected |= {f"host/resources/{folder}/{p.name}" for p in (REPOSITORY / folder).iterdir()}
    assert names == expected


def test_the_wheel_has_the_command_the_licence_and_the_name(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    texts = {Path(name).name: archive.read(name).decode() for name in archive.namelist()
             if ".dist-info/" in name}  # fmt: skip
    assert "federation = host.__main__:main" in texts["entry_points.txt"]
    assert texts["LICENSE"] == (REPOSITORY / "LICENSE").read_text()
    assert re.search(r"^Name: micropython-federation$", texts["METADATA"], re.MULTILINE)


def installed(wheel: Path, root: Path) -> dict[str, str]:
    """Unpacks the wheel into `root`; the environment of a Python that finds it there."""
    zipfile.ZipFile(wheel).extractall(root / "site")
    hidden = ("MICROPYTHON", "FEDERATION_", "XDG_", "PYTHON")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    return {**kept, "PYTHONPATH": str(root / "site"), "XDG_CACHE_HOME": str(root / "cache")}


def test_outside_a_checkout_files_are_found_and_caches_are_the_user_s(
    wheel: Path, tmp_path: Path
) -> None:
    environment = installed(wheel, tmp_path)
    program = """
from host import paths
from host.build.firmware_version import firmware_version
from host.flashing import firmware_files
from host.setup import micropython
print(paths.IS_CHECKOUT, paths.HOME_MODEL.is_file(), (paths.BOARDS / "esp32s3.toml").is_file())
print(firmware_files.FOLDER, micropython.FOLDER, paths.cache_folder("mpy"), sep="\\n")
print(firmware_version())
"""
    printed = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, check=True, text=True,
        stdout=subprocess.PIPE, timeout=60,
    ).stdout.splitlines()  # fmt: skip
    assert printed[0] == "False True True"
    cache = tmp_path / "cache" / PROJECT
    assert printed[1:4] == [str(cache / name) for name in ("micropython", "interpreter", "mpy")]

    from host.build.firmware_version import firmware_version

    assert printed[4] == firmware_version()  # chips flashed from a checkout are up to date


def put_most_compiled(folder: Path) -> set[str]:
    """Puts into a cache most of what the checkout's has, for compiling all of a chip's modules
    takes seconds: the names."""
    folder.mkdir(parents=True)
    kept = {path for path in cache_folder("mpy").iterdir() if path.name[0] > "2"}
    for path in kept:
        (folder / path.name).symlink_to(path)
    return {path.name for path in kept}


def test_outside_a_checkout_a_model_runs_and_nothing_is_written_but_caches(
    wheel: Path, tmp_path: Path, micropython: Path
) -> None:
    environment = installed(wheel, tmp_path)
    there = put_most_compiled(tmp_path / "cache" / PROJECT / "mpy")
    (tmp_path / "work").mkdir()
    before = {path for path in (tmp_path / "site").rglob("*") if "__pycache__" not in path.parts}
    ended = subprocess.run(
        [sys.executable, "-m", "host", *COMMAND, "--no-stats"], cwd=tmp_path / "work",
        env={**environment, "MICROPYTHON": str(micropython)}, capture_output=True, text=True,
        timeout=90,
    )  # fmt: skip
    assert (ended.stdout, ended.stderr) == ("light.kitchen off\n", "")
    assert list((tmp_path / "work").iterdir()) == []
    after = {path for path in (tmp_path / "site").rglob("*") if "__pycache__" not in path.parts}
    assert after == before
    cached = {path.name for path in (tmp_path / "cache" / PROJECT / "mpy").iterdir()}
    assert any(name.endswith(".mpy") for name in cached - there)


@pytest.mark.verify
@pytest.mark.timeout(600)
def test_pip_installs_a_copy_without_git_and_the_command_sets_itself_up(
    copy: Path, tmp_path: Path
) -> None:
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    scripts = tmp_path / "venv" / "bin"
    subprocess.run([scripts / "python", "-m", "pip", "install", "-q", copy], check=True)
    (tmp_path / "elsewhere").mkdir()
    hidden = ("MICROPYTHON", "FEDERATION_", "XDG_", "PYTHON")
    environment = {n: v for n, v in os.environ.items() if not n.startswith(hidden)}
    environment["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    for attempt in range(2):
        ended = subprocess.run(
            [scripts / "federation", *COMMAND, "--no-stats"], cwd=tmp_path / "elsewhere",
            env=environment, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        assert (ended.returncode, ended.stdout) == (0, "light.kitchen off\n"), ended.stderr
        assert ("setup: MicroPython" in ended.stderr) == (attempt == 0)
