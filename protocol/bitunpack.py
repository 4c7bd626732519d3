"""Unpacks what protocol/bitpack.py packs. A file of its own, since many chips only pack."""

import sys

if sys.implementation.name == "micropython":
    from protocol.bitunpack_pointers import add_unpacked, unpack  # noqa: F401
else:
    from protocol.bitunpack_plain import add_unpacked, unpack  # noqa: F401
