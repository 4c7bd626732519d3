"""The numbers of message types: the second byte of a frame.

Types that ruvllm-esp32 has keep its numbers. protocol/messages.py describes the payloads;
host/wire/payloads.py those of types that only other programs send.
"""

from protocol.compat import const

HEARTBEAT = const(0x00)
DISCOVERY = const(0x01)
READY = const(0x02)
ACTIVATION = const(0x10)
KV_CACHE = const(0x11)
GRADIENT = const(0x12)
PARTIAL = const(0x13)
COMPUTE = const(0x14)
CONTRIBUTION = const(0x15)
REPAIR = const(0x16)
STEP = const(0x17)
EMBED_REQUEST = const(0x20)
EMBED_RESPONSE = const(0x21)
LOGITS = const(0x22)
TOKEN = const(0x23)
BEST = const(0x24)
CANDIDATES = const(0x25)
DRAFT_TOKENS = const(0x30)
VERIFY_RESULT = const(0x31)
BARRIER = const(0x40)
ACK = const(0x41)
FRAGMENT = const(0x50)
SHARD = const(0x60)
STATISTICS = const(0x61)
LINE = const(0x62)
ERROR = const(0xff)
