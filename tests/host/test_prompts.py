"""Lines as prompts, Ctrl-C while one is answered, and messages that wait for the end of a line."""

import io
import logging
import signal
import sys

import pytest

from host.cli.prompts import StopAtInterrupt, example, is_terminal, piped_prompts
from host.cli.terminal import Display
from host.errors import TextError


def test_lines_have_their_numbers_and_keep_their_spaces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n  one \r\n \t\ntwo"))
    assert list(piped_prompts()) == [(1, ""), (2, "  one "), (3, " \t"), (4, "two")]


def pipe(data: bytes) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BufferedReader(io.BytesIO(data)), "utf-8")  # type: ignore[arg-type]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_says_how_lines_are_encoded(
    monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    monkeypatch.setattr(sys, "stdin", pipe("\r\ncaf\xe9 \r\n".encode(encoding)))
    assert list(piped_prompts()) == [(1, ""), (2, "caf\xe9 ")]


def test_a_line_that_is_no_text_is_told_in_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", pipe(b"one\ncaf\xe9\nthree\n"))
    first, (number, error), third = piped_prompts()
    assert (first, third) == ((1, "one"), (3, "three"))
    assert number == 2 and isinstance(error, TextError)


def test_a_pipe_of_another_encoding_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", pipe("one\ntwo".encode("utf-16-le")))
    with pytest.raises(TextError, match="^standard input: it is UTF-16 text without a byte order"):
        list(piped_prompts())


def test_a_standard_input_that_is_closed_has_no_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert list(piped_prompts()) == [] and not is_terminal(sys.stdin)


def test_a_prompt_that_is_shown_does_not_steer_the_terminal() -> None:
    assert example("turn on \x1b]0;pwned\x07\x1b[2Jthe\xa0fan") == "> turn on ]0;pwnedthe fan\n"


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


def log(display: Display, words: str) -> None:
    """Has a message logged."""
    display.handle(logging.makeLogRecord({"msg": words}))


def test_messages_wait_for_the_end_of_a_line_of_the_same_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(sys, "stderr", screen)
    display = Display()
    log(display, "before")
    display.show("Once ")
    log(display, "during")
    display.show("upon")
    display.show("")
    display.show(" a time\n")
    log(display, "after")
    assert screen.getvalue() == "before\nOnce upon a time\nduring\nafter\n"


def test_messages_to_elsewhere_do_not_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screen, file = Screen(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", file)
    monkeypatch.setattr(sys, "stderr", screen)
    display = Display()
    display.show("Once ")
    log(display, "during")
    assert (file.getvalue(), screen.getvalue()) == ("Once ", "during\n")


def test_nothing_is_shown_where_objects_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    Display(silent=True).show("Once\n")
    assert capsys.readouterr().out == ""
