"""A conversation at the prompt: its messages so far, and those that the model is given."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from host.errors import ArgumentError
from host.generation.prompt_encoder import (
    Prompt,
    PromptEncoder,
    PromptTooLong,
    require_chat_template,
)
from host.model.chat import ASSISTANT, SYSTEM, USER, Conversation, Message
from host.model.checkpoint import Config
from host.model.prompt_format import PromptFormat


class Chat:
    """Keeps the messages of a conversation; the oldest are left out when it gets too long for the
    model."""

    def __init__(self, encoder: PromptEncoder, system: str | None) -> None:
        """system: the system message of each conversation, None for the template's."""
        self._encoder = encoder
        self._system = [] if system is None else [Message(SYSTEM, system)]
        self._said: list[Message] = []

    def begin(self) -> None:
        """Begins another conversation."""
        self._said.clear()

    def ask(self, prompt: str, on_shortening: Callable[[], None] = lambda: None) -> Conversation:
        """Returns the conversation with another message of the user at its end.

        on_shortening: called if the oldest messages had to be left out. A quarter of all tokens is
        reserved for the answer. Raises PromptTooLong if the message alone is too long, and
        ModelError if it is not text.
        """
        is_short = False
        while True:
            asked = [*self._system, *self._said, Message(USER, prompt)]
            room = self._encoder.steps // 4 if self._said else 0
            try:
                fits = len(self._encoder.encode(asked)) + room <= self._encoder.steps
            except PromptTooLong:
                if not self._said:
                    raise
                fits = False
            if fits:
                if is_short:
                    on_shortening()
                return asked
            is_short = True
            del self._said[:2]

    def note(self, prompt: str, answer: str) -> None:
        """Adds a message of the user and its answer to the conversation."""
        self._said += [Message(USER, prompt), Message(ASSISTANT, answer)]


def find_steps(options: argparse.Namespace, config: Config, context: int | None) -> int | None:
    """Returns the most tokens of a text, None for the default; a conversation may fill the
    context."""
    if options.chat and options.steps is None:
        return context or config.context
    return options.steps if options.steps is None else int(options.steps)


def check_chat(options: argparse.Namespace, form: PromptFormat) -> None:
    """Raises ArgumentError or ModelError if the model cannot hold the conversation asked for."""
    if options.chat:
        require_chat_template(form)
        if options.examples:
            raise ArgumentError("--examples and --chat: give one of them")
    elif options.system is not None:
        raise ArgumentError("--system is the beginning of a conversation: add --chat")


def make_prompt(options: argparse.Namespace, text: str) -> Prompt:
    """Returns the text as a prompt: as it is, or as the first message of a conversation."""
    if not options.chat:
        return text
    system = [] if options.system is None else [Message(SYSTEM, options.system)]
    return [*system, Message(USER, text)]
