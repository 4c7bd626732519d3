"""A chip's code has nothing of what CPython runs in its place."""

import ast

import pytest

from host.build.branches import keep_own_branch
from host.build.firmware_version import chip_sources

IF = 'if sys.implementation.name == "micropython":\n'


def test_the_other_branch_goes_and_lines_keep_their_numbers():
    source = f"import sys\n\n{IF}    a = 1\n    # why\nelse:\n    a = 2\n\n    b = 3\nc = 4\n"
    assert keep_own_branch(source) == (
        "import sys\n\nif True:\n    a = 1\n    # why\n\n\n\n\nc = 4\n"
    )


def test_what_has_no_other_branch_stays():
    source = f"{IF}    a = 1\nif x:\n    a = 2\nelse:\n    a = 3\n"
    assert keep_own_branch(source) == source


@pytest.mark.parametrize("other", ["else: a = 2\n", "elif b:\n    a = 2\n"])
def test_a_branch_that_cannot_be_told_from_its_line_is_refused(other):
    with pytest.raises(ValueError, match="expected `else:` alone in a line"):
        keep_own_branch(f"{IF}    a = 1\n{other}")


def test_no_chips_module_has_the_branch_of_another_python():
    changed = {
        path.stem: changed
        for path in chip_sources()
        if (changed := keep_own_branch(path.read_text())) != path.read_text()
    }
    assert set(changed) == {"bitpack", "bitunpack", "cobs", "compat", "frame_check"}
    for source in changed.values():
        (only,) = (node for node in ast.parse(source).body if isinstance(node, ast.If))
        assert ast.unparse(only.test) == "True" and not only.orelse
