"""/metrics as Prometheus reads it, on simulated chips."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from host.launch import SimulatedChips
from host.launch.airtime import model_airtime
from host.parallel.cost.radio import FIXED_RATES, RATE_54M
from host.parallel.parallelism import ALL_REDUCE, pipeline
from tests.serving.servers import HTTP, make_service, serving, simulated, wait_until

# What llama-server has too, under its names.
LLAMA_SERVER = {
    "llamacpp:prompt_tokens_total", "llamacpp:tokens_predicted_total",
    "llamacpp:tokens_predicted_seconds_total", "llamacpp:predicted_tokens_seconds",
    "llamacpp:requests_processing", "llamacpp:requests_deferred",
}  # fmt: skip
EACH_CHIP = {
    f"federation_chip_{name}"
    for name in (
        "busy_seconds_total", "frames_sent_total", "frames_received_total", "bytes_sent_total",
        "bytes_received_total", "frames_dropped_total", "resends_total", "heap_free_bytes",
    )
}  # fmt: skip
LABELS = ("cluster", "chip")
AIRTIME = "federation_chip_airtime_seconds_total"


def scrape(address):
    """The value of each sample, by its name, its cluster and its chip, where it has these."""
    text = HTTP.get(f"{address}/metrics").text
    return {
        (sample.name, *(sample.labels[n] for n in LABELS if n in sample.labels)): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def on_air(frames, size):
    """Seconds that frames of so many bytes in all take, by the published rate."""
    rate = FIXED_RATES[RATE_54M]
    return frames * (250 / rate.broadcast - 8 * 250 / rate.bits) + 8 * size / rate.bits


def ask(address, tokens=6):
    body = {"prompt": "Once upon a time", "max_tokens": tokens}
    answer = HTTP.post(f"{address}/v1/completions", json=body)
    assert answer.status_code == 200
    return answer.json()["usage"]


@pytest.mark.parametrize(
    "settings", [{}, {"parallelism": ALL_REDUCE}, {"parallelism": pipeline(2)}]
)
def test_what_a_cluster_on_the_air_has_done(micropython, tiny, settings):
    chips = SimulatedChips.alike(2, "espnow", **settings)
    service, watching = make_service(tiny, [[chips]])
    with serving(service, watching) as address:
        before = scrape(address)
        usage = ask(address)
        after = scrape(address)
        cluster = service.engines[0].cluster
        names = {name for name, *_ in after}
        assert names >= LLAMA_SERVER | EACH_CHIP | {AIRTIME, "federation_recoveries_total"}
        for name, given in (("prompt_tokens", "prompt"), ("tokens_predicted", "completion")):
            assert after[f"llamacpp:{name}_total",] == usage[f"{given}_tokens"]
        for chip in ("0", "1"):
            for name in EACH_CHIP:
                assert (name, "tiny", chip) in after
            for name in ("frames_sent_total", "bytes_received_total", "busy_seconds_total"):
                key = f"federation_chip_{name}", "tiny", chip
                assert after[key] > before[key]
            assert after[AIRTIME, "tiny", chip] > before[AIRTIME, "tiny", chip] > 0
        # What the second chip sends goes on the air, all of it.
        sent = on_air(
            after["federation_chip_frames_sent_total", "tiny", "1"],
            after["federation_chip_bytes_sent_total", "tiny", "1"],
        )
        assert after[AIRTIME, "tiny", "1"] == pytest.approx(sent, rel=0.01)
        if not settings:  # the gateway sends its own to the host, and on the air what this sends
            first = cluster.coordinator.dispatcher.first_chip
            frames, size = first.frames_passed_on, first.bytes_passed_on
            passed = on_air(frames, size)
            assert passed / 2 < after[AIRTIME, "tiny", "0"] <= 1.01 * passed
            assert first.frames_own > 5


def test_on_serial_lines_nothing_is_on_the_air_and_recoveries_are_counted(micropython, tiny):
    service, watching = make_service(tiny, [simulated(2)])
    with serving(service, watching) as address:
        ask(address)
        engine = service.engines[0]
        engine.cluster.simulation.chips[1].restart()
        ask(address)
        wait_until(lambda: scrape(address)["federation_recoveries_total", "tiny"] == 1)
        found = scrape(address)
        assert AIRTIME not in {name for name, *_ in found}
        assert model_airtime(engine.cluster, engine.cluster.statistics(collect=False)) == {}
        assert found["federation_cluster_restarts_total", "tiny"] == 0
