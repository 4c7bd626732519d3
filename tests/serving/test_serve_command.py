"""The command `serve`: its options, its port, and a whole run of it."""

import os
import signal
import socket
import subprocess
import sys
from types import SimpleNamespace

import httpx
import pytest

from host.cli import serve_options
from host.cluster import cluster_file
from host.cluster.cluster_fields import FlashedChip
from host.errors import ArgumentError, ClusterError
from host.model.cache import load_quantized
from host.serve import _Report, main
from host.serving.server import bind, find_holder
from tests.clusters import cluster_file as described
from tests.serving.servers import HTTP, wait_until
from tests.simulation.launch import REPOSITORY


def test_whoever_holds_the_port_is_named(capsys):
    holder = bind("127.0.0.1", 0)
    port = holder.getsockname()[1]
    with holder:
        assert main(["--port", str(port)]) == 1
    printed = capsys.readouterr().err
    assert printed.startswith(f"error: port {port} is taken by ")
    assert f"(pid {os.getpid()}): end that, or give another --port" in printed


def test_a_holder_that_cannot_be_seen_has_no_name():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        assert find_holder(unused.getsockname()[1]) == ""


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--host", "0.0.0.0"], 1, "--host 0.0.0.0 can be reached from other machines: give"),
        (["--host", "nowhere.invalid"], 1, "--host nowhere.invalid can be reached from other"),
        (["--host", "203.0.113.7", "--api-key", "k"], 1, "--host 203.0.113.7 --port 8080: "),
        (["--port", "65536"], 2, "argument --port: '65536' is not a port: give 0 to 65535"),
        (["--cluster", "none.toml", "--port", "0"], 1, "--cluster none.toml: there is no such"),
        (["--model", "none.bin", "--port", "0"], 1, "none.bin: cannot read the model"),
        (["--cluster", "a", "--chips", "3", "--port", "0"], 1, "--chips and --cluster: the"),
    ],
)
def test_what_cannot_be_served(arguments, code, message, capsys):
    try:
        found = main(arguments)
    except SystemExit as ended:
        found = ended.code
    assert (found, capsys.readouterr().err[7 : 7 + len(message)]) == (code, message)


def test_the_key_comes_from_the_environment_too(monkeypatch):
    monkeypatch.setenv(serve_options.KEY_VARIABLE, "from the environment")
    assert serve_options.parse_options([]).api_key == "from the environment"
    assert serve_options.parse_options(["--api-key", "given"]).api_key == "given"


def test_clusters_of_files_are_served_together(tmp_path, tiny_model_file, monkeypatch):
    files = []
    for number, model in enumerate((tiny_model_file, tiny_model_file, "models/home.bin")):
        file = tmp_path / f"{number}.toml"
        file.write_text(cluster_file.format_cluster(described(model=str(model))))
        files += ["--cluster", str(file)]
    monkeypatch.chdir(REPOSITORY)
    found = serve_options.find_models(serve_options.parse_options(files))
    assert {name: len(clusters) for name, (_, clusters) in found.items()} == {"tiny": 2, "home": 1}
    with pytest.raises(ArgumentError, match="^--model and --cluster"):
        serve_options.find_models(serve_options.parse_options([*files, "--model", "x.gguf"]))
    with pytest.raises(ClusterError, match="there is no such file$"):
        serve_options.find_models(serve_options.parse_options(["--cluster", "x"]))


@pytest.fixture
def described_boards(tmp_path, tiny_model_file, monkeypatch):
    """Writes the file of a cluster of the tiny model's; its path."""
    digest = load_quantized(tiny_model_file).quantize().sha256()[:8]
    monkeypatch.chdir(tmp_path)

    def write(name, **settings):
        fields = {"model": str(tiny_model_file), "digest": digest, **settings}
        (tmp_path / name).write_text(cluster_file.format_cluster(described(**fields)))
        return name

    return write


def find(*words):
    return serve_options.find_models(serve_options.parse_options(list(words)))


def test_spares_stand_in_for_every_cluster_with_their_model(described_boards, tiny_model_file):
    own, spare = described_boards("own.toml"), described_boards("spare.toml", chips=2)
    for clusters in (("--cluster", own, "--cluster", own), ("--model", str(tiny_model_file))):
        ((_, found),) = find(*clusters, "--spare", spare, "--context", "16").values()
        assert [[one.count for one in chips[1:]] for chips in found] == [[2]] * len(found)
    short = described_boards("short.toml", context=8)
    with pytest.raises(ArgumentError, match="have a context of 8, and those that they stand in"):
        find("--cluster", own, "--spare", short)
    other = described_boards("other.toml", digest=bytes(8))
    with pytest.raises(ArgumentError, match=r"^--spare other.toml: its boards hold .* served is"):
        find("--cluster", own, "--spare", other)


def test_boards_that_can_be_written_anew(described_boards):
    chips = tuple(FlashedChip(i, "esp32s3", f"34:85:18:00:00:0{i}", f"/dev/{i}") for i in range(3))
    own = described_boards("own.toml", flashed=chips)
    ((_, [[boards]]),) = find("--cluster", own).values()
    assert boards.without_one(None) is None
    ((_, [[boards]]),) = find("--cluster", own, "--replan").values()
    fewer = boards.without_one(None)
    assert (fewer.count, str(fewer.file)) == (2, "own.toml")
    for settings in ({"kind": "espnow"}, {"line": "pins"}, {"flashed": ()}):
        other = described_boards("other.toml", **{"flashed": chips, **settings})
        with pytest.raises(ArgumentError, match="^--replan: only boards that were flashed for U"):
            find("--cluster", other, "--replan")
    with pytest.raises(ArgumentError, match="^--replan is for boards"):
        find("--replan")


def test_a_failure_is_said_once_until_the_cluster_is_open_again(capsys):
    report = _Report(False)
    plan = SimpleNamespace(executor=SimpleNamespace(plan=SimpleNamespace(chips=2)), choice="as is")
    for _ in range(3):
        report.cluster_failed("home", "chip 1 died")
    report.cluster_failed("home", "chip 1 does not answer")
    report.cluster_opened("home", plan, "planned anew for 2 of 3 chips")
    report.cluster_failed("home", "chip 1 does not answer")
    again = "opening the cluster again"
    assert capsys.readouterr().err.splitlines() == [
        f"home: chip 1 died: {again}",
        f"home: chip 1 does not answer: {again}",
        "home: 2 chips ready, planned anew for 2 of 3 chips, as is",
        f"home: chip 1 does not answer: {again}",
    ]


def test_a_run_from_start_to_end(micropython):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "host.serve", "--port", str(port), "--chips", "1"]
    settings = {"cwd": REPOSITORY, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([*command, "--link", "uart"], **settings) as server:
        try:
            address = f"http://127.0.0.1:{port}"
            seen = set()

            def is_ready():
                try:
                    answer = HTTP.get(f"{address}/health")
                except httpx.TransportError:
                    return False
                seen.add(answer.status_code)
                return answer.status_code == 200

            wait_until(is_ready)
            assert seen <= {200, 503}
            body = {"prompt": "turn off the kitchen lights"}
            answer = HTTP.post(f"{address}/v1/completions", json=body)
            assert answer.json()["choices"][0]["text"] == "light.kitchen off"
        finally:
            server.send_signal(signal.SIGTERM)
        printed = server.communicate(timeout=60)[1]
    assert server.returncode == 0
    first, second = printed.splitlines()
    assert first == f"serving home on {address} (a page; API at /v1)"
    assert second.startswith("home: 1 chip ready, parallelism: ")
