"""Measures how well a gateway receives the other chips, by a program at its prompt."""

from __future__ import annotations

from collections.abc import Iterator

from host.cluster.cluster_fields import ClusterFile
from host.diagnosis.answers import ask
from host.diagnosis.findings import Finding, fine, unseen, wrong
from host.diagnosis.prompt import NoPrompt, Prompt
from host.links.port_search import Probe

# dBm. At 54 Mbit/s an ESP32 needs -75 (receiver sensitivity in its data sheet); 5 more because
# people and things move in a room.
WEAKEST = -70
_TURNS, _TURN_MS = 6, 250

_PROGRAM = """
import espnow, network, time
station = network.WLAN(network.STA_IF)
station.active(True)
station.config(channel={channel}, pm=network.WLAN.PM_NONE)
radio = espnow.ESPNow()
radio.active(True)
radio.add_peer(b"\\xff" * 6)
heard = {{}}
for turn in range({turns}):
    radio.send(b"\\xff" * 6, {frame}, False)
    started = time.ticks_ms()
    while time.ticks_diff(time.ticks_ms(), started) < {turn_ms}:
        mac, frame = radio.recv(10)
        if frame:
            heard[mac] = frame
answer = [(frame, radio.peers_table[mac][0]) for mac, frame in heard.items()]
"""


def measure_signal(prompt: Prompt, cluster: ClusterFile) -> Iterator[Finding]:
    """Yields findings on how well the gateway receives the other chips, without power save.

    prompt: the gateway's, after a soft reset.
    """
    probe = Probe(cluster.key)
    program = _PROGRAM.format(
        channel=cluster.channel, turns=_TURNS, turn_ms=_TURN_MS, frame=probe.frame
    )
    try:
        heard = [
            (probe.decode(frame), level)
            for frame, level in ask(prompt, program)
        ]
    except (NoPrompt, TypeError, ValueError) as error:
        yield unseen(f"signal: {error}")
        return
    levels = {answer.src: level for answer, level in heard if answer}
    for chip in range(1, cluster.chips):
        yield _level_finding(chip, levels.get(chip))


def _level_finding(chip: int, level: int | None) -> Finding:
    if level is None:
        return wrong(
            f"the gateway does not receive chip {chip}",
            "Is it flashed, powered and within reach, on the same channel?",
        )
    if level < WEAKEST:
        return wrong(
            f"weak signal: the gateway receives chip {chip} at {level} dBm",
            f"Move it nearer: {WEAKEST} dBm are enough",
        )
    return fine(f"the gateway receives chip {chip} at {level} dBm")
