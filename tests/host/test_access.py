"""Opening ports, and what is said of one that does not open."""

import errno
import grp
import os
import pwd
import subprocess
import sys

import pytest
import serial

from host.links import access
from host.links.access import Holder, PortClosed, explain_closed, holders, open_exclusively
from tests.host.pty_chips import PtyChip


@pytest.fixture
def port():
    with PtyChip() as board:
        yield board.url


def test_a_port_is_opened_for_one_program_alone(port):
    first = open_exclusively(port, 115200)
    with pytest.raises(PortClosed) as caught:
        open_exclusively(port, 115200)
    assert caught.value.wrong == f"another program holds {port}"
    first.close()
    open_exclusively(port, 115200).close()


def test_a_program_that_holds_a_port_is_named(port):
    program = f"import serial, sys; s = serial.Serial({port!r}, exclusive=True); input('open')"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        process.stdout.read(4)
        with open(f"/proc/{process.pid}/comm") as comm:
            name = comm.read().strip()
        assert list(holders(port)) == [Holder(process.pid, name)]
        with pytest.raises(PortClosed) as caught:
            open_exclusively(port, 115200)
        assert caught.value.advice == f"end {name} (process {process.pid})"
        process.stdin.close()
    assert list(holders(port)) == []


def test_a_holder_that_cannot_be_seen_is_not_named(port, monkeypatch, tmp_path):
    monkeypatch.setattr(access, "holders", lambda path: holders(path, tmp_path))
    with open_exclusively(port, 115200), pytest.raises(PortClosed) as caught:
        open_exclusively(port, 115200)
    assert caught.value.advice == "end it"


@pytest.fixture
def refused(port, monkeypatch):
    """Why a port is closed that the system refuses with an errno, whoever runs the tests."""

    def closed(number):
        def refuse(*_, **__):
            raise serial.SerialException(number, "could not open port")

        with monkeypatch.context() as patch:
            patch.setattr(serial, "serial_for_url", refuse)
            with pytest.raises(PortClosed) as caught:
                open_exclusively(port, 115200)
        return caught.value

    return closed


def test_no_permission_names_the_group_to_join(refused, port):
    user = pwd.getpwuid(os.getuid()).pw_name
    group = grp.getgrgid(os.stat(port).st_gid)
    error = refused(errno.EACCES)
    assert error.wrong == f"no permission to open {port}"
    if user not in group.gr_mem:
        command = f"sudo usermod -aG {group.gr_name} {user}"
        assert error.advice == f"become a member of its group with {command}, then log in again"


def test_a_member_of_the_group_since_the_login_is_told_so(refused, monkeypatch):
    user = pwd.getpwuid(os.getuid()).pw_name
    group = grp.struct_group(("dialout", "x", 20, [user]))
    monkeypatch.setattr(grp, "getgrgid", lambda number: group)
    assert refused(errno.EPERM).advice == (
        "you are in its group, dialout, since your last login: log in again"
    )


def test_a_group_without_a_name(refused, monkeypatch):
    def unknown(number):
        raise KeyError(number)

    monkeypatch.setattr(grp, "getgrgid", unknown)
    assert refused(errno.EACCES).advice == "ask whoever administers this machine"


def test_why_a_port_did_not_open_for_mpremote_or_esptool(port):
    with open_exclusively(port, 115200):
        assert explain_closed(port) == f"another program holds {port}: end it"
    assert explain_closed(port) == f"cannot open port {port}: try again"  # it does now


def test_a_port_that_is_not_there_or_fails(refused, tmp_path):
    missing = tmp_path / "ttyACM7"
    with pytest.raises(PortClosed, match=f"^there is no port {missing}: plug the board in"):
        open_exclusively(str(missing), 115200)
    assert str(refused(errno.EIO)).endswith(": Input/output error")


def test_what_is_no_port_or_none_that_can_be_waited_for():
    with pytest.raises(PortClosed, match="^/dev/null is not a serial port: give one, such as"):
        open_exclusively("/dev/null", 115200)
    with pytest.raises(PortClosed, match="^loop:// is a port that cannot be waited for: give a"):
        open_exclusively("loop://", 115200)


@pytest.mark.parametrize("url", ["nonsense://", "socket://[::1]:1"])
def test_a_url_that_is_no_port_is_one_line(url):
    with pytest.raises(PortClosed) as caught:
        open_exclusively(url, 115200)
    assert str(caught.value).startswith(f"cannot open port {url}: ")
    assert "\n" not in str(caught.value)
