"""Clusters as federation.toml has them, for tests."""

from dataclasses import replace

from host.cluster.cluster_fields import ClusterFile
from host.parallel.parallelism import Link


def cluster_file(chips=3, kind="uart", *, model="models/home.bin", digest=bytes(8), context=16,
                 key=b"", line="usb", **more):  # fmt: skip
    """A cluster on a link of this kind; more: other fields of ClusterFile."""
    link = Link(kind, line, 250 if kind == "espnow" else None)
    return ClusterFile(model, digest, chips, context, key, link, **more)


def on_link(cluster, kind, line="usb"):
    """The cluster on another link."""
    return replace(cluster, link=Link(kind, line, 250 if kind == "espnow" else None))
