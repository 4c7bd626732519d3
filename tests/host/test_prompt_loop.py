"""What a run prints for each prompt, with a generator that is a stand-in."""

import argparse
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from host.cli import prompt_loop
from host.cli.console import Console
from host.cli.prompt_loop import PromptLoop
from host.cli.terminal import Display
from host.errors import ClusterError
from host.generation.generator import STOP, Generation
from host.generation.statistics import GenerationStatistics
from host.model.chat import Message
from host.model.prompt_format import PromptFormat


class Stream:
    """Gives pieces, the last of which may be an error."""

    def __init__(self, pieces: list[str | Exception]) -> None:
        self._pieces = pieces
        text = "".join(each for each in pieces if isinstance(each, str))
        self.generation = Generation("on", text, [], GenerationStatistics(), STOP)

    def __iter__(self) -> Iterator[str]:
        for piece in self._pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    def close(self) -> None:
        pass


def loop_of(
    monkeypatch: pytest.MonkeyPatch, pieces: list[str | Exception], **options: object
) -> PromptLoop:
    generator = SimpleNamespace(
        task=lambda prompt, sampler: SimpleNamespace(text=SimpleNamespace(prompt_text="")),
        stream=lambda task, is_stopped: Stream(pieces),
    )
    monkeypatch.setattr(prompt_loop, "Generator", lambda *_: generator)
    given: dict[str, object] = {"prompt": "on", "prompts": None, "drafts": 0}
    given |= {"temperature": 0.0, "top_p": 0.9, "seed": 0, "examples": False}
    given |= {"json": False, "stats": False, "chat": False, "system": None}
    source = SimpleNamespace(prompt_format=PromptFormat("Q {prompt} A"), tokenizer=None)
    namespace = argparse.Namespace(**given | options)
    return PromptLoop(namespace, None, source, None, Console(stderr=True), Display())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("pieces", "printed"),
    [(["light", ".on"], "light.on\n"), ([], "\n")],
)
def test_an_answer_is_a_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    pieces: list[str | Exception],
    printed: str,
) -> None:
    assert loop_of(monkeypatch, pieces).run(["on"]) == 0
    assert capsys.readouterr().out == printed


@pytest.mark.parametrize(("pieces", "printed"), [([], ""), (["light"], "light\n")])
def test_an_answer_that_did_not_come_has_no_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    pieces: list[str | Exception],
    printed: str,
) -> None:
    with pytest.raises(ClusterError):
        loop_of(monkeypatch, [*pieces, ClusterError("chip 1 died")]).run(["on"])
    assert capsys.readouterr().out == printed


def test_piped_lines_are_messages_of_one_conversation(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    class Task:
        text = SimpleNamespace(prompt_text="")

    def task(prompt: object, sampler: object) -> Task:
        asked.append(prompt)
        return Task()

    loop = loop_of(monkeypatch, ["yes"], prompt=None, chat=True, system="be brief")
    loop._generator.task = task  # type: ignore[method-assign,assignment]
    loop._chat._encoder = SimpleNamespace(steps=99, encode=lambda said: [0])  # type: ignore
    lines = [(1, "on?"), (2, "off?")]
    monkeypatch.setattr(prompt_loop, "piped_prompts", lambda: iter(lines))
    monkeypatch.setattr(prompt_loop, "reads_terminal", lambda options: False)
    loop._is_typing = False
    assert loop.run([]) == 0
    first = [Message("system", "be brief"), Message("user", "on?")]
    assert asked == [first, [*first, Message("assistant", "yes"), Message("user", "off?")]]
