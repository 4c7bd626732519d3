"""What the virtual environment is given, and what is said where that fails."""

import sys
from pathlib import Path

import pytest

from host.errors import SetupError
from host.setup import environment
from tests.host.test_setup_micropython import script

# What pip prints without a connection: its last line alone would mislead.
NO_CONNECTION = """\
WARNING: Retrying (Retry(total=0)) after connection broken by 'ProxyError('refused')': /simple/x/
ERROR: Could not find a version that satisfies the requirement x (from versions: none)
ERROR: No matching distribution found for x"""


@pytest.fixture
def pip(tmp_path, monkeypatch):
    """Puts in place of the environment's Python a script with the body it is called with."""

    def replaced(body: str) -> Path:
        python = script(tmp_path / "python", body)
        monkeypatch.setattr(environment, "PYTHON", python)
        return python

    return replaced


def test_the_requirements_are_the_projects_and_its_developers(tmp_path):
    file = tmp_path / "pyproject.toml"
    file.write_text(
        '[project]\ndependencies = ["numpy>=2"]\n[dependency-groups]\ndev = ["pytest>=9"]\n'
    )
    assert environment.read_requirements(file) == ["numpy>=2", "pytest>=9"]


def test_every_requirement_of_this_project_is_bounded_on_both_sides():
    listed = environment.read_requirements(environment.SOURCES / "pyproject.toml")
    assert len(listed) > 5
    assert [entry for entry in listed if ">=" not in entry or ",<" not in entry] == []


def test_without_a_connection_the_cause_is_named(pip):
    pip(f'echo "{NO_CONNECTION}"; exit 1')
    with pytest.raises(SetupError) as raised:
        environment.install(["x"])
    assert str(raised.value) == "pip failed: no connection: ProxyError('refused')"


def test_other_failures_are_told_in_pips_last_error(pip):
    pip("echo 'ERROR: No matching distribution found for x>=99'; echo; exit 1")
    with pytest.raises(SetupError, match=r"pip failed: ERROR: .* found for x>=99$"):
        environment.install(["x>=99"])


def test_pip_is_asked_for_all_of_them(pip, tmp_path):
    pip(f'echo "$@" > {tmp_path}/arguments')
    environment.install(["x>=1", "y"])
    assert (tmp_path / "arguments").read_text().split()[-2:] == ["x>=1", "y"]


def test_an_environment_is_taken_only_with_a_pip_that_works(pip, tmp_path):
    pip('[ "$*" = "-m pip --version" ]')
    assert environment.has_pip()
    pip("exit 1")
    assert not environment.has_pip()
    (tmp_path / "python").unlink()
    assert not environment.has_pip()


def test_an_old_python_is_refused_in_one_line(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 10, 4))
    monkeypatch.setattr(sys, "version", "3.10.4 (main)")
    with pytest.raises(SystemExit) as ended:
        environment.main()
    assert ended.value.code == "setup: this is Python 3.10.4; 3.11 or later is needed"


@pytest.mark.verify
@pytest.mark.timeout(300)
def test_without_ensurepip_pip_comes_from_debian(tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "FOLDER", tmp_path)
    monkeypatch.setattr(environment, "PYTHON", tmp_path / "bin" / "python")
    monkeypatch.setattr(environment.importlib.util, "find_spec", lambda name: None)
    environment.create_environment()
    assert environment.has_pip()
