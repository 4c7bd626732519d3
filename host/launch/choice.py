"""Which way a run divides its model, by what its options name: on simulated chips, or as boards
were flashed."""

from __future__ import annotations

import argparse
from dataclasses import replace

from host.cluster import cluster_file
from host.cluster.cluster_fields import ClusterFile
from host.errors import ClusterError
from host.launch.boards import describe_cluster, listed_ports
from host.launch.simulated import Settings
from host.model.loading import LoadedModel
from host.model.quantized import QuantizedModel
from host.parallel.assessment import choose_parallelism, describe_options
from host.parallel.boards import BoardSet
from host.parallel.options import AUTO, parse_parallelism
from host.parallel.parallelism import check_reachable


def check_options(options: argparse.Namespace, layers: int, chips: int) -> None:
    """Raises ParallelError where options contradict each other."""
    parse_parallelism(options.parallel, options.stages, options.reduce, layers, chips)


def choose_settings(
    settings: Settings, options: argparse.Namespace, model: QuantizedModel, many: bool
) -> Settings:
    """The settings with the Parallelism that options name, or else with what is best for one
    sequence or many.

    Raises ParallelError, ModelError.
    """
    parallelism = parse_parallelism(
        options.parallel, options.stages, options.reduce, model.config.layers, settings.chips
    )
    boards = BoardSet(
        (settings.board,) * settings.chips, settings.link, settings.context,
        bool(settings.key), "pins", options.heap,
    )  # fmt: skip
    parallelism = parallelism or choose_parallelism(model, boards, many)
    heap = boards.heaps(parallelism)[0]
    return replace(settings, parallelism=parallelism, heap=heap)


def boards_of(options: argparse.Namespace, source: LoadedModel) -> ClusterFile:
    """Returns the cluster of boards to run on. Raises ClusterError, ParallelError."""
    for name in ("board", "heap", "loss", "secure"):
        if getattr(options, name) is not None:
            raise ClusterError(f"--{name} is for simulated chips, and --ports for boards")
    urls = listed_ports(options.ports)
    if urls == []:
        raise ClusterError("no port in --ports: give auto, or ports as /dev/ttyACM0")
    cluster = describe_cluster(
        urls,
        chips=options.chips,
        kind=options.link,
        context=options.context,
        reduce=options.reduce,
        most=source.config.context,
    )
    if options.parallel in (None, AUTO):
        return cluster  # as flashed
    parallelism = parse_parallelism(
        options.parallel, options.stages, options.reduce, source.config.layers, cluster.chips
    )
    assert parallelism is not None
    if cluster_file.read() is None:
        check_reachable(cluster.link, parallelism, cluster.chips)
        return replace(cluster, parallelism=parallelism)
    if options.reduce is None and parallelism.strategy == cluster.parallelism.strategy == "tensor":
        return cluster
    if parallelism != cluster.parallelism:
        raise ClusterError(
            f"{describe_options(parallelism)}: the boards were flashed with"
            f" {describe_options(cluster.parallelism)} ({cluster_file.FILE}): leave it out, or"
            " flash them again"
        )
    return cluster
