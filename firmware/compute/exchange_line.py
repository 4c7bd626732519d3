"""Exchanges on a serial line without bytecode between the bytes that come and those that go.

Around exchange.py, one native call decodes what came, takes in the frames in it one after another,
and encodes what they call for, a contribution or an answer, which bytecode writes to the line. For
a frame that is another's to take in it leaves the decoder where that begins. Loaded where chips
that exchange natively have such a line.
"""

import micropython

from firmware.compute.program import core
from firmware.compute.results import OTHER, PIECES
from protocol import cobs


@micropython.viper
def take_line(block: ptr32, count: int) -> int:
    """Takes in the frames in `count` bytes of data.

    Returns the bytes to write to the line, 0 if all data is taken in, or a code of results.py. It
    exists in machine code only, made by host/build/machine_code/exchange_line.py.
    """
    return -1


def words(link):
    """Returns words of the block by name; link: the chip's UartLink."""
    _, data, frame, state, longest = link._reading
    return {
        "data": data, "line_frame": frame, "line_state": state, "longest": longest,
        "encoded": link._encoded, "decode": core(cobs.decode), "encode": core(cobs.encode),
    }  # fmt: skip


def exchanging(node, native):
    """Returns a `poll` for the node that tries `take_line` first."""
    role, link = node.role, node.outbox.link
    readinto, data, _, state, _ = link._reading
    # In one tuple, as in firmware/compute/exchange.py.
    parts = (
        link, readinto, data, native.block, take_line, link._write, link._encoded, state,
        node._poll, native, role,
    )  # fmt: skip

    @micropython.native
    def exchanged():
        link, readinto, data, block, take, write, encoded, state, poll, native, role = parts
        count = kept = link._unread
        if not count:
            count = readinto(data)
            if not count:
                role.on_idle()
                return False
        size = take(block, count)
        while size > 0:
            write(encoded, size)
            size = take(block, count)
        if size:
            link._unread = count
            if size == OTHER:
                poll()
                if not link._unread:
                    state[0] = 0  # all of it is decoded
            elif size == PIECES:
                native.send(size)
            else:
                if size < PIECES:
                    native.due[0] = size
                role.proceed()
            native.follow()
        elif kept:
            link._unread = 0
        return True

    return role.timed(exchanged)
