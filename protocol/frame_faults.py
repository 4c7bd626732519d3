"""The texts of a frame's faults: a module of its own, so that they are loaded only to be shown."""

# Indexed by the faults that protocol/frame_check.py and frame.write_header return negated.
FAULTS = (
    "",
    "version is not 2 or 3",
    "source is not a chip (0 to 253) or the host (254)",
    "payload is longer than 2048 bytes",
    "frame is shorter than a header and trailer",
    "frame length is not that of header, payload and trailer",
    "destination or type is not 0 to 255, or sequence not 0 to 65535",
    "CRC-32 is wrong",
)
