"""The payloads of ruvllm-esp32 that no chip of ours sends."""

import pytest

from host.wire import ruvllm
from protocol.frame import ProtocolError


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (ruvllm.encode_activation(3, 456, b"\xff\x7f"), "03 c801 ff7f"),
        (ruvllm.encode_token(12345), "3930"),
        (ruvllm.encode_barrier(7), "0700"),
        (ruvllm.encode_draft_tokens([1, 12345]), "02 0100 3930"),
        (ruvllm.encode_draft_tokens([]), "00"),
    ],
)
def test_layouts(payload: bytes, expected: str) -> None:
    assert payload.hex() == expected.replace(" ", "")


@pytest.mark.parametrize("data", [b"ab", bytearray(b"abcdef"), memoryview(b"abcd")])
def test_activations_round_trip(data: bytes) -> None:
    activation = ruvllm.decode_activation(ruvllm.encode_activation(1, 2, data))
    assert tuple(activation) == (1, 2, bytes(data))


@pytest.mark.parametrize("number", [0, 1, 65535])
def test_numbers_round_trip(number: int) -> None:
    assert ruvllm.decode_token(ruvllm.encode_token(number)) == number
    assert ruvllm.decode_barrier(ruvllm.encode_barrier(number)) == number


@pytest.mark.parametrize("count", [0, 1, 255])
def test_draft_tokens_round_trip(count: int) -> None:
    tokens = list(range(65535, 65535 - count, -1))
    assert ruvllm.decode_draft_tokens(ruvllm.encode_draft_tokens(tokens)) == tokens


def test_numbers_that_do_not_fit_are_refused() -> None:
    for token in (65536, -1):
        with pytest.raises(ValueError):
            ruvllm.encode_token(token)
    for tokens in ([0] * 256, [65536]):
        with pytest.raises(ValueError):
            ruvllm.encode_draft_tokens(tokens)
    with pytest.raises(ValueError, match="position 70000"):
        ruvllm.encode_activation(1, 70000, b"")


@pytest.mark.parametrize(
    ("decode", "payload"),
    [
        (ruvllm.decode_activation, ruvllm.encode_activation(1, 2, b"")),
        (ruvllm.decode_token, ruvllm.encode_token(1)),
        (ruvllm.decode_barrier, ruvllm.encode_barrier(1)),
        (ruvllm.decode_draft_tokens, ruvllm.encode_draft_tokens([1, 2])),
    ],
)
def test_payloads_cut_short_are_refused(decode, payload: bytes) -> None:
    decode(payload)
    for length in range(len(payload)):
        with pytest.raises(ProtocolError):
            decode(payload[:length])


@pytest.mark.parametrize(
    ("decode", "payload"),
    [
        (ruvllm.decode_draft_tokens, b"\2\0\0"),
        (ruvllm.decode_draft_tokens, b"\1\0\0\0"),
        (ruvllm.decode_token, b"abc"),
        (ruvllm.decode_barrier, b"abc"),
    ],
)
def test_payloads_that_contradict_themselves_are_refused(decode, payload: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode(payload)
