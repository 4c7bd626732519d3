"""Starts the programs of a stand-in board from a process of its own.

A board is a thread of the test. What that forked would hold all that the test has open until it
has become another program, and so the lock on a port that the test closes in that moment: whoever
opens the port next would find it in use.
"""

import fcntl
import json
import signal
import socket
import subprocess
import sys
import termios

_LONGEST = 1 << 17  # bytes of a request, which holds an environment


class Spawner:
    """One program at a time."""

    def __init__(self):
        self._link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-IS", __file__], stdin=theirs, start_new_session=True
            )

    def start(self, command, environment, terminal, **passed):
        """Starts what a terminal then controls. passed: descriptors, whose numbers there take the
        place of "{name}" in the command and in values of the environment."""
        request = json.dumps([command, environment, list(passed)]).encode()
        socket.send_fds(self._link, [request], [terminal, *passed.values()])
        self._link.recv(_LONGEST)

    def end(self):
        """Kills what was started unless it has ended; its exit code."""
        self._link.send(b"end")
        return int(self._link.recv(_LONGEST))

    def close(self):
        """Nothing can be started afterwards."""
        self._link.close()
        self._process.wait()


def _serve(link):
    """Does what is asked for until the other end is closed."""
    process, code = None, 0
    while True:
        request, descriptors, _, _ = socket.recv_fds(link, _LONGEST, 8)
        if process:
            process.kill()
            code = process.wait()
        if not request:
            return
        process = _started(*json.loads(request), *descriptors) if descriptors else None
        link.send(str(code).encode())


def _started(command, environment, names, terminal, *passed):
    with_numbers = dict(zip(names, passed, strict=True))
    process = subprocess.Popen(
        [_filled(word, with_numbers) for word in command],
        env={name: _filled(value, with_numbers) for name, value in environment.items()},
        stdin=terminal, stdout=terminal, stderr=terminal, pass_fds=passed,
        start_new_session=True, preexec_fn=_at_the_terminal,
    )  # fmt: skip
    for descriptor in (terminal, *passed):
        socket.close(descriptor)
    return process


def _at_the_terminal():
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _filled(value, numbers):
    for name, number in numbers.items():
        value = value.replace(f"{{{name}}}", str(number))
    return value


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ends with the test
    _serve(socket.socket(fileno=0))
