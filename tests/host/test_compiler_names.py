"""A chip's code imports no name that its compiler knows by itself, and nothing else changes."""

import ast

import pytest

from host.build.compiler_names import drop_compiler_names
from host.build.firmware_version import chip_sources
from tests.simulation.launch import REPOSITORY

KNOWN = {"const", "micropython", "ptr8", "ptr16", "ptr32", "uint"}


class WithoutImports(ast.NodeTransformer):
    """`pass` for each statement that imports, and nothing of what it names."""

    def visit_ImportFrom(self, node):
        return ast.Pass()

    visit_Import = visit_ImportFrom


def imported(source):
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom | ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize(
    "path", chip_sources(), ids=lambda path: path.relative_to(REPOSITORY).as_posix()
)
def test_a_chips_module_is_the_same_but_for_these_imports(path):
    source = path.read_text()
    changed = drop_compiler_names(source)
    before, after = list(imported(source)), list(imported(changed))
    assert [name for name in before if name not in KNOWN] == [
        name for name in after if name not in KNOWN
    ]
    plain, expected = (
        ast.dump(WithoutImports().visit(ast.parse(each))) for each in (changed, source)
    )
    assert plain == expected
    assert changed.count("\n") == source.count("\n")


def test_most_modules_import_none_of_them_any_more():
    having = [
        path.stem
        for path in chip_sources()
        if KNOWN.intersection(imported(drop_compiler_names(path.read_text())))
    ]
    # Which give them to others, or call what is in `micropython`.
    assert having == ["compat", "devices", "repl", "main"]


def test_what_code_looks_up_stays():
    source = (
        "from protocol.compat import const, micropython, ptr8, uint\n\n_A = const(1)\n\n\n"
        "@micropython.viper\ndef f(x: ptr8) -> int:\n    return int(uint(_A))\n"
    )
    assert drop_compiler_names(source).startswith("pass\n\n_A = const(1)\n")
    for used, kept in (
        ("x = uint(3)\n", "uint"),
        ("micropython.kbd_intr(3)\n", "micropython"),
        ("print(const(3))\n", "const"),
    ):
        line = drop_compiler_names(source + used).partition("\n")[0]
        assert line == f"from protocol.compat import {kept}"


def test_an_import_beside_another_statement_is_refused():
    with pytest.raises(ValueError, match="line 1: an import shares it with another statement"):
        drop_compiler_names("from protocol.compat import const; x = 1\n")
