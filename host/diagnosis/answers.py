"""Asking a board at its prompt for a value, and knowing that the answer arrived as it was sent."""

from __future__ import annotations

import ast
import binascii
from typing import Any

from host.diagnosis.prompt import NoPrompt, Prompt

_ATTEMPTS = 3
# Short, for a node that was interrupted leaves little heap.
_SEND = """
import binascii
answer = repr(answer)
print(answer, binascii.crc32(answer.encode()))
"""


class DamagedAnswer(NoPrompt):
    """A board whose answers do not arrive as it sent them."""


def ask(prompt: Prompt, program: str) -> Any:
    """Returns the value, of literals, that a program has put into `answer`.

    What is damaged on the way, there or back, is asked for again. Raises NoPrompt if the
    program fails, and DamagedAnswer where no answer arrives whole.
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
    """Raises DamagedAnswer."""
    text, _, checksum = printed.strip().rpartition(" ")
    try:
        if binascii.crc32(text.encode()) == int(checksum):
            return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        pass
    raise DamagedAnswer("what it answers is damaged on the way")
