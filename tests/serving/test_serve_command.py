"""The command `serve`: its options, its port, and a whole run of it."""

import os
import signal
import socket
import subprocess
import sys

import httpx
import pytest

from host.cli import serve_options
from host.cluster import cluster_file
from host.errors import ArgumentError, ClusterError
from host.serve import main
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
        (["--port", "65536"], 2, "argument --port: '65536' is no port: give 0 to 65535"),
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
    spares = [*files, "--spare", str(tmp_path / "0.toml")]
    spared = serve_options.find_models(serve_options.parse_options(spares))
    assert [list(map(len, clusters)) for _, clusters in spared.values()] == [[2, 2], [1]]
    with pytest.raises(ArgumentError, match="^--model and --cluster"):
        serve_options.find_models(serve_options.parse_options([*files, "--model", "x"]))
    with pytest.raises(ClusterError, match="there is no such file$"):
        serve_options.find_models(serve_options.parse_options(["--cluster", "x"]))


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
