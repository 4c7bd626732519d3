"""A board at its prompt, reached without a reset, so that the radio is still set as it was."""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Sequence

from mpremote.transport import TransportError  # type: ignore[import-untyped]
from mpremote.transport_serial import SerialTransport  # type: ignore[import-untyped]

from host.links.access import explain_closed

# Seconds for a byte that is due at once, for the prompt at each attempt (the first may be lost on
# a node that is in the middle of a frame, or on a board that was resetting itself) and after a
# reset, and for what a program prints.
_READ_TIMEOUT, _ATTEMPTS, _RESET_ATTEMPTS, _RUN_TIMEOUT = 2, (2.0, 3.0), (4.0, 8.0), 20
# Of silence, and until that is waited for no more.
_SILENCE, _NOISE_TIMEOUT = 0.1, 1.0


class NoPrompt(Exception):
    """A board that does not come to its prompt, or leaves it."""


class Prompt:
    """A context manager; when it ends, what was interrupted starts again. All raise NoPrompt."""

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
        """Comes back to the prompt for programs after an exchange that went wrong."""
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
        """Starts main.py, where there is one, and closes the port."""
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
        """Discards what a board prints at what came before: frames that are typed at a prompt are
        keys there too, and the answer to those would be taken for one to what follows."""
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
                # It prints what came instead of an answer.
                with contextlib.redirect_stdout(io.StringIO()):
                    self._transport.enter_raw_repl(soft_reset, timeout_overall=timeout)
                return
            except TransportError:
                continue
            except OSError as error:
                raise NoPrompt(str(error)) from None
        raise NoPrompt(f"no prompt within {sum(attempts):g} s")
