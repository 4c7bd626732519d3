"""What kernels of frames go by, whichever processor they are for."""

from __future__ import annotations

import ast

from host.paths import SOURCES
from protocol.frame import DST, HEADER_SIZE, SEQUENCE, SRC, TYPE
from protocol.message_types import COMPUTE
from protocol.messages import COUNT, REQUEST_SIZE

# The module's global that the CRC's kernels read, and which these are.
READS = dict.fromkeys(("check_frame", "put_crc32"), ("_TABLE",))

# Functions that twins alone call: machine code has them within, and nothing in their place.
OF_TWINS = ("_fill", "_compress")

# What check_frame returns negated; protocol/frame_faults.py names the faults.
WRONG_VERSION, WRONG_SOURCE, TOO_LONG, TOO_SHORT, WRONG_LENGTH, WRONG_CRC = 1, 2, 3, 4, 5, 7
RESIDUE = 0xDEBB20E3  # where the register ends over a frame and its own CRC-32

# What `serve` answers: fields of a frame and their values beside its version, the fields that a
# frame which repeats an answered one shares with the answer, and their places there.
SERVED = ((TYPE, COMPUTE), (COUNT, 1))
COPIED = (
    (SRC, DST), (SEQUENCE, SEQUENCE), (SEQUENCE + 1, SEQUENCE + 1),
    *((HEADER_SIZE + i, HEADER_SIZE + i) for i in range(REQUEST_SIZE)),
)  # fmt: skip
BOOT_ID = HEADER_SIZE + REQUEST_SIZE  # in the answer


def block_words(name: str) -> tuple[str, ...]:
    """Returns the names of the words of the block that a module of firmware/compute has for its
    machine code: it is their source."""
    path = SOURCES / "firmware" / "compute" / f"{name}.py"
    for statement in ast.parse(path.read_text()).body:
        match statement:
            case ast.Assign(targets=[ast.Name(id="_WORDS")], value=value):
                words: tuple[str, ...] = ast.literal_eval(value)
                return words
    raise LookupError(f"{path.name} has no _WORDS")


WORDS = block_words("serve")
