"""The types that a chip makes or takes; protocol/message.py has all.

Each name costs a chip heap, so those that it does not need are not here.
"""

from protocol.compat import const

DISCOVERY = const(0x01)
READY = const(0x02)
PARTIAL = const(0x13)
COMPUTE = const(0x14)
CONTRIBUTION = const(0x15)
REPAIR = const(0x16)
STEP = const(0x17)
LOGITS = const(0x22)
BEST = const(0x24)
ACK = const(0x41)
FRAGMENT = const(0x50)
STATISTICS = const(0x61)
ERROR = const(0xff)
