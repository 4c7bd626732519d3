"""A real mosquitto on a port of loopback: the machine's, or Debian's brought into the checkout."""

import asyncio
import base64
import fcntl
import hashlib
import platform
import shutil
import socket
import subprocess
import tempfile
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import aiomqtt
import pytest

from host.errors import SetupError
from host.paths import SOURCES
from host.setup.debian import Archive

FOLDER = SOURCES / "build" / "mosquitto"
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


def find_mosquitto():
    """The words of a command that runs it; skips the test where none can be had."""
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    if program:
        return [program]
    root = FOLDER / "debian"
    FOLDER.mkdir(parents=True, exist_ok=True)
    with open(FOLDER / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (root / "usr/sbin/mosquitto").exists():
            _bring(root)
    libraries = next(root.glob("usr/lib/*-linux-gnu"))
    loader = next(libraries.glob("ld-linux*.so.*"))
    return [str(loader), "--library-path", str(libraries), str(root / "usr/sbin/mosquitto")]


def _bring(root):
    try:
        architecture = MACHINES.get(platform.machine())
        if architecture is None:
            raise SetupError(f"Debian's mosquitto is not looked for on {platform.machine()}")
        with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
            unpacked = Path(folder) / "root"
            archive = Archive(Path(folder), architecture)
            archive.unpack("mosquitto", unpacked, dependencies=True)
            unpacked.replace(root)
    except SetupError as error:
        pytest.skip(f"no mosquitto, and none from Debian ({error}): apt-get install mosquitto")


@contextmanager
def mosquitto(tmp_path, port=0, settings=("allow_anonymous true",)):
    """Runs a broker on a port, 0 for any; gives its port. settings: further lines of its file."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", port))
        port = free.getsockname()[1]
    file = tmp_path / "mosquitto.conf"
    file.write_text("\n".join([f"listener {port} 127.0.0.1", *settings, ""]))
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([*find_mosquitto(), "-c", str(file)], **quiet) as broker:
        try:
            yield port
        finally:
            broker.terminate()


def make_certificates(folder):
    """An authority's certificate, and one of it for 127.0.0.1 with its key: their files. Skips the
    test where there is no openssl."""
    if not shutil.which("openssl"):
        pytest.skip("no openssl here, with which certificates are made: apt-get install openssl")
    ca, own = folder / "ca.pem", folder / "own.pem"
    new = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
           "-days", "2")  # fmt: skip
    for arguments in (
        (*new, "-subj", "/CN=authority", "-keyout", "ca.key", "-out", ca),
        (*new, "-subj", "/CN=broker", "-keyout", "own.key", "-out", own, "-CA", ca,
         "-CAkey", "ca.key", "-addext", "subjectAltName=IP:127.0.0.1"),
    ):  # fmt: skip
        subprocess.run(["openssl", *map(str, arguments)], cwd=folder, check=True,
                       capture_output=True)  # fmt: skip
    return ca, own, folder / "own.key"


def hash_password(user, password):
    """A line of mosquitto's file of passwords."""
    salt, turns = b"12 bytes far", 101
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, turns)
    parts = (base64.b64encode(part).decode() for part in (salt, digest))
    return f"{user}:$7${turns}${'$'.join(parts)}\n"


@asynccontextmanager
async def listening(port, *topics, **settings):
    """A client that hears these topics; waits until the broker is there."""
    while True:
        try:
            client = aiomqtt.Client(
                "127.0.0.1", port, protocol=aiomqtt.ProtocolVersion.V5, **settings
            )  # fmt: skip
            await client.__aenter__()
            break
        except aiomqtt.MqttError:
            await asyncio.sleep(0.02)
    try:
        for topic in topics:
            await client.subscribe(topic, qos=1)
        yield client
    finally:
        await client.__aexit__(None, None, None)
