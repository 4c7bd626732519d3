"""Prompts that are typed at a terminal, and what it shows."""

import pytest

from tests.system.conftest import STEPS
from tests.system.reference_runs import text_of
from tests.system.terminal import CTRL_C, CTRL_D, UP, Terminal
from tests.system.test_prompts import TOO_LONG


@pytest.fixture
def terminal():
    """Starts `host.run` at a terminal."""
    started = []

    def start(*arguments, **options):
        started.append(Terminal(*arguments, **options))
        return started[-1]

    yield start
    for one in started:
        one.close()


def test_commands_typed_at_a_terminal(terminal):
    user = terminal("--chips", 2)
    started = user.until("> ")
    assert "starting chips" in started and "2 of 2" in started
    assert started.endswith("2 chips ready: type a command, /help, or exit\n> ")
    user.type("turn off the kitchen lightsx\x7f\n")
    assert user.until("> ").endswith("\nlight.kitchen off\n> ")
    user.type("order")
    user.until("order")
    user.interrupt_until("\n> ")
    user.type(f"{TOO_LONG}\n")
    assert "error: the prompt has" in user.until("shorten it\n> ")
    user.type("order a pizza\n")
    assert user.until("> ").endswith("\nunknown\n> ")
    user.type(UP * 3 + "\n")
    assert user.until("> ").endswith("\nlight.kitchen off\n> ")
    user.type(CTRL_D)
    code, rest = user.ended()
    assert code == 0 and "synchronizations and" in rest


def test_what_is_typed_before_its_time_is_kept_and_shown_where_it_belongs(terminal, tmp_path):
    history = tmp_path / "kept" / "history"
    user = terminal("--chips", 1, "--no-stats", history=history)
    user.await_held_keys()
    user.type("turn off the kitchen lights\n/help\n")
    started = user.until("> ")
    assert "kitchen" not in started  # as it would be where keys are shown over the progress
    assert user.until("\n> ").startswith("turn off the kitchen lights\nlight.kitchen off\n")
    helped = user.until("(--no-stats: none).\n> ")
    assert helped.startswith("/help\nType a command") and "Ctrl-C stops an answer" in helped
    user.type("/nonsense\n")
    assert user.until("\n> ").endswith("\nno /nonsense: see /help\n> ")
    user.type("order a pizza\n" + CTRL_D)  # which comes while that is answered, or after it
    code, rest = user.ended()
    assert code == 0 and "unknown\n" in rest
    assert history.stat().st_mode & 0o777 == 0o600
    again = terminal("--chips", 1, "--no-stats", history=history)
    again.until("> ")
    again.type(UP * 3 + "\n")
    assert "light.kitchen off" not in again.until("\n> ")
    again.type(UP * 5 + "\n")
    assert "\nlight.kitchen off\n> " in again.until("off\n> ")
    again.type("exit\n")
    assert again.ended()[0] == 0


def test_an_end_of_input_in_the_midst_of_an_answer_ends_the_program_after_it(
    terminal, model_file, runs, tokenizer
):
    user = terminal("--model", model_file, "--chips", 2, "--link", "uart", "--no-stats")
    user.until("> ")
    once = text_of(runs[1], tokenizer, STEPS)
    user.type("Once upon a time\n")
    user.until(once[:30])
    user.type(CTRL_D)
    code, rest = user.ended()
    assert code == 0 and once[30:200] in rest


def test_prompts_of_a_file_fail_at_a_terminal_too(terminal, tmp_path):
    file = tmp_path / "prompts.txt"
    file.write_text("could you dim the bedroom lamp to thirty percent\n")
    user = terminal("--chips", 1, "--context", 20, "--prompts", file, "--no-stats")
    code, text = user.ended()
    assert code == 1 and "the answer may be cut off" in text


def test_an_interrupt_stops_an_answer_and_leaves_the_next_whole(
    terminal, model_file, runs, tokenizer
):
    user = terminal(
        "--model", model_file, "--chips", 2, "--link", "uart", "--loss", 0.1, "--no-stats"
    )
    user.until("> ")
    once, zoo = text_of(runs[1], tokenizer, STEPS), text_of(runs[5], tokenizer, STEPS)
    user.type("Once upon a time\n")
    user.until(once[:30])
    user.type(CTRL_C)
    stopped = user.until("> ")
    assert len(stopped) < 200 and stopped.endswith("\n> ")
    user.type("Zoo was\n")
    user.until("Zoo was\n")
    user.until(zoo[:40])
    user.type(CTRL_C)
    user.until("> ")
    user.type(CTRL_D)
    assert user.ended() == (0, "\n")


def test_messages_stand_on_lines_of_their_own_at_a_terminal(terminal, model_file, runs, tokenizer):
    user = terminal(
        "--model", model_file, "--chips", 2, "--link", "uart", "--loss", 0.2, "--verbose",
        "--steps", 24, "--no-stats", "--prompt", "Once upon a time",
    )  # fmt: skip
    code, text = user.ended()
    lines = text.splitlines()
    messages = [line for line in lines if "retransmitting" in line]
    assert code == 0 and messages
    assert all(line.startswith("retransmitting: ") for line in messages)
    others = [line for line in lines if line not in messages]
    assert text_of(runs[1], tokenizer) in "\n".join(others) + "\n"
