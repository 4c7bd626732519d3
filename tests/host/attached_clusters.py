"""Files of clusters whose boards are at ports."""

from dataclasses import replace

from host.cluster.cluster_fields import FlashedChip
from host.model.checkpoint import Config
from tests.clusters import cluster_file

KEY = bytes(range(32))
# So narrow that no frame needs fragments, which a chip on a REPL port takes and one on a UART of
# its own does not.
NARROW = Config(dim=8, hidden_dim=10, layers=2, heads=2, kv_heads=2, vocab_size=40, context=16)
WIDE = replace(NARROW, dim=64)  # a frame of four positions has 512 bytes of numbers


def cluster_of(model, kind="uart", **changes):
    settings = {"chips": 2, "key": KEY, **changes}
    return cluster_file(kind=kind, model="narrow.bin", digest=model.sha256()[:8], **settings)


def flashed(cluster, urls):
    chips = [
        FlashedChip(i, "esp32c3", f"00:00:00:00:00:{i:02x}", url) for i, url in enumerate(urls)
    ]
    return replace(cluster, flashed=tuple(chips))
