"""Makes the checkout's virtual environment, with the packages that pyproject.toml lists.

    python3 -m host.setup.environment

Debian's python3 comes without pip and without ensurepip. There, pip's wheel is taken from Debian's
package python3-pip-whl by a private apt, which does not need root.
"""

from __future__ import annotations

import importlib.util
import re
import sys
import tempfile
from pathlib import Path

from host.errors import SetupError
from host.interrupts import take_interrupts
from host.paths import SOURCES
from host.setup import find_cause, run_quietly, run_step
from host.setup.debian import Archive

FOLDER = SOURCES / ".venv"
PYTHON = FOLDER / "bin" / "python"

OLDEST_PYTHON = (3, 11)


def read_requirements(pyproject: Path) -> list[str]:
    """Returns the packages that are needed to run the project and to test it."""
    import tomllib  # since Python 3.11, which main() has checked

    table = tomllib.loads(pyproject.read_text())
    needed: list[str] = table["project"]["dependencies"] + table["dependency-groups"]["dev"]
    return needed


def has_pip() -> bool:
    """Returns whether the environment exists and its pip works."""
    return PYTHON.exists() and run_quietly([str(PYTHON), "-m", "pip", "--version"]).returncode == 0


def create_environment() -> None:
    """Creates the environment anew, with Python's own pip or, if that is missing or broken, with
    Debian's. Raises SetupError that says why neither can be installed."""
    run_step(sys.executable, "-m", "venv", "--clear", "--without-pip", str(FOLDER))
    reason = "Python has no ensurepip"
    if importlib.util.find_spec("ensurepip"):
        # Not by venv, which does not say why this fails.
        ended = run_quietly([str(PYTHON), "-m", "ensurepip", "--default-pip"])
        if not ended.returncode and has_pip():
            return
        reason = f"ensurepip failed: {find_cause(ended)}"
    try:
        _install_debians_pip()
    except SetupError as error:
        raise SetupError(f"cannot install pip: {reason}; from Debian: {error}") from None


def _install_debians_pip() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary) / "root"
        # The package is the same for every architecture.
        Archive(Path(temporary), "amd64").unpack("python3-pip-whl", root)
        wheel = next(root.glob("usr/share/python-wheels/pip-*.whl"))
        # Python runs the pip inside the wheel, which installs itself.
        run_step(str(PYTHON), f"{wheel}/pip", "install", "-q", "--no-index", str(wheel))


def install(needed: list[str]) -> None:
    """Installs packages with pip; raises SetupError with the cause, also for a lost connection."""
    # pip would compile one file after another, on one processor.
    options = ["-q", "--disable-pip-version-check", "--no-input", "--retries", "2", "--no-compile"]
    command = [str(PYTHON), "-m", "pip", "install", *options, *needed]
    ended = run_quietly(command, doing="installing packages")
    if ended.returncode:
        # Without a connection, pip's last error says that there is no such package.
        broken = re.search(r"connection broken by '(.+)': /", ended.stdout)
        reason = f"no connection: {broken[1]}" if broken else find_cause(ended)
        raise SetupError(f"pip failed: {reason}")


def find_packages() -> Path:
    """Returns the folder of the environment's packages."""
    (packages,) = FOLDER.glob("lib/python*/site-packages")
    return packages


def compile_packages() -> None:
    """Compiles the packages on all processors. Files that are no valid Python, which some packages
    have among their data, stay as they are."""
    run_quietly([str(PYTHON), "-m", "compileall", "-q", "-j", "0", str(find_packages())])


def link_sources() -> None:
    """Lets the environment's Python find this checkout from any folder."""
    (find_packages() / "federation.pth").write_text(f"{SOURCES}\n")


def main() -> None:
    """Creates the environment; exits with one line if that fails."""
    take_interrupts()
    if sys.version_info < OLDEST_PYTHON:
        sys.exit(f"setup: this is Python {sys.version.split()[0]}; 3.11 or later is needed")
    try:
        needed = read_requirements(SOURCES / "pyproject.toml")
        if not has_pip():
            print("setup: virtual environment in .venv", flush=True)
            create_environment()
        print(f"setup: {len(needed)} packages and what they need", flush=True)
        install(needed)
        compile_packages()
        link_sources()
    except (SetupError, OSError) as reason:
        sys.exit(f"setup: {reason}")


if __name__ == "__main__":
    main()
