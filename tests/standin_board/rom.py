"""The ROM bootloader of an Espressif chip and esptool's stub, as far as esptool 5 needs them.

Frames and commands are those of "Serial Protocol" in esptool's documentation. Registers answer
what esptool reads to tell chips apart, their MAC address and the kind of their flash.
"""

import hashlib
import struct
import zlib
from dataclasses import dataclass

# What a host sends first. A board whose port has modem lines is reset into the bootloader by
# them; one on a pseudo-terminal, which has none, takes this frame for that reset.
SYNC = b"\xc0\x00\x08\x24\x00"
END, ESCAPE = 0xC0, b"\xdb"

_MAGIC_REGISTER = 0x40001000
_SPI_RUN, _READ_JEDEC_ID = 1 << 18, 0x9F
_SUMMED = {0x03, 0x07, 0x11}  # commands with a checksum of their data
_SUM_START = 0xEF
_NO_SUCH_COMMAND, _BAD_SUM, _WRITE_FAILED, _INFLATE_FAILED = 5, 7, 8, 11


@dataclass(frozen=True)
class Registers:
    """Where a kind of chip has its MAC address and SPI controller; chip_id: None where magic
    tells kinds apart."""

    mac: int
    spi: int
    command: int = 0x18  # SPI_USER
    opcode: int = 0x20  # SPI_USER2
    data: int = 0x58  # SPI_W0
    chip_id: int | None = None
    magic: int = 0


CHIPS = {
    "esp32": Registers(0x3FF5A004, 0x3FF42000, 0x1C, 0x24, 0x80, magic=0x00F01D83),
    "esp32s2": Registers(0x3F41A044, 0x3F402000, magic=0x000007C6),
    "esp32s3": Registers(0x60007044, 0x60002000, chip_id=9),
    "esp32c3": Registers(0x60008844, 0x60002000, chip_id=5),
    "esp32c5": Registers(0x600B4844, 0x60003000, chip_id=23),
    "esp32c6": Registers(0x600B0844, 0x60003000, chip_id=13),
    "esp32h2": Registers(0x600B0844, 0x60003000, chip_id=16),
    "esp32p4": Registers(0x5012D044, 0x5008D000, chip_id=18),
}


class Rom:
    """Answers requests until it is left. `feed` takes what comes from the host, in any pieces.

    flash_was_compared: whether esptool has asked for an MD5, as it does when it writes.
    """

    def __init__(self, kind, flash, mac):
        """kind: as esptool --chip; flash: a FlashChip; mac: 6 bytes."""
        self._kind, self._chip, self._flash = kind, CHIPS[kind], flash
        self._stub = self.flash_was_compared = False
        high, low = struct.unpack(">HI", mac)
        self._registers = {self._chip.mac: low, self._chip.mac + 4: high}
        if self._chip.magic:
            self._registers[_MAGIC_REGISTER] = self._chip.magic
        self._jedec_id = 0x4020 | (flash.size.bit_length() - 1) << 16
        self._frame = None  # the bytes of a frame that has begun
        self._block = self._block_size = self._place = 0
        self._inflater = zlib.decompressobj()
        self._commands = {
            0x02: self._begin, 0x03: self._data, 0x04: self._end, 0x05: self._done,
            0x06: self._run_stub, 0x07: self._done, 0x08: self._sync, 0x09: self._write_register,
            0x0A: self._read_register, 0x0B: self._done, 0x0D: self._done, 0x0E: self._read_slow,
            0x0F: self._done, 0x10: self._begin_deflated, 0x11: self._deflated, 0x12: self._done,
            0x13: self._md5, 0x14: self._security_info, 0xD0: self._erase_all,
            0xD1: self._erase, 0xD2: self._read, 0xD3: self._done,
        }  # fmt: skip

    def feed(self, data):
        """Frames for the host, and what is left of `data` from the first byte that is in no
        frame; a port without modem lines has nothing but that to say that a reset is over."""
        answers = b""
        for index, byte in enumerate(data):
            if byte != END:
                if self._frame is None:
                    return answers, data[index:]
                self._frame.append(byte)
            elif not self._frame:
                self._frame = bytearray()
            else:
                frame = bytes(self._frame).replace(ESCAPE + b"\xdc", bytes([END]))
                self._frame = None
                answers += b"".join(
                    map(_framed, self._answers(frame.replace(ESCAPE + b"\xdd", ESCAPE)))
                )
        return answers, b""

    def _answers(self, request):
        if len(request) < 8 or request[0]:
            return []
        _, operation, size, checksum = struct.unpack_from("<BBHI", request)
        data = request[8 : 8 + size]
        if operation in _SUMMED and _sum(data[16:]) != checksum & 0xFF:
            return [self._failure(operation, _BAD_SUM)]
        command = self._commands.get(operation)
        if command is None or (operation >= 0xD0 and not self._stub):
            return [self._failure(operation, _NO_SUCH_COMMAND)]
        return command(operation, data)

    def _status(self, failure=0):
        return bytes([bool(failure), failure]) + (b"" if self._stub else b"\0\0")

    def _answer(self, operation, value=0, body=b""):
        body += self._status()
        return struct.pack("<BBHI", 1, operation, len(body), value) + body

    def _failure(self, operation, reason):
        body = self._status(reason)
        return struct.pack("<BBHI", 1, operation, len(body), 0) + body

    def _done(self, operation, data):
        return [self._answer(operation)]

    def _sync(self, operation, data):
        """Eight answers; a value of 0 tells the host that a stub runs already."""
        return [self._answer(operation, 0 if self._stub else 0x20120707)] * 8

    def _run_stub(self, operation, data):
        """MEM_END, after the host has uploaded its stub: this one takes its place."""
        answers = [self._answer(operation)]
        if struct.unpack("<II", data)[1]:
            self._stub = True
            answers.append(b"OHAI")
        return answers

    def _read_register(self, operation, data):
        (address,) = struct.unpack("<I", data)
        return [self._answer(operation, self._registers.get(address, 0))]

    def _write_register(self, operation, data):
        for place in range(0, len(data), 16):
            address, value, mask = struct.unpack_from("<III", data, place)
            value = self._registers.get(address, 0) & ~mask | value & mask
            if address == self._chip.spi and value & _SPI_RUN:
                self._run_on_flash()
                value = 0
            self._registers[address] = value
        return [self._answer(operation)]

    def _run_on_flash(self):
        """A command to the flash chip by way of the SPI controller."""
        opcode = self._registers.get(self._chip.spi + self._chip.opcode, 0) & 0xFF
        answer = self._jedec_id if opcode == _READ_JEDEC_ID else 0
        self._registers[self._chip.spi + self._chip.data] = answer

    def _security_info(self, operation, data):
        if self._kind == "esp32":
            return [self._failure(operation, _NO_SUCH_COMMAND)]
        body = struct.pack("<IB7s", 0, 0, bytes(7))
        if self._chip.chip_id is not None:
            body += struct.pack("<II", self._chip.chip_id, 0)
        return [self._answer(operation, body=body)]

    def _begin(self, operation, data):
        size, _, self._block_size, self._block = struct.unpack_from("<IIII", data)
        self._flash.erase(self._block, size)
        return [self._answer(operation)]

    def _data(self, operation, data):
        _, sequence = struct.unpack_from("<II", data)
        place = self._block + sequence * self._block_size
        return [self._written(operation, place, data[16:])]

    def _begin_deflated(self, operation, data):
        size, _, _, self._place = struct.unpack_from("<IIII", data)
        self._inflater = zlib.decompressobj()
        self._flash.erase(self._place, size)
        return [self._answer(operation)]

    def _deflated(self, operation, data):
        try:
            raw = self._inflater.decompress(data[16:])
        except zlib.error:
            return [self._failure(operation, _INFLATE_FAILED)]
        place, self._place = self._place, self._place + len(raw)
        return [self._written(operation, place, raw)]

    def _written(self, operation, place, data):
        if self._flash.write(place, data):
            return self._answer(operation)
        return self._failure(operation, _WRITE_FAILED)

    def _end(self, operation, data):
        """FLASH_END, after which, if the host asks for it, the stub gives way to the ROM."""
        answer = self._answer(operation)
        self._stub = self._stub and data[:4] != bytes(4)
        return [answer]

    def _md5(self, operation, data):
        self.flash_was_compared = True
        place, size = struct.unpack_from("<II", data)
        digest = hashlib.md5(self._flash.read(place, size))
        body = digest.digest() if self._stub else digest.hexdigest().encode()
        return [self._answer(operation, body=body)]

    def _read_slow(self, operation, data):
        place, size = struct.unpack("<II", data)
        return [self._answer(operation, body=self._flash.read(place, size).ljust(64, b"\xff"))]

    def _read(self, operation, data):
        """The blocks of a part of the flash, then their MD5; the host's receipts are ignored."""
        place, size, block, _ = struct.unpack("<IIII", data)
        content = self._flash.read(place, size)
        blocks = [content[start : start + block] for start in range(0, size, block)]
        return [self._answer(operation), *blocks, hashlib.md5(content).digest()]

    def _erase(self, operation, data):
        self._flash.erase(*struct.unpack("<II", data))
        return [self._answer(operation)]

    def _erase_all(self, operation, data):
        self._flash.erase(0, self._flash.size)
        return [self._answer(operation)]


def _sum(data):
    total = _SUM_START
    for byte in data:
        total ^= byte
    return total


def _framed(payload):
    end = bytes([END])
    return (
        end + payload.replace(ESCAPE, ESCAPE + b"\xdd").replace(end, ESCAPE + b"\xdc") + end
    )
