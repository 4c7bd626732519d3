"""The role of a chip that has failed to start: it answers every request with the reason."""

from firmware.node import Role
from protocol.fields import u16
from protocol.frame import SEQUENCE, SRC, ProtocolError
from protocol.message_types import COMPUTE, STEP
from protocol.messages import FAULT, HASH_SIZE, REQUEST_SIZE


class Faulty(Role):
    """Tells the host why this chip cannot work."""

    def __init__(self, outbox, fault):
        """fault: the reason, as text."""
        self.fault = fault
        self.handlers = {COMPUTE: self._refuse, STEP: self._refuse}
        self.outbox = outbox

    def _refuse(self, request, length):
        if length < REQUEST_SIZE:
            raise ProtocolError("no request is named")
        self.outbox.send_error(request[SRC], u16(request, SEQUENCE), FAULT, text=self.fault)

    def holdings(self):
        """Returns no holdings."""
        return bytes(HASH_SIZE), bytes(HASH_SIZE), 0, 0, 0, 0, 0
