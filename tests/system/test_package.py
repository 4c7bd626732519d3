"""package.json: what `mpremote mip install` brings onto a board."""

import json
import re
import subprocess
import sys

import pytest

from firmware.node import RELEASE
from host.build.firmware_version import HOST_ONLY
from tests.mip_package import PACKAGE
from tests.simulation.launch import REPOSITORY
from tests.standin_board.board import StandinBoard


@pytest.fixture
def package():
    return json.loads(PACKAGE.read_text())


def test_it_lists_the_modules_that_a_chip_imports(package):
    """`python -m tests.mip_package` writes it."""
    modules = {
        path.relative_to(REPOSITORY).as_posix()
        for folder in ("firmware", "protocol")
        for path in (REPOSITORY / folder).rglob("*.py")
        if path.name not in (*HOST_ONLY, "boot.py")
    }
    listed = [tuple(entry) for entry in package["urls"]]
    assert sorted(listed) == sorted((path, path) for path in modules)
    assert package["version"] == RELEASE


def test_mpremote_installs_it(package, micropython, tmp_path):
    with StandinBoard(tmp_path) as board:

        def mpremote(*arguments):
            return subprocess.run(
                [sys.executable, "-m", "mpremote", "connect", board.port, *arguments],
                check=True, capture_output=True, text=True, timeout=60,
            ).stdout  # fmt: skip

        said = mpremote("mip", "install", str(PACKAGE))
        assert set(re.findall(r"^Installing: /lib/(\S+)", said, re.MULTILINE)) == {
            path for path, _ in package["urls"]
        }
        mpremote("fs", "cp", "-r", ":/lib", str(tmp_path / "copy"))
        for path, source in package["urls"]:
            (copied,) = (tmp_path / "copy").rglob(path)
            assert copied.read_bytes() == (REPOSITORY / source).read_bytes()
        program = "from firmware.node import RELEASE; import firmware.main; print(RELEASE)"
        assert mpremote("exec", program).split() == [RELEASE]
