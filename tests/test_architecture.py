"""The sources keep the rules of docs/architecture.md; `python -m tests.architecture` lists all."""

import pytest

from tests.architecture import RULES, read_modules


@pytest.fixture(scope="module")
def modules():
    return read_modules()


@pytest.mark.parametrize("rule", RULES)
def test_the_sources_keep_the_rules(rule, modules):
    found = RULES[rule](modules)
    assert found == [], "\n  ".join([f"{rule}:", *found])
