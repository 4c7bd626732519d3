"""What machine code of a chip's exchange with others finds where, and the registers it uses."""

from __future__ import annotations

from enum import IntEnum

from host.build.machine_code.frames import block_words

WORDS = block_words("exchange_block")
STAGE_WORDS = WORDS + block_words("exchange_stage")

# Registers: the frame that came, later other things; the words of a collective; changing use.
FRAME, ROUND, A, B, C = "k1", "k2", "k3", "k4", "k5"

# Results that are no lengths of frames.
OTHER, FINISH, PIECES, COMPUTE = -1, -2, -3, -4
# In place of a frame's length: bytecode has computed the sums of the phase that the step is in.
COMPUTED = -2
# In place of a program, or of an answer's address: that this is left to bytecode.
BY_BYTECODE = 1
# What is added to the bytes of a frame that is an answer, not a contribution.
ANSWER = 1 << 16

# A contribution's fields (protocol/collective.py).
EPOCH_AT, PIECE_AT, PIECES_AT, FIRST_AT, COUNT_AT, BITS_AT, DATA_AT = 8, 10, 11, 12, 14, 16, 17

# Bytes into the state of protocol/retransmit.py and protocol/collective.py.
NEWS, WAITED, TURN, FRESH, NOW, ERA, LIMIT = range(0, 28, 4)
# Into a round's (protocol/sums.py).
LEFT, MADE_FOR, COUNT, AGAIN, ARRIVED = range(0, 20, 4)
# Into a step's place (firmware/roles/step.py).
LAYER, PHASE, ROWS = range(0, 12, 4)
ATTENTION, FEED_FORWARD, IDLE = range(3)
# More phases, which machine code alone sets: a stage's STEP was taken in; all sums are added, and
# what comes of the step is to be sent.
BEGUN, ENDED = 3, 4
# Into the block's words of a round, and how many bytes those of the next are behind them.
TOTAL, OWN, STATE = range(0, 12, 4)
ROUND_WORDS = 12


class Stage(IntEnum):
    """Bytes into the words of a stage (firmware/roles/handover.py)."""

    MISSING = 0
    NUMBER = 4
    SIZE = 8
    HANDED = 12
    TAKEN = 16
    MADE_MS = 20
    PENDING = 24
    BEGUN = 28


class Entry(IntEnum):
    """Bytes into the words of a phase (firmware/compute/exchange_block.py); they are 32."""

    MULTIPLIERS = 0
    SHIFT = 4
    GAIN = 8
    NORM = 12
    EPSILON = 16
    LIMIT = 20
    PROGRAM = 24
    VALUES = 28


class Place(IntEnum):
    """Bytes into the words of a row of a step."""

    POSITION = 0
    POSITIONS = 4
    VALUES = 8


PLACE_WORDS = 12


class Group(IntEnum):
    """Bytes into the words of a group of positions that go together (firmware/compute/passes.py):
    how many; programs of attention before and behind what each position has by itself, and of
    feed-forward, 0 for none; where the first position's inputs go, and bytes to the next one's;
    where the addresses are of the programs of what each has by itself. They are 32."""

    COUNT = 0
    BEFORE = 4
    AFTER = 8
    FEED_FORWARD = 12
    INPUTS = 16
    STEP = 20
    OWN = 24


GROUP_WORDS = 32
