"""Decides what is held out: whole combinations, by a hash, so that no seed can mix the two
sides."""

from __future__ import annotations

import hashlib
from functools import cache

SEED = "home-1"
HELD_OUT_ONE_IN = 8


@cache
def is_held_out(*combination: str) -> bool:
    """Returns whether training must never see `combination`: one in HELD_OUT_ONE_IN."""
    key = "\0".join((SEED, *combination)).encode()
    return hashlib.blake2b(key, digest_size=1).digest()[0] % HELD_OUT_ONE_IN == 0
