"""Which way a run divides its model, by what its options name: on simulated chips, or as boards
were flashed."""

from __future__ import annotations

import argparse
from dataclasses import replace

from host.cluster import cluster_file
from host.cluster.cluster_file import Cluster, check_reach
from host.errors import ClusterError
from host.launch.boards import described, listed_ports
from host.launch.simulated import Settings
from host.model.loading import LoadedModel
from host.model.quantized import QuantizedModel
from host.parallel.modes import Cluster as ModeledCluster
from host.parallel.modes import best_mode, chosen_mode


def check_options(options: argparse.Namespace, layers: int, chips: int) -> None:
    """Raises ParallelError where options contradict each other."""
    chosen_mode(options.parallel, options.stages, options.combine, layers, chips)


def divided_settings(
    settings: Settings, options: argparse.Namespace, model: QuantizedModel, many: bool
) -> Settings:
    """The settings with the mode that options name, or that is the best for one stream or many.

    Raises ParallelError, ModelError.
    """
    mode = chosen_mode(
        options.parallel, options.stages, options.combine, model.config.layers, settings.chips
    )
    board, link = settings.board, settings.link
    if options.heap:
        # Simulated chips of this board have that, whatever else is in its RAM.
        board = replace(board, heap_kb=options.heap // 1024, chip=None)
    if options.parallel == "auto":
        signed = bool(settings.key)
        boards = (board,) * settings.chips
        mode = best_mode(model, ModeledCluster(boards, link, settings.context, signed), many)
    heap = options.heap or board.planned_heap(link, mode.combine)
    return replace(settings, combine=mode.combine, stages=mode.stages, heap=heap)


def boards_of(options: argparse.Namespace, source: LoadedModel) -> Cluster:
    """The cluster of boards to run on. Raises ClusterError, ParallelError."""
    for name in ("board", "heap", "loss", "secure"):
        if getattr(options, name) is not None:
            raise ClusterError(f"--{name} is for simulated chips, and --ports for boards")
    urls = listed_ports(options.ports)
    if urls == []:
        raise ClusterError("no port in --ports: give auto, or ports as /dev/ttyACM0")
    cluster = described(
        urls,
        chips=options.chips,
        link=options.link,
        context=options.context,
        combine=options.combine,
        most=source.config.context,
    )
    if options.parallel in (None, "auto"):
        return cluster  # as flashed
    mode = chosen_mode(
        options.parallel, options.stages, options.combine, source.config.layers, cluster.chips
    )
    if cluster_file.read() is None:
        cluster = replace(cluster, combine=mode.combine, stages=mode.stages)
        check_reach(cluster.link, cluster.line, cluster.combine, cluster.chips)
    if mode.stages != cluster.stages:
        flashed = f"{cluster.stages} stages" if cluster.stages else "--parallel tensor"
        raise ClusterError(
            f"{mode.options}: the boards were flashed with {flashed} ({cluster_file.FILE}): leave"
            " it out, or flash them again"
        )
    return cluster
