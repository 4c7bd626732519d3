"""Checks that the model with which a cluster was flashed is there, unchanged, and fits its
boards."""

from __future__ import annotations

from collections.abc import Iterator

from host.cluster.cluster_fields import ClusterFile
from host.cluster.cluster_plan import plan_cluster
from host.diagnosis.findings import Finding, fine, unseen, wrong
from host.errors import BoardError, ModelError
from host.model.cache import load_quantized
from host.parallel.refusal import DoesNotFit
from protocol.messages import HASH_SIZE


def check_model(cluster: ClusterFile) -> Iterator[Finding]:
    """Yields findings on the cluster's model, by the plan that `run` makes."""
    try:
        model = load_quantized(cluster.model).quantize()
    except ModelError as error:
        yield unseen(f"whether the model fits: {error}")
        return
    digest = model.sha256()[:HASH_SIZE]
    if cluster.model_hash not in (b"", digest):
        yield wrong(
            f"{cluster.model} is {digest.hex()}, and the boards were flashed with"
            f" {cluster.model_hash.hex()}",
            "Put that model there again, or flash all boards again",
        )
    try:
        plan_cluster(model, cluster)
    except DoesNotFit as error:
        yield wrong(str(error), "Flash all boards again, so that they fit")
    except (ModelError, BoardError) as error:
        yield wrong(str(error), "Flash all boards again")
    else:
        yield fine(f"{cluster.model} fits the boards")
