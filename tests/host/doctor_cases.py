"""A cluster and a board as the doctor finds them where nothing is wrong, and its findings."""

from host.build.configuration import REPL_UART
from host.build.firmware_version import firmware_version
from host.cluster.cluster_fields import FlashedChip
from host.diagnosis.at_prompt import Identity
from host.wire.reports import Ready
from tests.clusters import cluster_file

KEY = bytes(range(32))
HASH = bytes(range(8))
MACS = [f"34:85:18:00:00:{number:02x}" for number in range(3)]
CLUSTER = cluster_file(
    3, "espnow", digest=HASH, context=128, key=KEY, channel=6,
    flashed=tuple(FlashedChip(i, "esp32s3", mac, f"/dev/none{i}") for i, mac in enumerate(MACS)),
)  # fmt: skip
READY = Ready(
    7, 1, bytes(8), HASH, bytes(8), 2, 35, 103, 128, 60_000, 90_000, 70_000, 250,
    firmware_version(), "native", "",
)
CONFIG = {
    "firmware": firmware_version(),
    "chip": 0, "link": "espnow", "gateway": True, "uart": REPL_UART, "key": KEY.hex(),
    "radio": {"channel": 6},
}  # fmt: skip
FILES = ("main.py", "config.json", "shard.bin")
BOARD = Identity((1, 27, 0), "ESP32S3 module with ESP32S3", MACS[0], True, CONFIG, HASH)


def faults(findings):
    """What is wrong, and the advice."""
    return [(finding.text, finding.advice) for finding in findings if finding.kind == "wrong"]


def fault(findings):
    """The text of the one thing that is wrong."""
    ((text, advice),) = faults(findings)
    assert advice
    return text
