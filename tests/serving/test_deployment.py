"""What serves on other machines: nginx before two servers, systemd's unit, the Dockerfile."""

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from contextlib import ExitStack, contextmanager

import httpx
import pytest

from host.cli.serve_options import parse_options
from tests.serving.reference_chips import Gate, ReferenceChips
from tests.serving.servers import HTTP, make_service, serving, wait_until
from tests.simulation.launch import REPOSITORY

PROMPT = "Once upon a time"
PATH = "/v1/completions"
UNIT = REPOSITORY / "deploy" / "federation.service"


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def nginx(folder, servers):
    """Runs nginx as docs/serving.md has it, before these addresses; gives its own."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if not program:
        pytest.skip("no nginx here: apt-get install nginx-light")
    page = (REPOSITORY / "docs" / "serving.md").read_text(encoding="utf-8")
    block = re.search(r"^```\n(upstream federation .*?)^```$", page, re.MULTILINE | re.DOTALL)[1]
    hosts = [address.removeprefix("http://") for address in servers]
    for shown, own in zip(("10.0.0.1:8080", "10.0.0.2:8080"), hosts, strict=True):
        assert shown in block
        block = block.replace(shown, own)
    port = free_port()
    block = block.replace("listen 80;", f"listen 127.0.0.1:{port};")
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    user = "user root;" if os.geteuid() == 0 else ""
    file = folder / "nginx.conf"
    file.write_text(
        f"daemon off; {user} pid {folder}/pid; error_log {folder}/errors; events {{}}\n"
        f"http {{ access_log off; {temporary}\n{block}}}\n"
    )
    with subprocess.Popen([program, "-c", str(file), "-e", f"{folder}/errors"]) as process:
        try:
            address = f"http://127.0.0.1:{port}"
            wait_until(lambda: answers(address))
            yield address
        finally:
            process.terminate()


def answers(address):
    try:
        return HTTP.get(f"{address}/health").status_code == 200
    except httpx.TransportError:
        return False


def test_two_servers_behind_nginx(tiny, expect, tmp_path):
    expected = expect(PROMPT, 5).text
    gates, made = (Gate(), Gate()), []
    with ExitStack() as stack:
        for gate in gates:
            service, watching = make_service(tiny, [[ReferenceChips(slots=8, script=gate)]])
            made.append((service, stack.enter_context(serving(service, watching))))
        router = stack.enter_context(nginx(tmp_path, [address for _, address in made]))
        body = {"prompt": PROMPT, "max_tokens": 5}
        with HTTP.stream("POST", router + PATH, json={**body, "stream": True}) as stream:
            # Its headers are here before any token is: nginx passes on what comes.
            assert stream.headers["content-type"].startswith("text/event-stream")
            for gate in gates:
                gate.is_open.set()
            lines = [line[6:] for line in stream.iter_lines() if line.startswith("data: {")]
        assert "".join(json.loads(line)["choices"][0]["text"] for line in lines) == expected
        for _ in range(6):
            assert HTTP.post(router + PATH, json=body).json()["choices"][0]["text"] == expected
        served = [
            re.search(r"^federation_generations_total (.*)$", text, re.MULTILINE)[1]
            for text in (HTTP.get(f"{own}/metrics").text for _, own in made)
        ]
        assert sorted(map(float, served)) == [3.0, 4.0]  # in turn
        # One has no cluster any more and says 503: the other answers all.
        stopped, _ = made[0]
        for engine in stopped.engines:
            engine.stop()
            engine.join()
        for _ in range(6):
            found = HTTP.post(router + PATH, json=body)
            assert found.status_code == 200, found.text
            assert found.json()["choices"][0]["text"] == expected


def test_a_server_behind_nginx_that_is_gone(tiny, expect, tmp_path):
    with ExitStack() as stack:
        service, watching = make_service(tiny, [[ReferenceChips()]])
        own = stack.enter_context(serving(service, watching))
        gone = f"http://127.0.0.1:{free_port()}"
        router = stack.enter_context(nginx(tmp_path, [gone, own]))
        for _ in range(4):
            found = HTTP.post(router + PATH, json={"prompt": PROMPT, "max_tokens": 2})
            assert found.json()["choices"][0]["text"] == expect(PROMPT, 2).text


def test_the_unit_is_one_that_systemd_takes(tmp_path):
    text = UNIT.read_text()
    command = shlex.split(re.search(r"^ExecStart=(.*)$", text, re.MULTILINE)[1])
    assert command[0] == "/usr/local/bin/federation" and command[1] == "serve"
    assert parse_options(command[2:]).ports == "auto"
    analyze = shutil.which("systemd-analyze")
    if not analyze:
        pytest.skip("no systemd-analyze here, which verifies a unit")
    copy = tmp_path / UNIT.name
    copy.write_text(text.replace(command[0], sys.executable))
    ended = subprocess.run(
        [analyze, "verify", copy], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stdout + ended.stderr) == (0, "")
    copy.write_text(text.replace("ProtectSystem=strict", "ProtectSystem=sometimes"))
    refused = subprocess.run(
        [analyze, "verify", copy], capture_output=True, text=True, timeout=60, check=False
    )
    assert "protect system" in refused.stderr  # it does look


def instructions():
    """What the Dockerfile says, as words and the rest of the line."""
    text = (REPOSITORY / "Dockerfile").read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [line.split(maxsplit=1) for line in lines]


def test_what_the_image_does_not_take_from_the_checkout():
    """Above all not the cluster's key."""
    ignored = (REPOSITORY / ".dockerignore").read_text().split()
    assert {".git", ".venv", ".micropython", "build", "federation.toml*"} <= set(ignored)


@pytest.mark.verify
@pytest.mark.timeout(600)
def test_the_steps_of_the_dockerfile_without_docker(tmp_path):
    """Its RUN, ENTRYPOINT and HEALTHCHECK, in a virtual environment in place of the image."""
    source = tmp_path / "source"
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=REPOSITORY, check=True, capture_output=True, text=True
    ).stdout.split("\0")
    for name in filter(None, tracked):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, source / name)
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    home = tmp_path / "home"
    home.mkdir()
    hidden = ("MICROPYTHON", "FEDERATION_", "XDG_", "PYTHON")
    environment = {n: v for n, v in os.environ.items() if not n.startswith(hidden)}
    environment |= {"HOME": str(home), "PATH": f"{tmp_path / 'venv' / 'bin'}:{os.environ['PATH']}"}
    folder = source
    for word, rest in instructions():
        if word == "WORKDIR":
            folder = source if rest == "/opt/federation" else home
        if word == "RUN" and not rest.startswith("useradd"):
            subprocess.run(rest, shell=True, cwd=folder, env=environment, check=True)
    found = dict(instructions())
    port = free_port()
    entry = json.loads(found["ENTRYPOINT"])
    assert found["EXPOSE"] == "8080" and entry[2:] == ["--host", "0.0.0.0"]
    refused = subprocess.run(
        entry, cwd=home, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert refused.returncode == 1 and "give --api-key" in refused.stderr
    check = json.loads(found["HEALTHCHECK"].partition(" CMD ")[2])
    check[-1] = check[-1].replace("8080", str(port))
    quiet = subprocess.DEVNULL
    own = {**environment, "FEDERATION_API_KEY": "of the container"}
    with subprocess.Popen([*entry, "--port", str(port), "--chips", "2"], cwd=home, env=own) as run:
        try:
            wait_until(lambda: subprocess.run(check, env=own, stderr=quiet).returncode == 0)
            answer = HTTP.post(
                f"http://127.0.0.1:{port}/v1/completions",
                json={"prompt": "turn off the kitchen lights"},
                headers={"Authorization": "Bearer of the container"},
            )
            assert answer.json()["choices"][0]["text"] == "light.kitchen off"
        finally:
            run.terminate()
    assert run.returncode == 0
