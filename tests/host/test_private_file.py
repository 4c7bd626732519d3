"""What is secret is in no file that outlives the process, even where that is killed."""

import errno
import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import pytest

from host.flashing import esptool
from host.launch import open_cluster, simulated
from host.launch.simulated import SimulatedChips
from host.model.quantization.quantize import quantize
from host.private_file import open_private
from host.simulation import chips
from tests.host.tiny import random_checkpoint

KEY = bytes(range(100, 132))


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """The folder in which temporary files are made."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def files_with(folder, secret):
    """The files of a name that have it in them: what would be left now by SIGKILL."""
    return [
        path
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink() and secret in path.read_bytes()
    ]


def test_a_full_disk_is_named(temporary, monkeypatch):
    monkeypatch.setattr(tempfile, "TemporaryFile", partial(open, "/dev/full", "wb"))
    with pytest.raises(OSError) as caught, open_private(b"secret"):
        pass
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(temporary))


def test_a_full_disk_is_named_by_the_chip_s_file_that_is_not_written(temporary, monkeypatch):
    def fill(path, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fill)
    with pytest.raises(OSError) as caught:
        chips._write(temporary, {"main.py": b"code"}, {})
    assert caught.value.filename == str(temporary / "main.py")


def test_a_child_reads_it_and_it_has_no_name(temporary):
    program = "import sys; print(open(sys.argv[1], 'rb').read() * 2)"
    with open_private(b"secret") as file:
        for _ in range(2):
            said = subprocess.run(
                [sys.executable, "-c", program, file.path],
                pass_fds=[file.descriptor], capture_output=True, text=True,
            ).stdout  # fmt: skip
            assert said == "b'secretsecret'\n"
        assert os.fstat(file.descriptor).st_nlink == 0 and not list(temporary.iterdir())
    with pytest.raises(OSError):
        os.fstat(file.descriptor)


def test_the_key_of_simulated_chips_is_in_no_file(micropython, temporary, monkeypatch):
    monkeypatch.setattr(simulated, "make_key", lambda link: KEY)
    model = quantize(random_checkpoint())
    chips = SimulatedChips.alike(1, "uart", signed=True, context=8)
    with open_cluster(model, chips) as cluster:
        (chip,) = cluster.simulation.chips.values()
        link = os.readlink(chip.folder / "config.json")
        assert KEY.hex() in Path(f"/proc/{chip.process.pid}/fd/{Path(link).name}").read_text()
        before = cluster.executor.forward([1])
        chip.restart()
        cluster.executor.begin()
        assert list(cluster.executor.forward([1])) == list(before)
        assert list(temporary.rglob("shard.bin"))  # where files would be
        for secret in (KEY, KEY.hex().encode()):
            assert not files_with(temporary, secret)


def test_what_esptool_writes_is_in_no_file(temporary, monkeypatch):
    read = []

    def run(port, arguments, doing, line_came, options, files):
        paths = [word for word in arguments if word.startswith("/")]
        read.extend(Path(path).read_bytes() for path in paths)
        assert len(files) == len(paths) and not list(temporary.iterdir())
        return ""

    monkeypatch.setattr(esptool, "_run", run)
    contents = [b"MicroPython", KEY]
    segments = [esptool.Segment("", 4096 * at, content) for at, content in enumerate(contents)]
    esptool.write("/dev/none", "esp32s3", segments, lambda name, size: None)
    assert read == contents
