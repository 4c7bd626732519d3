"""Asks a board at its prompt for a value, and checks that the answer arrived undamaged."""

from __future__ import annotations

import ast
import binascii
from typing import Any

from host.diagnosis.prompt import NoPrompt, Prompt

_ATTEMPTS = 3
# Short, because an interrupted node leaves little heap.
_SEND = """
import binascii
answer = repr(answer)
print(answer, binascii.crc32(answer.encode()))
"""


class DamagedAnswer(NoPrompt):
    """A board's answers arrive damaged."""


def ask(prompt: Prompt, program: str) -> Any:
    """Runs a program on the board, and returns the value of its variable `answer`, a literal.

    If the program or the answer is damaged on the way, it asks again. Raises NoPrompt if the
    program fails, and DamagedAnswer if no answer arrives undamaged.
    """
    attempts = _ATTEMPTS
    while True:
        attempts -= 1
        try:
            return _parse(prompt.output(program + _SEND))
        except NoPrompt:  # the program may have been damaged
            if not attempts:
                raise
        prompt.enter_again()


def _parse(printed: str) -> Any:
    """Returns the value in a printed answer. Raises DamagedAnswer."""
    text, _, checksum = printed.strip().rpartition(" ")
    try:
        if binascii.crc32(text.encode()) == int(checksum):
            return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        pass
    raise DamagedAnswer("what it answers is damaged on the way")
