"""docs/api.md: its examples print what it shows, and it names all that is public, as it is."""

import inspect
import re
import subprocess
import sys
from dataclasses import fields

import pytest

import host
from tests.simulation.launch import REPOSITORY

PAGE = (REPOSITORY / "docs" / "api.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(
    r"^```python\n(.*?)^```\n\nprints\n\n```\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL
)


@pytest.mark.parametrize(("program", "printed"), EXAMPLES, ids=["generate", "stream", "radio"])
def test_an_example_prints_what_the_page_shows(program, printed, tmp_path):
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True,
        env={"PYTHONPATH": str(REPOSITORY)}, timeout=100,
    )  # fmt: skip
    assert (ended.stderr, ended.returncode) == ("", 0)
    assert ended.stdout == printed != ""


def test_all_examples_are_run():
    assert PAGE.count("```python") == len(EXAMPLES) == 3


@pytest.mark.parametrize("name", host.__all__)
def test_the_page_names_everything_public(name):
    assert re.search(rf"`host\.{name}\b", PAGE), name
    assert getattr(host, name).__doc__


@pytest.mark.parametrize("name", ["simulate", "connect", "load_model", "Parallelism", "FakeRadio"])
def test_signatures_are_as_shown(name):
    (shown,) = re.findall(rf"\*\*`host\.{name}\((.*?)\)`\*\*", PAGE, re.DOTALL)
    found = []
    parameters = list(inspect.signature(getattr(host, name)).parameters.values())
    for before, parameter in zip([None, *parameters], parameters, strict=False):
        if parameter.kind is parameter.KEYWORD_ONLY and before.kind is not parameter.kind:
            found.append("*")
        found.append(f"{parameter.name}={parameter.default!r}")
    assert " ".join(shown.split()).replace('"', "'") == ", ".join(found)


@pytest.mark.parametrize("name", ["generate", "stream", "generate_batch"])
def test_all_ways_to_generate_take_what_is_shown(name):
    shown = re.search(r"\*\*`cluster\.generate\(prompt, (.*?)\)`\*\*", PAGE, re.DOTALL)[1]
    _, _, *parameters = inspect.signature(getattr(host.Cluster, name)).parameters.values()
    found = [f"{each.name}={each.default!r}" for each in parameters]
    assert all(each.kind is each.KEYWORD_ONLY for each in parameters)
    assert " ".join(shown.split()) == ", ".join(["*", *found])


@pytest.mark.parametrize("name", ["Generation", "GenerationStatistics", "ChipStatistics"])
def test_all_fields_are_named(name):
    for field in fields(getattr(host, name)):
        assert f"`{field.name}`" in PAGE, field.name
