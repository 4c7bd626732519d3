"""Findings of a diagnosis, and the advice that goes with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """One line for the user; advice: what to do if something is wrong."""

    kind: Literal["ok", "wrong", "not looked at"]
    text: str
    advice: str = ""

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}" + (f". {self.advice}" if self.advice else "")


def fine(text: str) -> Finding:
    """Returns a finding that all is well."""
    return Finding("ok", text)


def wrong(text: str, advice: str) -> Finding:
    """Returns a finding on something that keeps the cluster from working well."""
    return Finding("wrong", text, advice)


def unseen(text: str) -> Finding:
    """Returns a finding on something that could not be examined; text: what, and why."""
    return Finding("not looked at", text)


def flash_again(chip: int | None, board: str | None = None) -> str:
    """Returns the advice to flash a chip again, None if its id is unknown."""
    of = "" if chip is None else f" CHIP_ID={chip}"
    return f"Flash it again: make flash BOARD={board or '...'}{of}"
