"""The private apt: which mirror it asks, and what it says when it fails."""

import shutil
from pathlib import Path

import pytest

from host.errors import SetupError
from host.setup import debian
from tests.host.test_setup_micropython import script


@pytest.fixture
def programs(tmp_path, monkeypatch) -> Path:
    """The only folder on PATH, with a dpkg-deb that unpacks an empty archive as one folder."""
    folder = tmp_path / "bin"
    script(folder / "dpkg-deb", '[ "$1" = -x ] && mkdir -p "$3"')
    for name in ("sh", "mkdir", "touch"):
        (folder / name).symlink_to(str(shutil.which(name)))
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("DEBIAN_MIRROR", raising=False)
    keyring = tmp_path / "keyring.gpg"
    keyring.touch()
    monkeypatch.setattr(debian, "KEYRING", keyring)
    return folder


@pytest.fixture
def mirror(monkeypatch):
    monkeypatch.setenv("DEBIAN_MIRROR", "http://archive.example/debian")


def list_archives(programs, *archives):
    script(programs / "apt-get", f"echo '{chr(10).join(archives)}'")


@pytest.mark.parametrize("own", ["/debian/ $(ORIGIN) $(LABEL)", "/mirror Debian Debian"])
def test_the_mirror_is_the_machines_own(programs, own):
    list_archives(
        programs,
        "http://archive.example/debian-security Debian Debian-Security",
        f"http://archive.example{own}",
    )
    assert debian.find_mirror() == "http://archive.example" + own.split()[0]


def test_a_machine_that_names_no_debian_archive_is_told_how_to(programs):
    list_archives(programs, "http://archive.example/ubuntu Ubuntu Ubuntu")
    with pytest.raises(SetupError, match="give one's address in DEBIAN_MIRROR"):
        debian.find_mirror()


def test_the_mirror_can_be_chosen(programs, monkeypatch):
    monkeypatch.setenv("DEBIAN_MIRROR", "http://chosen.example/debian")
    assert debian.find_mirror() == "http://chosen.example/debian"


def test_a_machine_without_apt_is_told(programs, tmp_path):
    with pytest.raises(SetupError, match="no apt-get here"):
        debian.Archive(tmp_path, "i386")


def test_a_machine_without_debians_keyring_is_told(programs, tmp_path, monkeypatch):
    script(programs / "apt-get", "exit 0")
    monkeypatch.setattr(debian, "KEYRING", tmp_path / "absent.gpg")
    with pytest.raises(SetupError, match=r"no .*absent\.gpg here"):
        debian.Archive(tmp_path, "i386")


def test_the_private_apt_keeps_to_its_folder_and_checks_signatures(programs, mirror, tmp_path):
    script(programs / "apt-get", f'echo "$@" >> {tmp_path}/calls')
    debian.Archive(tmp_path / "apt", "i386")
    update = (tmp_path / "calls").read_text().splitlines()[-1]
    for part in ("cache", "lists"):
        assert f"{tmp_path}/apt/{part}" in update
    assert "Dir::State::status=/dev/null" in update
    sources = (tmp_path / "apt" / "debian.sources").read_text()
    assert f"Signed-By: {debian.KEYRING}" in sources
    assert "Architectures: i386" in sources
    assert "trusted" not in sources.lower() + update.lower()


def test_a_failed_download_names_the_cause_that_the_update_met(programs, mirror, tmp_path):
    script(
        programs / "apt-get",
        'case "$*" in\n'
        '*update) echo "W: Failed to fetch http://archive.example  No route to host"; exit 100;;\n'
        '*download*) echo "E: Unable to locate package micropython"; exit 100;;\nesac',
    )
    archive = debian.Archive(tmp_path / "apt", "i386")
    with pytest.raises(SetupError, match=r"download failed: W: .*No route to host$"):
        archive.unpack("micropython", tmp_path / "root")


def test_an_update_that_a_hook_spoiled_is_good_enough(programs, mirror, tmp_path):
    script(
        programs / "apt-get",
        'case "$*" in\n*update) echo "E: a hook failed"; exit 100;;\n*download*) touch a.deb;;\n'
        "esac",
    )
    debian.Archive(tmp_path / "apt", "i386").unpack("a", tmp_path / "root")
    assert (tmp_path / "root").is_dir()
