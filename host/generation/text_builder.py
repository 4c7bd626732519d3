"""Builds the text of a generation from its tokens, up to a stop string."""

from __future__ import annotations

from collections.abc import Sequence

from host.model.tokenizers.text import TextStream, Tokenizer


def without_bos(tokenizer: Tokenizer, prompt: Sequence[int]) -> Sequence[int]:
    """Returns the tokens of a prompt without BOS."""
    return prompt[1:] if prompt and prompt[0] == tokenizer.bos else prompt


class TextBuilder:
    """Builds the text of a generation.

    prompt_text: the text of the prompt's tokens; text: the text generated so far, without an end
    that may be the beginning of a stop string; has_stopped: whether a stop string came.
    """

    def __init__(
        self, tokenizer: Tokenizer, prompt: Sequence[int], stop: Sequence[str] = ()
    ) -> None:
        """prompt: its tokens, beginning with BOS if the model has one; stop: texts before which
        the text ends."""
        self._stream = TextStream(tokenizer)
        self.prompt_text = "".join(map(self._stream.push, without_bos(tokenizer, prompt)))
        self.text = ""
        self.has_stopped = False
        self._stop = tuple(stop)
        self._held = ""

    @property
    def whole(self) -> str:
        """The text with the end that is held back."""
        return self.text + self._held

    def push(self, token: int) -> str:
        """Adds a token; returns the text that is certain now and was not before."""
        self._held += self._stream.push(token)
        ends = [at for text in self._stop if (at := self._held.find(text)) >= 0]
        if ends:
            self.has_stopped = True
            certain, self._held = self._held[: min(ends)], ""
        else:
            keep = max((_overlap(self._held, text) for text in self._stop), default=0)
            cut = len(self._held) - keep
            certain, self._held = self._held[:cut], self._held[cut:]
        self.text += certain
        return certain

    def finish(self) -> str:
        """Returns the text that was held back, because no stop string came."""
        rest, self._held = self._held, ""
        self.text += rest
        return rest


def _overlap(text: str, stop: str) -> int:
    """Returns how many characters at the end of `text` may be the beginning of `stop`."""
    longest = min(len(text), len(stop) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)
