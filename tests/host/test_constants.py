"""Numbers of other modules are written into a chip's code, and nothing else changes."""

import ast

import pytest

from host.build.constants import inline_constants
from host.build.firmware_version import chip_sources
from tests.simulation.launch import REPOSITORY

SOURCES = {
    path.relative_to(REPOSITORY).with_suffix("").as_posix().replace("/", "."): path.read_text()
    for path in chip_sources()
}


def imports(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from ((node.module, alias.name) for alias in node.names)


def defined(tree):
    """All names that something in a module gives a value."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.alias):
            yield node.asname or node.name


@pytest.mark.parametrize("module", SOURCES)
def test_what_a_chips_module_imports_is_there(module):
    for origin, name in imports(ast.parse(inline_constants(SOURCES[module]))):
        if origin in SOURCES and name != "*":
            assert name in set(defined(ast.parse(inline_constants(SOURCES[origin])))), name


@pytest.mark.parametrize("module", SOURCES)
def test_lines_keep_their_numbers(module):
    """Of each function too, and of what it returns and raises."""

    def places(source):
        return [
            (type(node).__name__, node.lineno)
            for node in ast.walk(ast.parse(source))
            if isinstance(node, (ast.FunctionDef, ast.Return, ast.Raise))
        ]

    changed = inline_constants(SOURCES[module])
    assert changed.count("\n") == SOURCES[module].count("\n")
    assert places(changed) == places(SOURCES[module])


def test_no_chips_module_imports_a_number():
    constants = {
        (module, name)
        for module, source in SOURCES.items()
        for name in defined(ast.parse(source))
        if name.isupper()
    }
    left = {pair for source in SOURCES.values() for pair in imports(ast.parse(source))} & constants
    built = map(inline_constants, SOURCES.values())
    kept = {pair for source in built for pair in imports(ast.parse(source))} & constants
    assert len(left) > 50
    # Tuples, tables and texts are looked up still.
    assert kept == {
        ("protocol.frame", "TRAILER_SIZE"),
        ("protocol.frame_faults", "FAULTS"),
        *(("protocol.shard_layout", name) for name in ("MAGIC", "HEADER")),
    }


def test_an_import_keeps_what_is_no_number():
    changed = inline_constants(
        "from protocol.frame import (\n    HEADER_SIZE,\n    TRAILER_SIZE,\n    seal,\n)\n\n"
        "def f(version):\n    return HEADER_SIZE + TRAILER_SIZE[version]\n"
    )
    assert changed == (
        "from protocol.frame import TRAILER_SIZE, seal\n\n\n\n\n\n"
        "def f(version):\n    return 8 + TRAILER_SIZE[version]\n"
    )


def test_an_import_in_a_function_leaves_a_statement():
    changed = inline_constants(
        "def f():\n    from protocol.frame import HOST\n\n    return HOST  # é HOST\n"
    )
    assert changed == "def f():\n    pass\n\n    return 254  # é HOST\n"


IMPORT = "from protocol.frame import HOST"
CONST = "from protocol.compat import const\n\nA = const(1)\n"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (f"{IMPORT}; x = HOST\n", "line 1: an import shares it with another statement"),
        (f"if 1: {IMPORT}\n", "line 1: an import shares it with another statement"),
        ("from protocol.frame import (\n    HOST\n); x = HOST\n", "line 1: an import shares it"),
        (f"{IMPORT}\n\ndef f(HOST):\n    return HOST\n", "HOST is a number of another module"),
        (f"{IMPORT}\n\nHOST = 3\n", "HOST is a number of another module, and bound here"),
        (f"def f():\n    global HOST\n    {IMPORT}\n", "HOST is a number of another module"),
        (f"{IMPORT}\nimport foo as HOST\n", "HOST is a number of another module, and bound here"),
        (f"{IMPORT}\nfrom foo import HOST\n", "HOST is a number of another module, and bound"),
        (f"{IMPORT}\ntry:\n    f()\nexcept E as HOST:\n    pass\n", "HOST is a number of"),
        (f"{CONST}\n\ndef f(A):\n    return A\n", "A is a constant, and bound a second time"),
        (f"{CONST}\n\nclass B:\n    A = 2\n", "A is a constant, and bound a second time"),
        (f"{CONST}\n\ndef f():\n    global A\n", "A is a constant, and bound a second time"),
        (f"def f():\n    return A\n\n\n{CONST}", "A is used above line 7, which makes it"),
    ],
)
def test_what_would_change_the_code_is_refused(source, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        inline_constants(source)


def test_a_comment_beside_an_import_goes():
    assert inline_constants(f"{IMPORT}  # who asks\nx = HOST\n") == "pass\nx = 254\n"


def test_bytes_before_a_name_do_not_shift_it():
    changed = inline_constants('from protocol.frame import HOST\n\nx = ("é", HOST)\n')
    assert changed == 'pass\n\nx = ("é", 254)\n'


def test_other_modules_of_the_same_names_are_left_alone():
    source = "from errno import ENOENT\n\nx = ENOENT\n"
    assert inline_constants(source) == source


def test_a_modules_own_numbers_become_private_unless_that_name_is_taken():
    changed = inline_constants(
        "from protocol.compat import const\n\nA = const(1)\nB = const(2)\n_B = const(3)\nC = 4\n"
        "print(A, B, _B, C)\n"
    )
    assert changed == (
        "from protocol.compat import const\n\n_A = const(1)\nB = const(2)\n_B = const(3)\nC = 4\n"
        "print(_A, B, _B, C)\n"
    )


def test_a_name_that_only_an_argument_has_is_taken_too():
    source = f"{CONST}\n\ndef f(_A):\n    return A + _A\n"
    assert inline_constants(source) == source


def test_a_negative_number_stays_one(monkeypatch):
    monkeypatch.setattr("protocol.frame.HOST", -2)
    assert inline_constants("from protocol.frame import HOST\nx = 1 -HOST**2\n") == (
        "pass\nx = 1 -(-2)**2\n"
    )
