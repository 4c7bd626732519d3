"""Brings a board to its prompt without a reset, so that the radio keeps its settings."""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Sequence

from mpremote.transport import TransportError  # type: ignore[import-untyped]
from mpremote.transport_serial import SerialTransport  # type: ignore[import-untyped]

from host.links.access import explain_closed

# Seconds to wait: for a byte that is due at once; for the prompt, at each attempt (the first may
# be lost if a node is in the middle of a frame, or a board is resetting itself); for the prompt
# after a reset; and for the output of a program.
_READ_TIMEOUT, _ATTEMPTS, _RESET_ATTEMPTS, _RUN_TIMEOUT = 2, (2.0, 3.0), (4.0, 8.0), 20
# Seconds of silence to wait for, and for how long at most.
_SILENCE, _NOISE_TIMEOUT = 0.1, 1.0


class NoPrompt(Exception):
    """A board does not come to its prompt, or leaves it."""


class Prompt:
    """A board at its prompt. A context manager: at its end, the interrupted program starts again.

    All methods raise NoPrompt.
    """

    def __init__(self, url: str) -> None:
        try:
            self._transport = SerialTransport(url, timeout=_READ_TIMEOUT)
        except (TransportError, ValueError, OSError):
            raise NoPrompt(explain_closed(url)) from None
        try:
            self._quiet()
            self._enter(False, _ATTEMPTS)
        except NoPrompt:
            self.close()
            raise

    def soft_reset(self) -> None:
        """Empties the board's memory; main.py is not started."""
        self._enter(True, _RESET_ATTEMPTS)

    def enter_again(self) -> None:
        """Returns to the raw prompt after a failed exchange."""
        self._quiet()
        self._enter(False, _ATTEMPTS)

    def output(self, program: str) -> str:
        """Returns what a program prints."""
        try:
            output, error = self._transport.exec_raw(program, timeout=_RUN_TIMEOUT)
        except (TransportError, OSError) as failure:
            raise NoPrompt(str(failure)) from None
        if error:
            raise NoPrompt(error.decode(errors="replace").strip().splitlines()[-1])
        printed: str = output.decode(errors="replace")
        return printed

    def close(self) -> None:
        """Starts main.py, if there is one, and closes the port."""
        with (
            contextlib.closing(self._transport.serial),
            contextlib.suppress(OSError, TransportError),
        ):
            if self._transport.in_raw_repl:
                self._transport.exit_raw_repl()
                self._transport.serial.write(b"\x04")
            self._transport.close()

    def __enter__(self) -> Prompt:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _quiet(self) -> None:
        """Discards what the board prints in reply to earlier bytes: at a prompt, frames act as key
        strokes, and the output would be mistaken for that of the next command."""
        port, end = self._transport.serial, time.monotonic() + _NOISE_TIMEOUT
        try:
            port.write(b"\r\x03")
            time.sleep(_SILENCE)
            while port.in_waiting and time.monotonic() < end:
                port.read(port.in_waiting)
                time.sleep(_SILENCE)
        except OSError as error:
            raise NoPrompt(str(error)) from None

    def _enter(self, soft_reset: bool, attempts: Sequence[float]) -> None:
        for timeout in attempts:
            try:
                # mpremote prints what arrives in place of an answer.
                with contextlib.redirect_stdout(io.StringIO()):
                    self._transport.enter_raw_repl(soft_reset, timeout_overall=timeout)
                return
            except TransportError:
                continue
            except OSError as error:
                raise NoPrompt(str(error)) from None
        raise NoPrompt(f"no prompt within {sum(attempts):g} s")
