"""Opens serial ports, and explains why one does not open: what is wrong, and what to do."""

from __future__ import annotations

import errno
import grp
import io
import os
import pwd
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from host.errors import ClusterError
from host.links.rfc2217 import Port, open_url

REPL_BAUD = 115200  # of a USB-UART bridge's line to the REPL; native USB has none


@dataclass(frozen=True)
class Holder:
    """A process that has a port open."""

    pid: int
    name: str


class PortClosed(ClusterError):
    """A port does not open. wrong: why; advice: what to do."""

    def __init__(self, wrong: str, advice: str) -> None:
        super().__init__(f"{wrong}: {advice}")
        self.wrong, self.advice = wrong, advice


def open_exclusively(url: str, baud: int) -> Port:
    """Opens the pyserial port at `url`, and locks it against other programs that lock ports.

    Reading and writing do not block. Raises PortClosed.
    """
    try:
        return open_url(url, baud, exclusive=True)
    except (OSError, ValueError) as error:  # SerialException is an OSError
        raise _port_closed(url, error) from None


def explain_closed(url: str) -> str:
    """Returns a text on why a port does not open and what to do, for mpremote and esptool, which
    do not say it."""
    try:
        open_exclusively(url, REPL_BAUD).close()
    except PortClosed as error:
        return str(error)
    return f"cannot open port {url}: try again"


def holders(path: str, processes: Path = Path("/proc")) -> Iterator[Holder]:
    """Yields the other processes that have a device open, as far as this user may inspect them.

    psutil does not help: it lists open files, but not devices.
    """
    device = os.path.realpath(path)
    for entry in processes.glob("[0-9]*"):
        if entry.name == str(os.getpid()):
            continue
        try:
            opened = [os.readlink(link) for link in (entry / "fd").iterdir()]
            name = (entry / "comm").read_text().strip()
        except OSError:  # of another user, or gone by now
            continue
        if device in opened:
            yield Holder(int(entry.name), name)


def _port_closed(url: str, error: Exception) -> PortClosed:
    number = getattr(error, "errno", None)
    if number == errno.ENOENT:
        return PortClosed(f"there is no port {url}", "plug the board in, with a cable for data")
    if number in (errno.EACCES, errno.EPERM):
        return PortClosed(f"no permission to open {url}", _how_to_be_permitted(url))
    if number in (errno.EAGAIN, errno.EBUSY):
        return PortClosed(f"another program holds {url}", _how_to_free(url))
    if f"({errno.ENOTTY}, " in str(error):  # pyserial hides the number in its text
        return PortClosed(f"{url} is not a serial port", "give one, such as /dev/ttyACM0")
    if isinstance(error, io.UnsupportedOperation):  # it has no descriptor
        return PortClosed(
            f"{url} is a port that cannot be waited for", "give a device, socket:// or rfc2217://"
        )
    if isinstance(error, ValueError) or number is None:
        return PortClosed(f"cannot open port {url}", f"{error}")
    return PortClosed(f"cannot open port {url}", os.strerror(number))


def _how_to_be_permitted(path: str) -> str:
    try:
        group = grp.getgrgid(os.stat(path).st_gid)
        user = pwd.getpwuid(os.getuid()).pw_name
    except (OSError, KeyError):
        return "ask whoever administers this machine"
    if user in group.gr_mem:
        return f"you are in its group, {group.gr_name}, since your last login: log in again"
    return (
        f"become a member of its group with sudo usermod -aG {group.gr_name} {user}, then log in"
        " again"
    )


def _how_to_free(path: str) -> str:
    found = ", ".join(f"{holder.name} (process {holder.pid})" for holder in holders(path))
    return f"end {found or 'it'}"
