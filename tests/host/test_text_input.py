"""Text as it comes from outside: encodings by their byte order marks, and what nobody can see."""

import io
import os

import pytest

from host.errors import TextError
from host.text_input import decode, iterate_lines, normalize, read_text

TEXT = "turn on\nthe light in the café\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_encodings_that_say_what_they_are(encoding, tmp_path):
    (tmp_path / "t").write_bytes(TEXT.encode(encoding))
    assert read_text(tmp_path / "t") == TEXT
    assert list(iterate_lines(io.BytesIO(TEXT.encode(encoding)))) == TEXT.splitlines()


@pytest.mark.parametrize("order", ["le", "be"])
@pytest.mark.parametrize("width", [16, 32])
def test_either_order_of_bytes(width, order):
    data = f"\ufeff{TEXT}last".encode(f"utf-{width}-{order}")
    assert decode(data) == f"{TEXT}last"
    assert list(iterate_lines(io.BytesIO(data))) == [*TEXT.splitlines(), "last"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_ends_of_lines(end):
    for encoding in ("utf-8", "utf-16"):
        data = f"one{end}{end}two{end}".encode(encoding)
        assert decode(data) == "one\n\ntwo\n"
        assert list(iterate_lines(io.BytesIO(data))) == ["one", "", "two"]


@pytest.mark.parametrize("mark", ["", "utf-8", "utf-16-le", "utf-32-be"])
def test_a_line_comes_before_the_next_is_written(mark):
    encoding = mark or "utf-8"
    reader, writer = os.pipe()
    with open(reader, "rb") as stream, open(writer, "wb", buffering=0) as file:
        lines = iterate_lines(stream)
        file.write(("\ufeff" * bool(mark) + "one\n").encode(encoding))
        assert next(lines) == "one"
        file.write("two\n".encode(encoding))
        assert next(lines) == "two"


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (TEXT.encode("cp1252"), "line 2: it is not UTF-8 text, but perhaps Windows-1252"),
        (
            "\nвключи свет".encode("cp1251"),
            "line 2: it is not UTF-8 text, but perhaps Windows-1251",
        ),
        (b"\xff", "line 1: it is not UTF-8 text"),
        ("打开厨房的灯".encode("gb18030"), "perhaps Windows-1251, Shift JIS or GB 18030"),
        (TEXT.encode("utf-16-le"), "it is UTF-16 text without a byte order mark"),
        (TEXT.encode("utf-16-be"), "it is UTF-16 text without a byte order mark"),
        (TEXT.encode("utf-32-le"), "it is UTF-32 text without a byte order mark"),
        (TEXT.encode("utf-16")[:-1], "it begins as UTF-16 and is damaged"),
    ],
)
def test_other_encodings_are_refused_by_name(data, name):
    with pytest.raises(TextError) as caught:
        decode(data)
    assert name in str(caught.value) and str(caught.value).endswith("save it as UTF-8")


@pytest.mark.parametrize("data", [b"several words and \0 a zero", b"ba\0d", b"a\0\0b"])
def test_bytes_that_are_no_text_are_refused(data):
    with pytest.raises(TextError, match="it is not text, because it contains zero bytes"):
        decode(data)


def test_of_a_stream_only_the_line_that_is_no_text_is_refused():
    one, error, three = iterate_lines(io.BytesIO(b"one\ncaf\xe9\nthree"))
    assert (one, three) == ("one", "three")
    assert isinstance(error, TextError) and "Windows-1252" in str(error)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le"])
def test_a_stream_that_is_no_utf_8_at_all_is_refused_once(encoding):
    with pytest.raises(TextError, match=f"it is {encoding[:6].upper()} text without"):
        list(iterate_lines(io.BytesIO(TEXT.encode(encoding))))


@pytest.mark.parametrize(
    "hidden",
    ["\ufeff", "\u200b", "\u200d", "\u200c", "\u2060", "\u00ad", "\u200e", "\u200f", "\u202a",
     "\u202e", "\u2066", "\u2069", "\u061c", "\ufe0f", "\U000e0041", "\u180e", "\u3164", "\x07",
     "\x1b[31m", "\x1b[0m", "\x80", "\u034f"],
)  # fmt: skip
def test_what_has_no_shape_is_dropped(hidden):
    for text in (f"{hidden}turn on", f"tu{hidden}rn on", f"turn on{hidden}", f"turn {hidden}on"):
        assert normalize(text) == "turn on"


@pytest.mark.parametrize("space", ["\xa0", "\u2003", "\u2009", "\u202f", "\u2800"])
def test_what_looks_as_a_space_is_one(space):
    assert normalize(f"turn{space}on") == "turn on"


def test_ends_of_lines_are_newlines():
    assert normalize("a\r\nb\rc\u2028d\x0be") == "a\nb\nc\nd\ne"


@pytest.mark.parametrize(
    "text",
    [
        "", "plain", "tab\tand\nline", "café", "日本語　です", "👩‍👩‍👧 ❤️‍🔥 1️⃣ ☺️",
        "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "ක්\u200dර", "അവന്\u200d",
        "葛\U000e0100",
    ],
)  # fmt: skip
def test_what_is_seen_stays(text):
    assert normalize(text) == text


def test_characters_are_composed():
    assert normalize("cafe\u0301") == "café"


def test_text_is_not_hidden_behind_an_emoji():
    assert normalize("😀\U000e0074\U000e0075\U000e0072\U000e006e!") == "😀!"
    assert normalize("😀\ufe0f\ufe0f\U000e0100!") == "😀!"


@pytest.mark.parametrize(("text", "what"), [("a\udcff", "byte 0xff"), ("\ud801", "U\\+D801")])
def test_bytes_that_were_let_through_are_refused(text, what):
    with pytest.raises(TextError, match=f"^{what} is not text: give UTF-8$"):
        normalize(text)
