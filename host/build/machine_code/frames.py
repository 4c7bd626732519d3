"""Constants for the kernels of frames, on all processors."""

from __future__ import annotations

import ast

from host.paths import SOURCES
from protocol.frame import DST, HEADER_SIZE, SEQUENCE, SRC, TYPE
from protocol.message_types import COMPUTE
from protocol.messages import COUNT, REQUEST_SIZE

# The module's global that the CRC's kernels read, and which these are.
READS = dict.fromkeys(("check_frame", "put_crc32"), ("_TABLE",))

# Functions that only twins call: machine code contains them, and does not replace them.
OF_TWINS = ("_fill", "_compress")

# Faults that check_frame returns negated; protocol/frame_faults.py names them.
WRONG_VERSION, WRONG_SOURCE, TOO_LONG, TOO_SHORT, WRONG_LENGTH, WRONG_CRC = 1, 2, 3, 4, 5, 7
RESIDUE = 0xDEBB20E3  # the register after a frame with its own CRC-32

# What `serve` answers: fields of a frame and their values beside its version, the fields that a
# frame which repeats an answered one shares with the answer, and their places there.
SERVED = ((TYPE, COMPUTE), (COUNT, 1))
COPIED = (
    (SRC, DST), (SEQUENCE, SEQUENCE), (SEQUENCE + 1, SEQUENCE + 1),
    *((HEADER_SIZE + i, HEADER_SIZE + i) for i in range(REQUEST_SIZE)),
)  # fmt: skip
BOOT_ID = HEADER_SIZE + REQUEST_SIZE  # in the answer


def block_words(name: str) -> tuple[str, ...]:
    """Returns the names of the words of the block that a module of firmware/compute makes for its
    machine code, from the source of the module."""
    path = SOURCES / "firmware" / "compute" / f"{name}.py"
    for statement in ast.parse(path.read_text()).body:
        match statement:
            case ast.Assign(targets=[ast.Name(id="_WORDS")], value=value):
                words: tuple[str, ...] = ast.literal_eval(value)
                return words
    raise LookupError(f"{path.name} has no _WORDS")


WORDS = block_words("serve")
