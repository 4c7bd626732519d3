"""Takes in what comes on a chip's serial line, and writes what goes out, around `exchange`.

What firmware/compute/exchange_line.py says of it, for RV32IM and Xtensa; firmware/links/uart.py
says the same in Python.
"""

from __future__ import annotations

from host.build.machine_code.common import CommonCode
from host.build.machine_code.exchange_words import ANSWER, FRAME, OTHER, B

_STATE_WORDS = 4  # of the decoder's; the first says how much of the data is decoded


def take_line(code: CommonCode) -> None:
    """Words: block, bytes of data. Takes in all frames that end in them, as far as none is to be
    sent: gives the bytes of that one on the line; 0 if all data are taken in; OTHER for a frame
    that is not for this, with the decoder as it was before; FINISH and PIECES as `exchange`."""
    with code.function({"k0": 0, B: 1}):
        code.call("exchange", "k0", 0, 0)
        code.branch_number("t0", "!=", 0, "came of it")
        code.get(FRAME, "line_state")
        code.label("next frame")
        for place in range(_STATE_WORDS):
            code.load("t0", FRAME, 4 * place)
            code.put("t0", f"line_state_{place}")
        code.call("decode", "data", "line_frame", "line_state", B, "longest")
        code.branch_number("t0", "==", 0, "all of it")
        code.branch_number("t0", "<", 0, "other")
        code.call("exchange", "k0", "line_frame", "t0")
        code.branch_number("t0", "==", 0, "next frame")
        code.branch_number("t0", "==", OTHER, "other")
        code.label("came of it")
        code.branch_number("t0", "<", 0, "leave")
        code.branch_number("t0", "<", ANSWER, "contribution")
        code.number("t1", ANSWER)
        code.operate("-", "t0", "t0", "t1")
        code.call("encode", "answer", "encoded", "t0", 0)
        code.jump("leave")
        code.label("contribution")
        code.call("encode", "frame", "encoded", "t0", 0)
        code.jump("leave")
        code.label("other")
        for place in range(_STATE_WORDS):
            code.get("t0", f"line_state_{place}")
            code.store("t0", FRAME, 4 * place)
        code.number("t0", OTHER)
        code.jump("leave")
        code.label("all of it")
        code.store("t0", FRAME)
        code.label("leave")
