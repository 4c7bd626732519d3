"""What was found out about a board."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """One line for the user; advice: what to do where something is wrong."""

    kind: Literal["ok", "wrong", "not looked at"]
    text: str
    advice: str = ""

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}" + (f". {self.advice}" if self.advice else "")


def fine(text: str) -> Finding:
    """Returns what is as it should be."""
    return Finding("ok", text)


def wrong(text: str, advice: str) -> Finding:
    """Returns what keeps the cluster from working well."""
    return Finding("wrong", text, advice)


def unseen(text: str) -> Finding:
    """Returns what could not be looked at, and why."""
    return Finding("not looked at", text)


def flash_again(chip: int | None, board: str | None = None) -> str:
    """Returns the advice to do so."""
    of = "" if chip is None else f" CHIP_ID={chip}"
    return f"Flash it again: make flash BOARD={board or '...'}{of}"
