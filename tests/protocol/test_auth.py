"""HMAC-SHA256 by its published vectors; replay windows; forged frames."""

from binascii import hexlify

from protocol import auth
from protocol.auth import Hmac, Signer
from protocol.frame import HEADER_SIZE, HOST, MAX_FRAME, ProtocolError, seal, verify_frame
from tests.dual import raises
from tests.protocol.noise import flipped, random_bytes, shuffled

KEY = b"a session key of thirty-two byte"

# RFC 4231, test cases 1, 2, 3, 4, 6 and 7: key, data, HMAC-SHA256.
RFC_4231 = (
    (
        b"\x0b" * 20,
        b"Hi There",
        "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
    ),
    (
        b"Jefe",
        b"what do ya want for nothing?",
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
    ),
    (
        b"\xaa" * 20,
        b"\xdd" * 50,
        "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
    ),
    (
        bytes(range(1, 26)),
        b"\xcd" * 50,
        "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
    ),
    (
        b"\xaa" * 131,
        b"Test Using Larger Than Block-Size Key - Hash Key First",
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
    ),
    (
        b"\xaa" * 131,
        b"This is a test using a larger than block-size key and a larger than block-size "
        b"data. The key needs to be hashed before being used by the HMAC algorithm.",
        "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
    ),
)


def frame_from(signer, src=HOST, length=20):
    buf = bytearray(MAX_FRAME)
    n = seal(buf, 3, 0x14, src, 1, 9, length, signer)
    return bytes(memoryview(buf)[:n])


def is_accepted(signer, frame):
    try:
        verify_frame(frame, len(frame), signer)
    except ProtocolError:
        return False
    return True


def test_hmac_gives_the_vectors_of_rfc_4231():
    for key, data, digest in RFC_4231:
        assert hexlify(Hmac(key).digest(data)).decode() == digest


def test_rfc_4231_case_5_truncated_as_here():
    mac = Hmac(b"\x0c" * 20)
    buf = bytearray(b"Test With Truncation" + bytes(8))
    mac.append(buf, 20)
    assert hexlify(buf[20:]).decode() == "a3b6167473100ee0"
    assert mac.ends(buf, 28)
    for bit in range(8 * 28):
        assert not mac.ends(flipped(buf, bit), 28)


def test_the_trailer_is_the_counter_and_the_mac_of_all_before_it():
    signer = Signer(KEY)
    for counter in range(300):
        frame = frame_from(signer)
        assert frame[-12:-8] == bytes((counter & 255, counter >> 8, 0, 0))
        assert frame[-8:] == Hmac(KEY).digest(frame[:-8])[:8]


def test_a_frame_is_accepted_once():
    receiver = Signer(KEY)
    frame = frame_from(Signer(KEY))
    assert is_accepted(receiver, frame)
    assert not is_accepted(receiver, frame)
    assert (receiver.replayed, receiver.forged) == (1, 0)


def test_another_key_or_a_changed_frame_is_refused():
    frame = frame_from(Signer(KEY))
    receiver = Signer(KEY)
    assert not is_accepted(Signer(KEY[1:] + b"x"), frame)
    for bit in range(8 * HEADER_SIZE, 8 * len(frame)):
        assert not is_accepted(receiver, flipped(frame, bit))
    assert receiver.forged == 8 * (len(frame) - HEADER_SIZE)
    assert is_accepted(receiver, frame)


def test_a_refused_frame_does_not_move_the_window():
    sender = Signer(KEY)
    first = frame_from(sender)
    for _ in range(100):
        last = frame_from(sender)
    receiver = Signer(KEY)
    assert not is_accepted(receiver, last[:-1] + bytes([last[-1] ^ 1]))
    assert is_accepted(receiver, first)


def test_window_edges():
    sender = Signer(KEY)
    frames = [frame_from(sender) for _ in range(300)]
    receiver = Signer(KEY)
    assert is_accepted(receiver, frames[100])
    assert not is_accepted(receiver, frames[36])  # 64 behind: out
    assert is_accepted(receiver, frames[37])  # 63 behind: in
    assert is_accepted(receiver, frames[99])
    assert is_accepted(receiver, frames[101])
    assert not is_accepted(receiver, frames[37])
    assert is_accepted(receiver, frames[38])
    assert is_accepted(receiver, frames[164])  # exactly 63 on: 101 stays in, and seen
    assert not is_accepted(receiver, frames[101])
    assert is_accepted(receiver, frames[102])
    assert is_accepted(receiver, frames[299])  # far on: nothing in the window is seen
    for i in range(236, 299):
        assert is_accepted(receiver, frames[i])
    for i in range(300):
        assert not is_accepted(receiver, frames[i])


def test_the_window_is_that_of_a_plain_model():
    frames = []
    sender = Signer(KEY)
    for _ in range(600):
        frames.append(frame_from(sender, length=0))
    receiver = Signer(KEY)
    seen = set()
    highest = -1
    order = []
    for begin in range(0, 600, 120):
        # Within reach of one another, beyond it, and twice.
        order += shuffled(list(range(begin, begin + 120)) + list(range(begin, begin + 40)))
    for counter in order:
        expected = counter > highest - 64 and counter not in seen
        assert is_accepted(receiver, frames[counter]) == expected
        if expected:
            seen.add(counter)
            highest = max(highest, counter)
    assert 0 < len(seen) < 600


def test_every_source_has_its_own_window():
    receiver = Signer(KEY)
    senders = [Signer(KEY) for _ in range(255)]
    for _ in range(3):
        for src in range(255):
            for _ in range(1 + src % 3):
                frame = frame_from(senders[src], src, 0)
                assert is_accepted(receiver, frame)
                assert not is_accepted(receiver, frame)


def test_a_chip_hears_the_host_and_the_chips_that_there_are():
    sender = Signer(KEY)
    receiver = Signer(KEY, 3)
    for src in (0, 1, 2, HOST):
        frame = frame_from(sender, src)
        assert is_accepted(receiver, frame) and not is_accepted(receiver, frame)
    for src in (3, 4, 253):
        assert not is_accepted(receiver, frame_from(sender, src))
    assert receiver.replayed == 4 and receiver.forged == 0


def test_frames_in_any_order_are_accepted_within_the_window():
    sender = Signer(KEY)
    frames = [frame_from(sender) for _ in range(64)]
    receiver = Signer(KEY)
    for frame in shuffled(frames):
        assert is_accepted(receiver, frame)


def with_counter(frame, counter):
    """The frame with another counter, signed rightly."""
    changed = bytearray(frame)
    end = len(changed) - 12
    for i in range(4):
        changed[end + i] = counter >> 8 * i & 255
    Hmac(KEY).append(changed, end + 4)
    return changed


def test_counters_stop_at_the_last():
    frame = frame_from(Signer(KEY))
    receiver = Signer(KEY)
    assert is_accepted(receiver, with_counter(frame, auth.LAST_COUNTER))
    for counter in (0x40000000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF):
        assert not is_accepted(receiver, with_counter(frame, counter))
    sender = Signer(KEY)
    sender._highest[-1] = auth.LAST_COUNTER - 1
    assert is_accepted(Signer(KEY), frame_from(sender))
    assert "new one" in str(raises(ProtocolError, frame_from, sender))


def test_random_bytes_are_never_accepted():
    receiver = Signer(KEY)
    frame = bytearray(frame_from(Signer(KEY)))
    for _ in range(500):
        frame[HEADER_SIZE:] = random_bytes(len(frame) - HEADER_SIZE)
        assert not is_accepted(receiver, frame)
