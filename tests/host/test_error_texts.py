"""A chip's code has no texts of ProtocolErrors, and nothing else changes."""

import ast

import pytest

from host.build.error_texts import drop_error_texts
from host.build.firmware_version import chip_sources
from tests.simulation.launch import REPOSITORY


class WithoutTexts(ast.NodeTransformer):
    def visit_Raise(self, node):
        if isinstance(node.exc, ast.Call) and ast.unparse(node.exc.func) == "ProtocolError":
            node.exc = node.exc.func
        return node


@pytest.mark.parametrize(
    "path", chip_sources(), ids=lambda path: path.relative_to(REPOSITORY).as_posix()
)
def test_a_chips_module_is_the_same_but_for_the_texts(path):
    source = path.read_text()
    changed = drop_error_texts(source)
    expected = WithoutTexts().visit(ast.parse(source))
    assert ast.dump(ast.parse(changed)) == ast.dump(expected)
    assert changed.count("\n") == source.count("\n")


def test_a_text_may_have_lines_and_what_it_is_made_of():
    source = (
        "def f(n):\n    if n:\n        raise ProtocolError(\n            'of %d' % n,\n        )\n"
        "    raise ProtocolError(g(n)[0])  # why\n"
    )
    assert drop_error_texts(source) == (
        "def f(n):\n    if n:\n        raise ProtocolError\n\n\n    raise ProtocolError  # why\n"
    )


def test_other_errors_and_bare_ones_keep_what_they_have():
    source = "raise ValueError('a')\nraise ProtocolError\nraise error.ProtocolError('b')\n"
    assert drop_error_texts(source) == source
