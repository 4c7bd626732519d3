"""Lines as prompts, Ctrl-C while one is answered, and messages that wait for the end of a line."""

import io
import logging
import signal
import sys

import pytest

from host.cli.prompts import StopAtInterrupt, is_terminal, piped_prompts
from host.cli.terminal import Display


def test_lines_have_their_numbers_and_keep_their_spaces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n  one \r\n \t\ntwo"))
    assert list(piped_prompts()) == [(2, "  one "), (4, "two")]


def test_bytes_that_are_no_utf_8_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"caf\xc3\xa9 \xff\n"), "utf-8"))
    ((_, line),) = piped_prompts()
    assert line.encode("utf-8", "surrogateescape") == b"caf\xc3\xa9 \xff"


def test_a_standard_input_that_is_closed_has_no_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert list(piped_prompts()) == [] and not is_terminal(sys.stdin)


def test_the_first_interrupt_asks_and_the_second_interrupts() -> None:
    before = signal.getsignal(signal.SIGINT)
    with StopAtInterrupt() as stop:
        assert not stop.is_requested
        signal.raise_signal(signal.SIGINT)
        assert stop.is_requested
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


def told(display: Display, words: str) -> None:
    display.handle(logging.makeLogRecord({"msg": words}))


def test_messages_wait_for_the_end_of_a_line_of_the_same_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(sys, "stderr", screen)
    display = Display()
    told(display, "before")
    display.show("Once ")
    told(display, "during")
    display.show("upon")
    display.show("")
    display.show(" a time\n")
    told(display, "after")
    assert screen.getvalue() == "before\nOnce upon a time\nduring\nafter\n"


def test_messages_to_elsewhere_do_not_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screen, file = Screen(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", file)
    monkeypatch.setattr(sys, "stderr", screen)
    display = Display()
    display.show("Once ")
    told(display, "during")
    assert (file.getvalue(), screen.getvalue()) == ("Once ", "during\n")


def test_nothing_is_shown_where_objects_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    Display(silent=True).show("Once\n")
    assert capsys.readouterr().out == ""
