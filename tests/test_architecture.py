"""The sources keep the rules of docs/architecture.md; `python -m tests.architecture` lists all."""

import re

import pytest

from tests.architecture import REPOSITORY, RULES, read_modules

PAGES = [f"docs/{path.name}" for path in sorted((REPOSITORY / "docs").glob("*.md"))]


@pytest.fixture(scope="module")
def modules():
    return read_modules()


@pytest.mark.parametrize("rule", RULES)
def test_the_sources_keep_the_rules(rule, modules):
    found = RULES[rule](modules)
    assert found == [], "\n  ".join([f"{rule}:", *found])


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "README.md", *PAGES])
def test_the_pages_name_files_that_exist(page):
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    folders = "boards|docs|firmware|host|models|protocol|tests|training"
    named = set(re.findall(rf"`((?:{folders})/[\w/.-]*)`", text))
    patterns = {name for name in named if "NAME" in name or "ROLE" in name}
    assert sorted(name for name in named - patterns if not (REPOSITORY / name).exists()) == []
