"""Chooses the port of the board to flash, if none was given."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from host.cluster.cluster_fields import ClusterFile
from host.errors import FlashError
from host.links.discovery import Candidate

# Asks the user a question and returns the answer; None if there is no terminal.
Ask = Callable[[str], str] | None


def choose_port(
    present: Sequence[Candidate], cluster: ClusterFile | None, chip: int, ask: Ask
) -> str:
    """Returns the port of the only board in question, or the one that the user chooses.

    Boards whose MAC, as USB reports it, belongs to another chip of the cluster are not in
    question. Raises FlashError.
    """
    if not present:
        raise FlashError(
            "no board is plugged in: connect one with a cable for data, or give PORT="
        )
    known = {one: cluster.chip_of(one.mac) for one in present if cluster and one.mac}
    same = [one for one, was in known.items() if was and was.id == chip]
    fitting = same or [one for one in present if not known.get(one)] or list(present)
    if len(fitting) == 1:
        return fitting[0].url
    listed = ", ".join(one.url for one in fitting)
    if ask is None:
        raise FlashError(f"several boards are plugged in: give PORT= as one of {listed}")
    answer = ask(_question(fitting)).strip()
    if answer.isdigit() and 1 <= int(answer) <= len(fitting):
        return fitting[int(answer) - 1].url
    if answer in [one.url for one in fitting]:
        return answer
    raise FlashError(f"{answer!r} is none of them: give PORT= as one of {listed}")


def _question(fitting: Sequence[Candidate]) -> str:
    lines = [
        f"  {number}  {one.url}" + (f"  {one.mac}" if one.mac else "")
        for number, one in enumerate(fitting, 1)
    ]
    return "\n".join(["Several boards are plugged in:", *lines, "Which one? "])
