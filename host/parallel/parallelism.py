"""The values that say how a cluster is linked and how a model is divided among its chips.

They travel together: from the command line to the cluster file, the plan, the executor and the
configuration of each chip.
"""

from __future__ import annotations

from dataclasses import dataclass

from host.errors import ClusterError, ParallelError

LINKS = ("uart", "espnow", "ring")
RING_BAUD = 3_000_000  # bits per second in a ring, unless another speed is given
LEAST_BAUD, MOST_BAUD = 9_600, 5_000_000  # speeds of bridges and of these chips' UARTs
# Where the host's serial line to a board ends: at its USB port, which is also the REPL's, or at
# the pins of its second UART, which has its own USB bridge.
LINES = ("usb", "pins")
REDUCERS = ("host", "chips")
# What chips exchange: partial sums, which each of them adds up, or finished activations.
ALL_REDUCED, ALL_GATHERED = EXCHANGES = ("all-reduce", "all-gather")
# The fewest chips of a group on the radio that send in turn: two collide so seldom that turns cost
# more than they save (bench/air.py).
FEWEST_IN_TURN = 3
# Where chips keep their weights: in their heaps, which are in PSRAM if there is any, or in a
# partition of their flash, from which they are read again for each token. With "flash-mapped",
# chips read them in place through their MMUs, which no silicon has confirmed. With "auto", they
# are in heaps if these have room, else in the flash of boards without PSRAM, or of all boards.
HEAP, FLASH, FLASH_MAPPED, ANYWHERE = WEIGHTS = ("heap", "flash", "flash-mapped", "auto")
STAGES_ALONE = "--stages is for --parallel hybrid: add that, or leave --stages out"
MAX_SLOTS = 64  # sequences whose KV caches a chip may have
BATCH_SLOTS = 8  # if several sequences are expected, but no option says how many


@dataclass(frozen=True)
class Link:
    """What connects the host with the chips, and the chips with each other.

    kind: "uart", a serial line to each chip, "espnow", radio with chip 0 as the gateway, or
    "ring", a serial line from the host to chip 0, from each chip to the next, and from the last to
    the host; line: where serial lines end, one of LINES, in a ring at pins; mtu: bytes of the
    longest ESP-NOW frame, None on serial lines; signed: whether frames are signed (version 3);
    gateway_code: bytes of RAM that a gateway's machine code takes besides that of other chips,
    known where a plan is made for boards; baud: bits per second of all lines of a ring, 0
    elsewhere.
    """

    kind: str = "uart"
    line: str = "usb"
    mtu: int | None = None
    signed: bool = False
    gateway_code: int = 0
    baud: int = 0

    def __post_init__(self) -> None:
        if self.is_ring:
            object.__setattr__(self, "line", "pins")
        object.__setattr__(self, "baud", (self.baud or RING_BAUD) if self.is_ring else 0)

    @property
    def is_ring(self) -> bool:
        """Whether frames between the host and chips, or between chips, pass through other
        chips."""
        return self.kind == "ring"

    @property
    def has_one_line(self) -> bool:
        """Whether the host reaches all chips over one serial line."""
        return self.kind != "uart"

    @property
    def has_radio(self) -> bool:
        """Whether chips reach each other over ESP-NOW."""
        return self.kind == "espnow"


@dataclass(frozen=True)
class Parallelism:
    """How a model is divided.

    strategy: "tensor" divides every layer among all chips, "pipeline" gives each chip whole
    layers, "hybrid" each group of chips; stages: how many groups hold whole layers one after
    another; reduce: who adds up the chips' partial sums, "host" or "chips"; exchange: what chips
    exchange, one of EXCHANGES; slots: how many sequences have KV caches at most, as far as heaps
    allow, 0 for as many as the strategy has by itself; weights: where chips keep them, one of
    WEIGHTS.
    """

    strategy: str = "tensor"
    stages: int = 1
    reduce: str = "host"
    exchange: str = ALL_REDUCED
    slots: int = 0
    weights: str = HEAP

    @property
    def code(self) -> str:
        """Whose machine code chips have beside all others': "host" where that adds up, "chips",
        "gather" or "stages" (host/hardware/ram.py)."""
        if self.strategy != "tensor":
            return "stages"
        return "gather" if self.exchange == ALL_GATHERED else self.reduce


UART = Link()
HOST_REDUCE = Parallelism()
ALL_REDUCE = Parallelism(reduce="chips")
ALL_GATHER = Parallelism(reduce="chips", exchange=ALL_GATHERED)


def pipeline(stages: int) -> Parallelism:
    """Returns the parallelism with whole layers on each of `stages` chips."""
    return Parallelism("pipeline", stages, "chips")


def hybrid(stages: int) -> Parallelism:
    """Returns the parallelism with whole layers on each of `stages` groups of chips."""
    return Parallelism("hybrid", stages, "chips")


def check_radio_option(option: str, value: object, kind: str) -> None:
    """Raises ParallelError if an option of the radio is given for a link without one, where it
    would do nothing. kind: that of Link; value: None if it is not given."""
    if value is not None and kind != "espnow":
        raise ParallelError(f"{option} is for --link espnow: leave it out with --link {kind}")


def check_reachable(link: Link, parallelism: Parallelism, chips: int) -> None:
    """Raises ClusterError if chips must exchange partial sums but cannot.

    On serial lines the host relays to a chip what all others send at once, and the REPL's port
    loses what comes while the chip computes. In a ring, frames from all chips to all would occupy
    each line once for each chip.
    """
    if link.is_ring and not suits_ring(parallelism, chips):
        raise ClusterError(RING_TAKES_STAGES)
    if link.kind == "uart" and link.line == "usb" and parallelism.reduce == "chips" and chips > 1:
        raise ClusterError(
            "chips cannot exchange partial sums over their REPL ports, which lose what arrives"
            " while they compute: give --link espnow, or --line pins"
        )


RING_TAKES_STAGES = (
    "chips in a ring hold whole layers, one chip after another: give --parallel pipeline, or for"
    " other strategies --link uart or espnow"
)


def suits_ring(parallelism: Parallelism, chips: int) -> bool:
    """Returns whether chips in a ring can work in this way: in stages, or a single chip."""
    return chips == 1 or parallelism.strategy == "pipeline"


def check_ring(parallelism: Parallelism, chips: int, layers: int) -> None:
    """Raises ParallelError for what a ring of `chips` chips cannot run."""
    if not suits_ring(parallelism, chips):
        raise ParallelError(RING_TAKES_STAGES)
    if chips > max(1, layers):
        raise ParallelError(
            f"a ring has at most one chip for each of the model's {layers} layers, and these are"
            f" {chips}: give --chips {layers}, or --link uart or espnow"
        )
