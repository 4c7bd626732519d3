"""The shape that the chips of a group share: dimensions, link, and what they hold at a time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from host.model import arithmetic
from host.model.checkpoint import Config
from host.model.sampling import count_candidates
from host.parallel.flash import block_bytes
from host.parallel.parallelism import UART, Link
from protocol.cobs import encoded_size
from protocol.fragment import LEAST_MTU, fragment_room
from protocol.frame import HEADER_SIZE, MAX_FRAME, TRAILER_SIZE
from protocol.messages import CANDIDATE_SIZE, MOST_LOGITS, RUN_SIZE

RXBUF_OVERHEAD = 14  # bytes that ESP-NOW's receive buffer adds to a message
# MicroPython's ring buffers count in 16 bits, and hold one byte less than their size. Very wide
# models, whose sums chips add up, would need more: what overflows is requested again.
LONGEST_RXBUF = 65_534
RESIDUAL_BITS = arithmetic.RESIDUAL_LIMIT.bit_length() + 1  # and a sign


@dataclass(frozen=True)
class Shape:
    """What the chips of a stage, which divide the same layers, have in common.

    config: the model's, with only this stage's layers; chips: their number in this stage; context:
    positions; positions: the most in one request; bits: of the widest partial sum; link: between
    all chips; slots: sequences whose keys and values are held at the same time; heard: chips of
    other stages whose messages reach those of this one; last: chips of the last stage; answers:
    whether this is the last stage; flash: bytes of each chip's partition for weights, by its id, 0
    if they lie in its heap, empty if they do on all chips; together: whether chips with such a
    partition read it once for all positions of a request.
    """

    config: Config
    chips: int
    context: int
    positions: int
    bits: int
    link: Link = UART
    slots: int = 1
    heard: int = 0
    last: int = 0
    answers: bool = True
    flash: tuple[int, ...] = ()
    together: bool = False

    def flash_room(self, chip: int) -> int:
        """Returns the bytes of a chip's partition for weights, 0 if they lie in its heap. Chips
        beyond those known are like the last one."""
        return self.flash[min(chip, len(self.flash) - 1)] if self.flash else 0

    def block(self, chip: int) -> int:
        """Returns the bytes of flash that a chip reads at once, the shard's `block`
        (protocol/flash_layout.py); 0 if its weights lie in its heap."""
        return block_bytes(self.config) if self.flash_room(chip) else 0

    @property
    def mtu(self) -> int | None:
        """The bytes of the longest ESP-NOW frame, None on UART."""
        return self.link.mtu

    @property
    def elements(self) -> int:
        """The elements of the residual stream of all positions in one request."""
        return self.positions * self.config.dim

    def scored(self, rows: int) -> int:
        """Returns the most positions for which an answer has the logits of `rows` rows."""
        return max(1, min(self.positions, MOST_LOGITS // max(1, self.score_bytes(rows))))

    def score_bytes(self, rows: int) -> int:
        """Returns the bytes of a position's logits of `rows` rows, or of the candidates of
        them."""
        if candidates := count_candidates(self.config.vocab_size):
            return CANDIDATE_SIZE * min(candidates, rows)
        return 2 * rows

    @property
    def runs_bytes(self) -> int:
        """The bytes of a request that name the sequences of its positions: at most two runs of
        each, since positions to be scored come after all others."""
        others = min(2 * self.slots, self.positions) - 1 if self.slots > 1 else 0
        return 1 + RUN_SIZE * others if others > 0 else 0

    @cached_property  # it is asked for many times in each plan that is tried
    def mtus(self) -> tuple[int, ...]:
        """The bytes of the longest frame; on the radio also those that chips fall back to if one
        of them takes no longer frames."""
        if self.mtu is None:
            return (MAX_FRAME,)
        return tuple({self.mtu, min(self.mtu, LEAST_MTU)})

    @property
    def longest(self) -> int:
        """The bytes of the longest frame on the link."""
        return max(self.mtus)

    def longest_frame(self, message: int) -> int:
        """Returns the bytes of the longest frame for a message of `message` bytes as one frame."""
        return min(message, self.longest)

    def frames(self, message: int) -> int:
        """Returns the most frames for a message of `message` bytes as one frame."""
        return count_frames(message, min(self.mtus))

    def radio_bytes(self, message: int) -> int:
        """Returns the most bytes that a message of `message` bytes as one frame takes of ESP-NOW's
        receive buffer."""
        return max(
            count_frames(message, mtu) * (min(message, mtu) + RXBUF_OVERHEAD) for mtu in self.mtus
        )

    def line_bytes(self, message: int) -> int:
        """Returns the most bytes that a message of `message` bytes as one frame takes on a serial
        line."""
        least = 0 if self.mtu is None else LEAST_MTU  # as it comes over the radio
        return max(
            count_frames(message, mtu) * encoded_size(min(mtu, max(message, least)))
            for mtu in self.mtus
        )


def count_frames(frame: int, mtu: int) -> int:
    """Returns how many frames of at most `mtu` bytes carry one of `frame` bytes."""
    if frame <= mtu:
        return 1
    return -(-(frame - HEADER_SIZE - TRAILER_SIZE[3]) // fragment_room(3, mtu))
