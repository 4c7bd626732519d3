"""Chooses the numbers of sequences, and of positions in a message, for all chips of a group."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from host.errors import ModelError
from host.model.outline import Divisible
from host.parallel.limits import check_limits
from host.parallel.plan import MAX_CHIPS, Resources, Strategy
from host.parallel.shape import LONGEST_RXBUF, Shape
from host.wire.framing import frame_room
from protocol.collective import CONTRIBUTION_FIELDS
from protocol.fragment import MAX_FRAGMENTS, MAX_MESSAGE, fragment_room
from protocol.frame import MAX_PAYLOAD
from protocol.messages import REQUEST_SIZE
from protocol.wide_collective import MOST_MEMBERS, MOST_PIECES

# The more positions a request has, the less waiting each further one saves; they take buffers, and
# on the radio are answered in more frames at once than a gateway can receive. So a plan starts
# with these numbers, and gets more only if heaps have room anyway and the link carries them well.
MAX_POSITIONS_UART, MAX_POSITIONS_RADIO = 4, 2
MOST_POSITIONS = 8
_PARTIAL_HEAD = REQUEST_SIZE + 3  # boot id and width


def make_shape(strategy: Strategy, model: Divisible, resources: Resources) -> Shape:
    """Returns the shape of the chips. Raises ModelError for impossible values."""
    config, chips, link = model.config, resources.chips, resources.link
    if not 1 <= chips <= MAX_CHIPS:
        raise ModelError(f"chips must be 1 to {MAX_CHIPS}, got {chips}")
    context = config.context if resources.context is None else resources.context
    if not 1 <= context <= config.context:
        raise ModelError(f"context must be 1 to {config.context}, the model's, got {context}")
    check_limits(config, context)
    bits = strategy.element_bits(model)
    positions = _request_positions(strategy, config.dim, bits, link.mtu)
    shape = Shape(config, chips, context, positions, bits, link, flash=resources.flash)
    if strategy.keeps_residual:
        banks = strategy.exchange_banks(shape)
        if chips * banks > MOST_MEMBERS:
            raise ModelError(
                f"{chips} chips cannot add up {config.dim} elements among themselves over this"
                f" link: at most {MOST_MEMBERS // banks} can, or the host with --reduce host"
            )
    return shape


def list_roomier(strategy: Strategy, shape: Shape, slots: int) -> Iterator[Shape]:
    """Yields shapes with more sequences, at most `slots`, and more positions, the best first.

    Where weights are in flash, with positions that are computed together, if possible. On the
    radio, with as many positions as a frame carries in both directions; for wide models, of
    which a frame carries at most one, with as many as a message does.
    """
    in_a_frame = _positions(strategy, shape.config.dim, shape.bits, MAX_PAYLOAD)
    is_wide = in_a_frame < 2
    most = _most_positions(strategy, shape)
    counts = [
        positions
        for positions in range(most, shape.positions, -1)
        if _goes_well(strategy, replace(shape, positions=positions), is_wide)
    ]
    for each in range(max(slots, shape.slots), shape.slots - 1, -1):
        for positions in (*counts, shape.positions) if shape.flash else ():
            if positions > 1:
                yield replace(shape, slots=each, positions=positions, together=True)
        for positions in (*counts, shape.positions):
            if (each, positions) != (shape.slots, shape.positions):
                yield replace(shape, slots=each, positions=positions)


def _goes_well(strategy: Strategy, shape: Shape, is_wide: bool) -> bool:
    """Returns whether the link carries the shape's positions well: in single frames, or in
    buffers."""
    if not is_wide:
        return strategy.goes_in_a_frame(shape)
    rxbuf = strategy.uart_rxbuf(shape)
    if shape.mtu is not None:
        rxbuf = max(rxbuf, strategy.radio_rxbuf(shape, True), strategy.radio_rxbuf(shape, False))
    return rxbuf <= LONGEST_RXBUF


def _most_positions(strategy: Strategy, shape: Shape) -> int:
    """Returns the most positions that a message carries in fragments, in both directions, and
    CONTRIBUTIONs in pieces."""
    mtu, bits, dim = min(shape.mtus), shape.bits, shape.config.dim
    message = min(MAX_MESSAGE, MAX_FRAGMENTS * fragment_room(3, mtu))
    piece = (frame_room(3, mtu) - CONTRIBUTION_FIELDS) * 8 // bits
    return min(
        MOST_POSITIONS,
        _positions(strategy, dim, bits, message - shape.runs_bytes),
        MOST_PIECES * piece // dim,
    )


def _positions(strategy: Strategy, dim: int, bits: int, size: int) -> int:
    """Returns how many positions' activations, and packed partial sums, fit `size` payload
    bytes."""
    back = (size - _PARTIAL_HEAD) * 8 // (dim * bits)
    return min(strategy.request_positions(dim, size), back)


def _request_positions(strategy: Strategy, dim: int, bits: int, mtu: int | None) -> int:
    """Returns as many positions as the longest frame on a line carries in both directions and the
    link carries well; 1 for wide models, of which a position takes several frames."""
    most = MAX_POSITIONS_UART if mtu is None else MAX_POSITIONS_RADIO
    return max(1, min(most, _positions(strategy, dim, bits, MAX_PAYLOAD)))
