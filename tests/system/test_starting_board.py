"""A board that starts while a host speaks already: its frames hold 3s, which are no Ctrl-C."""

import time
from contextlib import ExitStack

from host.links.access import REPL_BAUD
from host.links.port_search import Probe
from host.links.transport import open_port
from host.model.checkpoint import Config
from host.model.quantization.quantize import quantize
from host.wire.framing import FrameSplitter, encode_frame
from protocol.frame import MAX_FRAME
from tests.clusters import cluster_file
from tests.host.flashed_boards import flashed_board
from tests.host.tiny import random_checkpoint

KEY = bytes(range(32))
NARROW = Config(dim=8, hidden_dim=10, layers=2, heads=2, kv_heads=2, vocab_size=40, context=16)
TIMEOUT = 60  # seconds, on a machine that may be busy


def probe_with_3s():
    """Signed, as a host sends it again and again."""
    while True:
        probe = Probe(KEY)
        if encode_frame(probe.frame).count(3) >= 2:
            return probe


def answered(board, probe):
    """What the board has said until its node answered."""
    splitter, said = FrameSplitter(MAX_FRAME), b""
    end = time.monotonic() + TIMEOUT
    with open_port(board.port, REPL_BAUD) as port:
        while time.monotonic() < end:
            port.write(encode_frame(probe.frame))
            time.sleep(0.01)
            data = port.read(4096)
            said += data
            if any(map(probe.decode, splitter.frames(data))):
                return said
    raise AssertionError(f"no answer, but {said!r}")


def test_a_host_that_speaks_from_the_first_moment_starts_the_node(micropython, tmp_path):
    model = quantize(random_checkpoint(NARROW))
    cluster = cluster_file(1, model="narrow.bin", digest=model.sha256()[:8], key=KEY)
    with ExitStack() as stack:
        board, _ = flashed_board(stack, tmp_path, model, cluster, 0)
        said = answered(board, probe_with_3s())
    assert b"KeyboardInterrupt" not in said and b">>> " not in said
