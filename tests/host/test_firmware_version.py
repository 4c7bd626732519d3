"""The text that tells one state of a chip's code from another."""

import re
import shutil

import pytest

from firmware import node
from host.build import firmware_version as module
from host.build.firmware_version import (
    GENERATORS,
    RELEASE,
    chip_sources,
    firmware_version,
)
from tests.simulation.launch import REPOSITORY

BUNDLE, COMPILATION = (
    (REPOSITORY / "host" / "build" / name).read_text() for name in ("bundle.py", "compilation.py")
)


@pytest.fixture
def version(tmp_path, monkeypatch):
    """Gives the version of a copy of this checkout's sources, whose folder is `tmp_path`."""
    for folder in ("firmware", "protocol", "host/build"):
        shutil.copytree(REPOSITORY / folder, tmp_path / folder)
    firmware_version()  # which keeps what it first finds
    monkeypatch.setattr(module, "SOURCES", tmp_path)
    return firmware_version.__wrapped__


def test_it_is_the_firmware_s_release_and_a_digest():
    assert RELEASE == node.RELEASE
    assert re.fullmatch(re.escape(RELEASE) + r"\+[0-9a-f]{8}", firmware_version())


def test_a_copy_has_the_same(version):
    assert version() == firmware_version()


@pytest.mark.parametrize(
    "path",
    [
        "firmware/node.py",
        "firmware/boot.py",
        "protocol/frame.py",
        "host/build/unrolling.py",
        "host/build/machine_code/rv32_matrix.py",
    ],
)
def test_a_change_of_what_a_chip_holds_makes_another(version, tmp_path, path):
    with open(tmp_path / path, "a") as file:
        file.write("# changed")
    assert version() != firmware_version()


def test_another_name_makes_another(version, tmp_path):
    (tmp_path / "firmware/outbox.py").rename(tmp_path / "firmware/inbox.py")
    assert version() != firmware_version()


@pytest.mark.parametrize(
    "path", ["protocol/message.py", "host/build/bundle.py", "host/build/compilation.py"]
)
def test_a_change_of_the_host_s_own_does_not(version, tmp_path, path):
    with open(tmp_path / path, "a") as file:
        file.write("# changed")
    assert version() == firmware_version()


def test_the_generators_are_all_that_make_kernels():
    """What a chip's sources go through and kernels are made by, and what these import of their
    folder."""
    changes = re.search(r"^_CHANGES = \((.*?)\)", COMPILATION, re.MULTILINE | re.DOTALL)
    made = ["model_kernels", "pass_source", "with_coarser", *re.findall(r"\w+", changes[1])]
    found, left = set(), {_module_of(name) for name in made}
    while left:
        name = left.pop()
        found.add(f"{name}.py")
        source = (REPOSITORY / "host/build" / f"{name}.py").read_text()
        imported = set(re.findall(r"^from host\.build\.(\w+) import", source, re.MULTILINE))
        left |= {one for one in imported if f"{one}.py" not in found}
    assert sorted([*found, "machine_code"]) == sorted(GENERATORS)


def _module_of(name):
    """The module that a function is imported from, which makes or changes sources."""
    pattern = rf"^from host\.build\.(\w+) import [^\n]*\b{name}\b"
    return re.search(pattern, BUNDLE + COMPILATION, re.MULTILINE)[1]


def test_the_sources_are_those_that_chips_import():
    names = {path.relative_to(REPOSITORY).as_posix() for path in chip_sources()}
    assert {"firmware/main.py", "protocol/frame.py", "firmware/__init__.py"} <= names
    assert not names & {"firmware/boot.py", "protocol/message.py", "host/wire/structs.py"}
