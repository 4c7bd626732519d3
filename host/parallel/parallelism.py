"""The values that say how a cluster is linked and how a model is divided among its chips.

They travel together: from the command line to the cluster file, the plan, the executor and the
configuration of each chip.
"""

from __future__ import annotations

from dataclasses import dataclass

from host.errors import ClusterError

LINKS = ("uart", "espnow")
# Where the host's serial line to a board ends: at its USB port, which is the REPL's too, or at
# the pins of its second UART, with a bridge of their own.
LINES = ("usb", "pins")
REDUCERS = ("host", "chips")
# How chips exchange what they compute: partial sums, which each adds up, or finished activations.
ALL_REDUCED, ALL_GATHERED = EXCHANGES = ("all-reduce", "all-gather")
# Chips of a group on the radio that send in turn: two collide so seldom that turns cost more than
# they save (bench/air.py).
FEWEST_IN_TURN = 3
# Where chips keep their weights: in their heaps, which lie in PSRAM where there is some, or in a
# partition of their flash, from which they are read again for each token; "auto" is in heaps where
# these have room, and else in the flash of boards without PSRAM, or of all.
HEAP, FLASH, ANYWHERE = WEIGHTS = ("heap", "flash", "auto")
MAX_SLOTS = 64  # sequences whose KV caches a chip may have
BATCH_SLOTS = 8  # where it is known that several will come, and nobody says how many


@dataclass(frozen=True)
class Link:
    """What connects the host and the chips, and these among each other.

    kind: "uart", a serial line to each chip, or "espnow", radio with chip 0 as the gateway; line:
    where serial lines end, one of LINES; mtu: bytes of the longest ESP-NOW frame, None on UART;
    signed: whether frames are signed (version 3); gateway_code: bytes of RAM that a gateway's
    machine code takes beside that of others, known where a plan is made for boards.
    """

    kind: str = "uart"
    line: str = "usb"
    mtu: int | None = None
    signed: bool = False
    gateway_code: int = 0

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


UART = Link()
HOST_REDUCE = Parallelism()
ALL_REDUCE = Parallelism(reduce="chips")
ALL_GATHER = Parallelism(reduce="chips", exchange=ALL_GATHERED)


def pipeline(stages: int) -> Parallelism:
    """Whole layers on each of so many chips."""
    return Parallelism("pipeline", stages, "chips")


def hybrid(stages: int) -> Parallelism:
    """Whole layers on each of so many groups of chips."""
    return Parallelism("hybrid", stages, "chips")


def check_reachable(link: Link, parallelism: Parallelism, chips: int) -> None:
    """Raises ClusterError where chips must exchange partial sums and cannot.

    On serial lines the host relays to a chip what all others send at once, and the REPL's port
    loses what comes while the chip computes.
    """
    if link.kind == "uart" and link.line == "usb" and parallelism.reduce == "chips" and chips > 1:
        raise ClusterError(
            "chips cannot exchange partial sums over their REPL ports, which lose what arrives"
            " while they compute: give --link espnow, or --line pins"
        )
