"""Describes clusters of boards, from federation.toml or from options."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from host.build.configuration import REPL_MTU
from host.cluster import cluster_file
from host.cluster.cluster_fields import ClusterFile
from host.errors import ClusterError
from host.model.checkpoint import Config
from host.parallel.assessment import describe_options
from host.parallel.options import AUTO as AUTO_PARALLEL
from host.parallel.options import parse_parallelism
from host.parallel.parallelism import HOST_REDUCE, Link, check_reachable, pipeline

AUTO = "auto"
_CHIPS = 5  # on the radio and in a ring, if no option says how many


def describe_cluster(
    urls: Sequence[str] | None,
    config: Config,
    *,
    chips: int | None = None,
    link: str | None = None,
    context: int | None = None,
    parallel: str | None = None,
    stages: int | None = None,
    reduce: str | None = None,
    exchange: str | None = None,
    line_baud: int | None = None,
) -> ClusterFile:
    """Returns the cluster that federation.toml describes or, without that file, the options.

    urls: the ports, None to find them; config: of the model; the others: options of these names,
    each None if it was not given. Raises ClusterError if file and options contradict each other,
    or say too little, and ParallelError for options that contradict each other.
    """
    flashed = cluster_file.read()
    if flashed is None:
        cluster = _describe_unknown(
            urls, config, chips, link, context, reduce, exchange, line_baud
        )
    else:
        cluster = flashed
        _check_option("chips", chips, cluster.chips)
        _check_option("link", link, cluster.link.kind)
        _check_option("context", context, cluster.context)
        _check_option("reduce", reduce, cluster.parallelism.reduce)
        _check_option("exchange", exchange, cluster.parallelism.exchange)
        if cluster.link.is_ring:
            _check_option("line-baud", line_baud, cluster.link.baud)
    if line_baud and not cluster.link.is_ring:
        raise ClusterError(
            f"--line-baud {line_baud}: lines to boards are as fast as they carry, but in a ring:"
            " leave it out"
        )
    if parallel in (None, AUTO_PARALLEL):
        return cluster
    parallelism = parse_parallelism(
        parallel, stages, reduce, config.layers, cluster.chips, exchange=exchange
    )
    assert parallelism is not None
    if flashed is None:
        check_reachable(cluster.link, parallelism, cluster.chips)
        return replace(cluster, parallelism=parallelism)
    named = reduce or exchange
    if named is None and parallelism.strategy == cluster.parallelism.strategy == "tensor":
        return cluster
    if replace(parallelism, slots=cluster.parallelism.slots) != cluster.parallelism:
        raise ClusterError(
            f"{describe_options(parallelism)}: the boards were flashed with"
            f" {describe_options(cluster.parallelism)} ({cluster_file.FILE}): leave it out, or"
            " flash them again"
        )
    return cluster


def _check_option(name: str, value: int | str | None, flashed: int | str) -> None:
    if value not in (None, flashed):
        raise ClusterError(
            f"--{name} {value}: the boards were flashed with {name} {flashed}"
            f" ({cluster_file.FILE}): leave it out, or flash them again"
        )


def _describe_unknown(
    urls: Sequence[str] | None,
    config: Config,
    chips: int | None,
    link: str | None,
    context: int | None,
    reduce: str | None,
    exchange: str | None,
    line_baud: int | None,
) -> ClusterFile:
    """Returns the cluster that the options describe, where there is no file."""
    if urls is None:
        raise ClusterError(
            "no federation.toml here, by which --ports auto finds the boards: flash them from"
            " this folder, or list their ports"
        )
    kind = link or ("uart" if len(urls) > 1 else "espnow")
    between = Link(kind, mtu=REPL_MTU if kind == "espnow" else None, baud=line_baud or 0)
    count = chips or (_CHIPS if between.has_one_line else len(urls))
    parallelism = parse_parallelism(None, None, reduce, 1, count, exchange=exchange)
    if parallelism is None:
        parallelism = pipeline(count) if between.is_ring else HOST_REDUCE
    check_reachable(between, parallelism, count)
    return ClusterFile("", b"", count, context or config.context, b"", between, parallelism)


def listed_ports(text: str) -> list[str] | None:
    """Returns the ports in an option's text, None for "auto"."""
    return None if text == AUTO else [url for url in text.split(",") if url]
