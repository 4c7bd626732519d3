"""Explains in one line why esptool failed: what is wrong with board, line or image.

esptool's own messages are long, and advise options that `host.flash` does not have.
"""

from __future__ import annotations

import errno
import os
import re

from host.errors import FlashError
from host.links.access import explain_closed

# What esptool prints when a port has disappeared while it reads, writes or closes it.
_GONE = (
    "Lost connection", "serial exception", os.strerror(errno.EIO), os.strerror(errno.ENXIO),
)  # fmt: skip
# What it prints when a line damages or loses bytes.
_NOISE = (
    "serial noise", "stopped responding", "No more data to read", "data stream stopped",
    "No serial data received", "Invalid head of packet", "Invalid SLIP escape",
    "content transfer stopped", "doesn't match request", "hecksum", "Inflate error", "Deflate",
    "Failed to set baud rate", "Failed to start stub flasher", "Corrupt data",
    "byte status response", "Unable to verify flash chip connection",
)  # fmt: skip
_FATAL = re.compile(r"(?:fatal|serial exception) error occurred: (.*)")
_REVISION = re.compile(r"requires chip revision (.+) \(this chip is revision (\S+)\)")
# Sentences that do not help our users.
_FOREIGN = re.compile(r"--?\w+-?\w*\b.*|.*\bargument\b.*|.*https?://.*|.*\besp-?tool\b.*")


class NoisyLine(FlashError):
    """A line damages or loses bytes; at a lower speed it may not."""


def make_error(port: str, output: str, doing: str) -> FlashError:
    """Returns the error in esptool's output, as one line; doing: what it was doing."""
    match = _FATAL.search(output)
    reason = match[1].strip() if match else ""
    lost = f"lost the board on {port} while {doing}: the same command goes on"
    if any(sign in output for sign in _GONE):
        return FlashError(lost)  # esptool may have tried again and reported how that ended
    if "port is busy or doesn't exist" in reason:
        return FlashError(explain_closed(port))
    if "://" not in port and not os.path.exists(port):
        return FlashError(lost)
    if "Failed to connect" in reason:
        return FlashError(
            f"no bootloader answers on {port}: check that it is the board's port, or hold BOOT,"
            " press and release RESET, and try again"
        )
    if "MD5 of file does not match" in reason:
        return FlashError(
            f"the flash of the board on {port} does not hold what was written, {doing}: the same"
            " command tries again"
        )
    if any(sign in reason for sign in _NOISE):
        return NoisyLine(f"the line to {port} damages what it carries, {doing}")
    return FlashError(_refusal(port, reason) or _unknown(port, reason, output, doing))


def explain_locked(port: str) -> str:
    """Returns the message for a board whose chip has Secure Boot or secure download mode on."""
    return (
        f"the board on {port} is locked to firmware that its maker has signed (Secure Boot): use"
        " another board"
    )


def _refusal(port: str, reason: str) -> str | None:
    """Returns what the chip itself refuses, None if it is not that."""
    low = reason.lower()
    if revision := _REVISION.search(reason):
        needed, found = revision.groups()
        return (
            f"this MicroPython needs chip revision {needed}, and the chip on {port} is {found}:"
            " give an image for it with --firmware, or use another board"
        )
    if "encryption" in low or "encrypted" in low:
        return (
            f"the flash of the board on {port} is encrypted, for other firmware: use another board"
        )
    if "secure boot" in low or "secure download" in low or "key manager" in low:
        return explain_locked(port)
    if kinds := re.search(r"This chip is (\S+), not (\S+)\.", reason):
        return f"the chip on {port} is an {kinds[1]}, not an {kinds[2]}: is it another board?"
    return None


def _unknown(port: str, reason: str, output: str, doing: str) -> str:
    last = reason or (output.strip().splitlines() or ["it printed nothing"])[-1].strip()
    sentences = re.split(r"(?<=[.!?]) ", last)
    kept = " ".join(one for one in sentences if not _FOREIGN.search(one))
    return f"writing the board on {port} failed while {doing}: {kept or 'no reason is given'}"
