"""What comes from a port as lines: text, frames, both at once, noise; in any pieces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host.diagnosis.port_log import PortLog
from host.wire.framing import encode_frame
from host.wire.session import HostAuthenticator
from protocol import message_types
from protocol.frame import HOST
from protocol.message import FederationMessage
from protocol.messages import FAULT, encode_error
from protocol.session import ChipAuthenticator
from tests.host.fake_chips import ready

KEY = bytes(range(32))
TRACEBACK = (
    b'Traceback (most recent call last):\r\n  File "firmware/node.py", line 3\r\n'
    b"MemoryError: \xc3\xbc\r\n"
)
LINES = [
    "Traceback (most recent call last):", '  File "firmware/node.py", line 3', "MemoryError: ü",
]  # fmt: skip


def frame(kind, chip, payload, signer=None):
    version = 3 if signer else 2
    return encode_frame(FederationMessage(kind, chip, HOST, 0, payload, version).encode(signer))


def fault(text, chip=2):
    return frame(message_types.ERROR, chip, encode_error(FAULT, 0, 0, text))


def texts(log, data):
    return [(entry.chip, entry.text) for entry in log.entries(data)]


def test_text_line_by_line():
    log = PortLog()
    assert texts(log, b"ets Jul 29 2019\r\n\r\nrst:0x1 (PO") == [(None, "ets Jul 29 2019")]
    assert texts(log, b"WERON)\n") == [(None, "rst:0x1 (POWERON)")]
    assert texts(log, TRACEBACK) == [(None, line) for line in LINES]


def test_reports_and_other_messages():
    log = PortLog()
    assert texts(log, fault("OSError: -2")) == [(2, "FAULT: OSError: -2")]
    assert texts(log, frame(message_types.READY, 3, ready(1))) == [
        (3, "ready: firmware 0, model 0000000000000000, 0 KB of heap free")
    ]
    assert texts(log, frame(message_types.PARTIAL, 4, b"12345")) == [(4, "PARTIAL, 5 bytes")]


def test_text_before_a_frame_and_frames_between():
    log = PortLog()
    data = TRACEBACK + b">>> \0" + fault("a") + b"\0\0" + fault("b") + TRACEBACK + fault("c")
    expected = [
        *((None, line) for line in LINES), (None, ">>>"), (2, "FAULT: a"), (2, "FAULT: b"),
        *((None, line) for line in LINES), (2, "FAULT: c"),
    ]  # fmt: skip
    assert texts(log, data) == expected


@given(st.integers(1, 40), st.integers(0, 3))
def test_however_it_is_cut(size, repeats):
    data = (TRACEBACK + fault("a\nb", 7) + b"ok\n") * (repeats + 1)
    log, whole = PortLog(), PortLog()
    cut = [
        entry.text for i in range(0, len(data), size) for entry in log.entries(data[i : i + size])
    ]
    assert cut == [entry.text for entry in whole.entries(data)]
    assert len(cut) == (repeats + 1) * 5


def test_what_has_no_end_is_shown_after_a_while():
    log = PortLog()
    assert texts(log, b">>> ") == []
    assert [entry.text for entry in log.flushed()] == [">>>"]
    assert log.flushed() == [] and texts(log, b"\r\n") == []
    half = fault("whole")
    assert texts(log, half[:9]) == [] and log.flushed() == []
    assert texts(log, half[9:]) == [(2, "FAULT: whole")]


def test_what_is_damaged_is_told_and_what_follows_is_read():
    log = PortLog()
    damaged = bytearray(fault("OSError: -2"))
    damaged[-4] ^= 1
    assert [text.split(":")[0] for _, text in texts(log, bytes(damaged))] == [
        "a frame that cannot be read"
    ]
    assert texts(log, b"\x09\x02\x80\0" + fault("b")) == [
        (None, "3 damaged bytes"), (2, "FAULT: b"),
    ]  # fmt: skip


def test_what_never_ends_is_not_kept():
    log = PortLog()
    for _ in range(100):
        log.entries(b"\x05\x02" * 100)
    assert len(log._rest) < 5000


@given(st.binary(max_size=300))
def test_any_bytes_give_lines_that_do_a_terminal_no_harm(noise):
    log = PortLog()
    found = [*log.entries(noise + b"\0" + fault("after")), *log.flushed()]
    assert found[-1].text == "FAULT: after"
    assert all(char.isprintable() or char == "\t" for entry in found for char in entry.text)


def test_reports_of_chips_with_a_key():
    host, chip = HostAuthenticator(KEY), ChipAuthenticator(KEY, 2)
    hello = FederationMessage(message_types.DISCOVERY, HOST, 2, 0, host.announcement(), 3)
    FederationMessage.decode(hello.encode(host), chip)
    log = PortLog(host)
    asks = ready(1, 0, chip.nonce)
    (entry,) = log.entries(frame(message_types.READY, 2, asks, chip))
    assert entry.text.startswith("ready: ") and entry.message.payload == asks
    (entry,) = PortLog().entries(frame(message_types.READY, 2, asks, chip))
    assert entry.text.startswith("a frame that cannot be read: ")


@pytest.mark.parametrize("text", ["\x1b[31mred\x1b[0m", "a\rb"])
def test_control_characters_are_left_out(text):
    assert texts(PortLog(), text.encode() + b"\n") == [
        (None, text.replace("\x1b", "").replace("\r", ""))
    ]
    assert texts(PortLog(), fault(text))[0][1] == "FAULT: " + (
        text.replace("\x1b", "").replace("\r", "")
    )
