"""Encodes prompts as tokens."""

from __future__ import annotations

from host import text_input
from host.errors import Curable, ModelError, TextError
from host.model.chat import ChatTemplate, Conversation, Message
from host.model.checkpoint import Config
from host.model.loading import LoadedModel, ModelHeader
from host.model.prompt_format import PromptFormat

_DEFAULT_STEPS = 256

# A text to continue or to answer, or a conversation in which the model writes the next message.
Prompt = str | Conversation


class PromptTooLong(ModelError):
    """A prompt does not fit into the context or the steps; the message has both numbers."""


class PromptEncoder:
    """Encodes prompts in a model's format, and checks that each leaves room to generate.

    steps: the most tokens after BOS.
    """

    def __init__(
        self,
        source: LoadedModel | ModelHeader,
        context: int | None,
        steps: int | None,
        *,
        is_flashed: bool = False,
    ) -> None:
        """context: positions of the KV caches, None for all that the model allows; is_flashed:
        whether boards were flashed with this context, so that no option of a run changes it.

        Raises ModelError as check_steps does.
        """
        check_steps(source.config, context, steps)
        self._tokenizer = source.tokenizer
        self._format = source.prompt_format
        self._most, self._is_flashed = source.config.context, is_flashed
        self._context = context or self._most
        self.steps = steps or min(_DEFAULT_STEPS, self._context)

    def _encode_conversation(self, messages: Conversation) -> list[int]:
        texts = [Message(one.role, text_input.normalize(one.content)) for one in messages]
        return require_chat_template(self._format).encode(texts, self._tokenizer)

    @property
    def limit(self) -> str:
        """Why a text ends that the model does not end itself, in words."""
        if self.steps < self._context:
            return f"--steps {self.steps} are taken"
        return f"the context of {self._context} positions is full"

    def encode(self, prompt: Prompt) -> list[int]:
        """Returns BOS and the tokens of a prompt in the model's format; those of a conversation up
        to where the model's answer begins.

        Raises PromptTooLong, ModelError for a prompt that is not text, and for a conversation with
        a model that has no chat template.
        """
        if isinstance(prompt, str):
            tokens = self._tokenizer.encode(self._format.text(prompt))
        else:
            tokens = self._encode_conversation(prompt)
        count = len(tokens)
        if count > self._context:
            longer = f" or raise the context (--context, up to {self._most})"
            if self._is_flashed:
                longer = f", or flash all boards again with a --context of up to {self._most}"
            raise PromptTooLong(
                f"the prompt has {count} tokens, BOS included, and the context {self._context}"
                f" positions: shorten it{longer * (self._context < self._most)}"
            )
        if count > self.steps:
            raise PromptTooLong(
                f"the prompt has {count} tokens, BOS included: --steps {self.steps} leaves none"
                " to generate"
            )
        return tokens


def require_chat_template(form: PromptFormat) -> ChatTemplate:
    """Returns the format's template of conversations. Raises ModelError if it has none."""
    if form.chat is None:
        raise ModelError(
            "this model has no chat template, so it knows no conversations: leave --chat out, or"
            " give a [chat] table with the template's source in the file beside the model"
        )
    return form.chat


def check_steps(config: Config, context: int | None, steps: int | None) -> None:
    """Raises ModelError for a context that a model does not allow, and for steps that do not fit
    into it; each None if it is not given."""
    most = config.context
    if context is not None and not 1 <= context <= most:
        raise Curable(f"context must be 1 to {most}, got {context}")
    if steps is not None and not 1 <= steps <= (context or most):
        raise Curable(f"--steps {steps}: 1 to {context or most}, the context, can be generated")


def read_prompts(path: str) -> dict[int, str]:
    """Returns the lines of a file that are not empty, by line number.

    Raises ModelError if there are none, or for an encoding that text_input does not read.
    """
    try:
        text = text_input.read_text(path)
    except OSError as error:
        raise ModelError(f"--prompts {path}: {error.strerror}") from None
    except TextError as error:
        raise ModelError(f"--prompts {path}: {error}") from None
    # As in standard input: other characters that end lines are part of a prompt.
    lines = enumerate(text.split("\n"), start=1)
    prompts = {number: line for number, line in lines if line.strip()}
    if not prompts:
        raise ModelError(f"--prompts {path}: no line has a prompt")
    return prompts
