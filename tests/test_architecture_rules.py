"""The check of the architecture finds what breaks its rules, in sources made up for that."""

import pytest

from tests import architecture
from tests.architecture import read_modules

GOOD = {
    "host/__init__.py": "",
    "host/errors.py": "",
    "host/run.py": "from host.cli import arguments\ndef main(arguments): pass\n",
    "host/cli/__init__.py": "",
    "host/cli/arguments.py": "import sys\nfrom host.cluster.coordinator import Coordinator\n",
    "host/cluster/__init__.py": "",
    "host/cluster/coordinator.py": "from host.errors import Error\nfrom protocol import frame\n",
    "host/flashing/__init__.py": "",
    "host/flashing/update.py": "from host.build.bundle import files\n",
    "host/build/__init__.py": "",
    "host/build/bundle.py": "from host.errors import Error\n",
    "protocol/__init__.py": "",
    "protocol/frame.py": "import struct\n",
    "firmware/__init__.py": "",
    "firmware/node.py": "import machine\nfrom protocol.frame import x\n",
}


@pytest.fixture
def modules(tmp_path):
    """Reads sources that are good but for those given, by path."""

    def read(**changed):
        for name, text in {**GOOD, **changed}.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return read_modules(tmp_path)

    return read


def test_good_sources_break_no_rule(modules):
    read = modules()
    assert set(read) >= {"host", "host.run", "host.cli.arguments", "protocol.frame"}
    assert read["host.run"].imports == {"host.cli.arguments": 1}
    assert [rule(read) for rule in architecture.RULES.values()] == [[]] * 6


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        (
            "host/build/bundle.py",
            "from host.cluster import coordinator",
            "build may not import clu",
        ),
        (
            "host/build/bundle.py",
            "from host.flashing import update",
            "build may not import flashi",
        ),
        ("host/build/bundle.py", "import host.run", "build may not import commands"),
        ("host/build/bundle.py", "def f():\n    from host import run", "build may not import com"),
        ("host/errors.py", "from host.build.bundle import files", "base may not import build"),
        (
            "host/build/bundle.py",
            "from ..cluster import coordinator",
            "build may not import clust",
        ),
        ("host/build/bundle.py", "from firmware import node", "host may not import firmware"),
        ("host/build/bundle.py", "import tests.dual", "host may not import tests"),
        ("firmware/node.py", "from host.errors import Error", "firmware may not import host"),
        ("protocol/frame.py", "import firmware.node", "protocol may not import firmware"),
    ],
)
def test_an_arrow_that_goes_up_is_found(modules, path, text, message):
    (found,) = architecture.wrong_arrows(modules(**{path: text}))
    assert message in found


def test_folders_that_import_each_other_are_found(modules):
    read = modules(**{
        "firmware/links/__init__.py": "", "firmware/links/uart.py": "import firmware.roles.star",
        "firmware/links/radio.py": "",
        "firmware/roles/__init__.py": "", "firmware/roles/star.py": "import firmware.links.radio",
    })  # fmt: skip
    (found,) = architecture.folder_circles(read)
    assert found.startswith("firmware.links and firmware.roles: ")
    assert architecture.file_circles(read) == []


def test_circles_of_files_are_found_also_inside_functions(modules):
    read = modules(**{
        "host/build/one.py": "from host.build import two",
        "host/build/two.py": "from host.build.three import x",
        "host/build/three.py": "def f():\n    import host.build.one",
    })  # fmt: skip
    (found,) = architecture.file_circles(read)
    assert set(found.split(" -> ")) == {f"host.build.{name}" for name in ("one", "two", "three")}


def test_long_commands_and_functions_are_found(modules):
    read = modules(**{
        "host/run.py": "def main(arguments): pass\n" + "x = 1\n" * 149,
        "host/model/__init__.py": "",
        "host/model/__main__.py": "x = 1\n" * 149 + "def main(arguments): pass\n",
        "host/build/bundle.py": "x = 1\n" * 200 + "def f():\n" + "    x = 1\n" * 60,
        "host/build/fits.py": "def f():\n" + "    x = 1\n" * 59,
    })  # fmt: skip
    assert len(architecture.long_commands(read)) == 2
    assert architecture.long_functions(read) == ["host.build.bundle:201 f: 61 lines"]


def test_attributes_are_counted_with_those_of_base_classes(modules):
    def assigned(start, end):
        return "".join(f"        self.a{number} = 0\n" for number in range(start, end))

    base = "class Base:\n    def __init__(self):\n" + assigned(0, 10)
    read = modules(**{
        "firmware/node.py": base,
        "firmware/small.py": "from firmware.node import Base\nclass Small(Base):\n"
        "    def set(self):\n" + assigned(5, 15),
        "firmware/large.py": "from firmware.node import Base\nclass Large(Base):\n"
        "    def set(self):\n" + assigned(9, 15) + "        self.x, self.y[0] = 1, 2\n",
    })  # fmt: skip
    assert architecture.large_classes(read) == ["firmware.large.Large: 16 attributes"]
