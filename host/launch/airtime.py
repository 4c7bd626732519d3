"""Models how long the frames of each chip were on the air, from counted frames and bytes."""

from __future__ import annotations

from collections.abc import Sequence

from host.launch.chip_statistics import ChipStatistics
from host.launch.cluster import OpenCluster
from host.parallel.cost.radio import DEFAULT_RATE, radio_rate


def model_airtime(cluster: OpenCluster, statistics: Sequence[ChipStatistics]) -> dict[int, float]:
    """Returns the seconds of airtime by chip for a cluster on ESP-NOW; {} for serial lines.

    All frames are assumed to be broadcasts of their mean size, at the rate of the slowest board.
    Frames that a gateway relays for the host count as its own; those that it sends to the host are
    not on the air.
    """
    if not cluster.executor.plan.link.has_radio:
        return {}
    rate = radio_rate(cluster.boards) if cluster.boards else DEFAULT_RATE
    first = cluster.coordinator.dispatcher.first_chip

    def seconds(frames: int, size: int) -> float:
        return frames * rate.airtime(round(size / frames), is_broadcast=True) if frames else 0.0

    times = {}
    for chip in statistics:
        frames, size = chip.frames_sent, chip.bytes_sent
        if chip.chip == 0:
            frames = max(0, frames - first.frames_own)
            size = max(0, size - first.bytes_own)
            if cluster.executor.plan.chips > 1:
                frames, size = frames + first.frames_passed_on, size + first.bytes_passed_on
        times[chip.chip] = seconds(frames, size)
    return times
