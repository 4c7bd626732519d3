"""Text that comes from outside: decoded by its byte order mark, and freed of what nobody can see.

Prompts of `run` and of the API, and every file of text that a command reads, pass through here, so
that all mean the same. UTF-8 is expected; UTF-16 and UTF-32 are recognized by their byte order
marks (PowerShell's `>` writes UTF-16); anything else is refused by name.
"""

from __future__ import annotations

import codecs
import io
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from host.errors import TextError

# The longer first: UTF-32's mark begins as UTF-16's does.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (codecs.BOM_UTF8, "utf-8"),
)
_REMEDY = "save it as UTF-8"

# Characters that join or vary those beside them in scripts and emoji, and are nothing elsewhere.
_JOINER = "[\u200c\u200d]"
_SELECTOR = "[\ufe00-\ufe0f\U000e0100-\U000e01ef]"
_VISIBLE = (
    "[^\x00-\x7f\xa0\xad\u034f\u061c\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f\ufe00-\ufe0f"
    "\ufeff\ufff9-\ufffb\U000e0000-\U000e0fff]"
)
_KEPT = re.compile(
    f"(?<={_VISIBLE}){_JOINER}(?={_VISIBLE})"
    f"|(?<=[\u0900-\u0dff]){_JOINER}"  # at the end of a word too, in scripts of India
    f"|(?<={_VISIBLE}){_SELECTOR}(?:{_JOINER}(?={_VISIBLE}))?(?!{_SELECTOR})"
    "|(?<=[0-9#*])\ufe0f(?=\u20e3)"  # a digit in a box
    "|(?<=\U0001f3f4)[\U000e0030-\U000e007a]{4,6}\U000e007f"  # the flag of a part of a country
)
# What has no shape: Unicode's format characters and fillers, and what steers terminals.
_HIDDEN = re.compile(
    "\x1b\\[[0-?]*[ -/]*[@-~]"  # a terminal's control sequence
    "|[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e"
    "\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_LINE_ENDS = re.compile("\r\n?|[\v\f\x85\u2028\u2029]")
_SPACES = re.compile("[\xa0\u1680\u2000-\u200a\u202f\u205f\u2800]")  # look as a space does


def normalize(text: str) -> str:
    """Returns `text` as a person sees it: composed characters (Unicode's form NFC), each space a
    plain one and each end of a line a newline, without invisible and directional characters.

    Joiners and variation selectors stay where they shape the characters beside them. Raises
    TextError where bytes that are no text were let through as surrogates.
    """
    if text.isascii() and text.isprintable():
        return text
    text = unicodedata.normalize("NFC", text)
    for character in text:
        if "\ud800" <= character <= "\udfff":
            code = ord(character)
            what = f"byte 0x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"U+{code:04X}"
            raise TextError(f"{what} is not text: give UTF-8")
    text = _SPACES.sub(" ", _LINE_ENDS.sub("\n", text))
    pieces, start = [], 0
    for kept in _KEPT.finditer(text):
        pieces += [_HIDDEN.sub("", text[start : kept.start()]), kept[0]]
        start = kept.end()
    return "".join([*pieces, _HIDDEN.sub("", text[start:])])


def read_text(path: str | Path) -> str:
    """Returns the text of a file, its lines ended by newlines.

    Raises OSError, and TextError, which does not name the file.
    """
    return decode(Path(path).read_bytes())


def decode(data: bytes) -> str:
    """Returns the text that bytes hold, its lines ended by newlines. Raises TextError."""
    mark, encoding = _find_mark(data)
    try:
        text = data[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, len(mark) + error.start) + 1
        raise _undecodable(data, mark, encoding, f"line {line}: ") from None
    if "\0" in text:
        raise _undecodable(data, mark, encoding, "")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def iterate_lines(stream: io.BufferedIOBase) -> Iterator[str | TextError]:
    """Yields the lines of a stream as they come, without their ends; in the place of one that is
    no text, the error that says why.

    Raises TextError if nothing of the stream can be read.
    """
    start = _read_mark(stream)
    mark, encoding = _find_mark(start)
    if encoding != "utf-8":
        yield from _iterate_wide(stream, start[len(mark) :], encoding)
        return
    rest = start[len(mark) :]
    line = rest if rest.endswith(b"\n") else rest + stream.readline()
    if b"\0" in line:  # and so in every line
        raise _undecodable(line, mark, encoding, "")
    while line:
        try:
            yield from decode(line).removesuffix("\n").split("\n")
        except TextError:
            yield _undecodable(line, b"", encoding, "")
        line = stream.readline()


def _iterate_wide(
    stream: io.BufferedIOBase, start: bytes, encoding: str
) -> Iterator[str | TextError]:
    """Yields the lines of UTF-16 or UTF-32, `start` being what was read of them."""
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(encoding)(), True)
    text, data = "", start or stream.read1()
    while data:
        text += _decode_piece(decoder, data, encoding)
        *lines, text = text.split("\n")
        yield from lines
        data = stream.read1()
    text += _decode_piece(decoder, b"", encoding)
    if text:
        yield text.removesuffix("\n")


def _decode_piece(decoder: io.IncrementalNewlineDecoder, data: bytes, encoding: str) -> str:
    """Returns the text that `data`, nothing for the end, completes. Raises TextError."""
    try:
        return decoder.decode(data, final=not data)
    except UnicodeDecodeError:
        raise _undecodable(data, b"\xff", encoding, "") from None


def _read_mark(stream: io.BufferedIOBase) -> bytes:
    """Reads no more than is needed to recognize the byte order mark of a stream."""
    start = b""
    while any(len(start) < len(mark) and mark.startswith(start) for mark, _ in _MARKS):
        byte = stream.read(1)
        if not byte:
            break
        start += byte
    return start


def _find_mark(data: bytes) -> tuple[bytes, str]:
    """Returns the byte order mark that bytes begin with, empty for none, and the encoding it
    means."""
    return next((each for each in _MARKS if data.startswith(each[0])), (b"", "utf-8"))


def _undecodable(data: bytes, mark: bytes, encoding: str, where: str) -> TextError:
    if mark and encoding != "utf-8":
        return TextError(f"{where}it begins as {encoding[:6].upper()} and is damaged: {_REMEDY}")
    zeros = data.count(0)
    if zeros > len(data) // 2:
        return TextError(f"it is UTF-32 text without a byte order mark: {_REMEDY}")
    if zeros > 1 and zeros >= len(data) // 3 and 0 in (data[::2].count(0), data[1::2].count(0)):
        return TextError(f"it is UTF-16 text without a byte order mark: {_REMEDY}")
    if zeros:
        return TextError("it is not text, because it contains zero bytes")
    high = sum(byte >= 0x80 for byte in data)
    letters = high + sum(chr(byte).isalpha() for byte in data if byte < 0x80)
    likely = "Windows-1252 or Latin-1"
    if high > letters // 2:
        likely = "Windows-1251, Shift JIS or GB 18030"
    return TextError(f"{where}it is not UTF-8 text, but perhaps {likely}: {_REMEDY}")
