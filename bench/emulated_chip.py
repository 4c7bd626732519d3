"""Runs one chip of a federation on MicroPython's QEMU port for rv32imc: frames in, counts out.

The chip runs the very files that a board would hold, compiled for rv32imc. It receives frames one
by one, as from its UART, and reports the instructions for each.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench import REPOSITORY
from bench.qemu.machine import EmulationError, output
from bench.qemu.port import firmware
from bench.qemu.toolchain import Toolchain
from host.build.bundle import NATIVE, TWINS, chip_files
from host.build.compilation import chip_module
from host.build.configuration import SIMULATED_UART, configuration
from host.build.kernels import model_kernels
from host.build.machine_code.registry import KernelSet
from host.build.shard import matrix_columns
from host.model.quantized import QuantizedModel
from host.parallel.plan import Plan, Shard

TARGET = "rv32imc"
FOLDER = REPOSITORY / "build" / "qemu"  # compiler, emulator, MicroPython
ANSWER = "answer"  # HostReduce's method, counted separately like a kernel
_ANSWER_PARAMETERS = 3
DIGEST = "digest"  # Hmac's method, of a chip that signs
_DIGEST_PARAMETERS = 2
_QEMU = Path(__file__).resolve().parent / "qemu"
# Modules besides firmware and protocol, by their files.
_MODULES = {"on_chip": "on_chip.py", "time": "chip_time.py", "os": "chip_os.py"}
# Flags of on_chip.py's records.
_MEASURED, _COLLECT, _ON_RADIO, _LOCKED = 1, 2, 4, 8


@dataclass(frozen=True)
class Record:
    """A frame for a chip, as on the line; and whether to report its instructions, and to collect
    garbage before. on_radio: whether it is `radio_frames` for a gateway instead; locked: whether
    allocations fail while a measured frame is handled."""

    frame: bytes
    measured: bool = False
    collects: bool = False
    on_radio: bool = False
    locked: bool = False

    def encoded(self) -> bytes:
        """Returns the record as on_chip.py reads it."""
        flags = _MEASURED * self.measured | _COLLECT * self.collects | _ON_RADIO * self.on_radio
        flags |= _LOCKED * self.locked
        return bytes([flags]) + len(self.frame).to_bytes(2, "little") + self.frame


def radio_frames(frames: Iterable[bytes]) -> bytes:
    """Returns a record's content for frames that are waiting on the radio at the same time."""
    return b"".join(len(frame).to_bytes(2, "little") + frame for frame in frames)


@dataclass(frozen=True)
class RadioUse:
    """How often a gateway called its radio's driver for one record: to send, to receive with a
    frame, to receive without one; and the frames that it sent."""

    sends: int
    receives: int
    misses: int
    sent: bytes


@dataclass
class Measured:
    """What one chip did for one record. inside: instructions by function; answer: all bytes that
    it wrote since the last frame on the line; radio: of a gateway."""

    instructions: int
    allocated: int
    answer: bytes
    inside: dict[str, int] = field(default_factory=dict)
    radio: RadioUse | None = None


class Emulator:
    """Runs chips. Of the last one, collection: instructions of a garbage collection; started:
    whether it exchanges natively, and why it runs no programs, "" without native kernels."""

    def __init__(self, folder: Path = FOLDER, kernels: KernelSet | None = None) -> None:
        """kernels: machine code that chips run in place of viper's. Raises SetupError if QEMU
        cannot be installed."""
        self.collection = 0
        self.started = ""
        self._kernels = kernels
        self._toolchain = Toolchain(folder)
        self._program = firmware(folder, self._toolchain)

    def runs(
        self,
        model: QuantizedModel,
        plan: Plan,
        shard: Shard,
        records: Sequence[Record],
        inside: bool = False,
        key: bytes = b"",
        unmapped: str = "",
    ) -> list[Measured]:
        """Returns what the chip did for each measured record.

        inside: functions to count separately, which costs instructions and makes the total
        useless; key: of the session with which frames are signed; unmapped: why flash that a plan
        maps is not. Raises EmulationError.
        """
        settings = configuration(plan, shard, uart=SIMULATED_UART, key=key)
        files = chip_files(
            model, plan, shard, TARGET, settings, self._kernels, mapping=unmapped
        )
        run = {
            **settings,
            "native": [
                (path.split("/")[0], stem)
                for path in TWINS
                if f"{NATIVE}/{(stem := Path(path).stem)}.mpy" in files
            ],
            "functions": functions(model, shard) if inside else {},
            "weights": json.loads(files["config.json"]).get("weights"),
        }
        wanted = {
            **{path: files[path] for path in files if "/" in path or path == "shard.bin"},
            **{
                f"{module}.mpy": chip_module((_QEMU / name).read_text(), name, TARGET)
                for module, name in _MODULES.items()
            },
            "run.json": json.dumps(run).encode(),
            "requests.bin": b"".join(record.encoded() for record in records),
        }
        made: list[Measured] = []
        self.started = ""
        for line in output(self._program, self._toolchain, wanted):
            match line.split():
                case ["@answer", instructions, allocated, *answer]:
                    content = bytes.fromhex("".join(answer))
                    made.append(Measured(int(instructions), int(allocated), content))
                case ["@radio", sends, receives, misses, *sent]:
                    content = bytes.fromhex("".join(sent))
                    made[-1].radio = RadioUse(int(sends), int(receives), int(misses), content)
                case ["@inside", name, spent, _]:
                    made[-1].inside[name] = int(spent)
                case ["@started", *words]:
                    self.started = " ".join(words)
                case ["@collection", instructions, _]:
                    self.collection = int(instructions)
        if len(made) != sum(record.measured for record in records):
            raise EmulationError(f"chip {shard.chip} answered {len(made)} requests, not all")
        return made


def functions(model: QuantizedModel, shard: Shard) -> dict[str, int]:
    """Returns the number of parameters of each function that is counted separately, by name."""
    sources = (
        model_kernels(model.config, matrix_columns(model, shard)),
        (REPOSITORY / "firmware" / "compute" / "kernels.py").read_text(),
        (REPOSITORY / "protocol" / "bitpack_pointers.py").read_text(),
        (REPOSITORY / "protocol" / "bitunpack_pointers.py").read_text(),
    )
    found = {
        node.name: len(node.args.args)
        for source in sources
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef)
    }
    matvec = next(count for name, count in found.items() if name.startswith("matvec"))
    methods = {ANSWER: _ANSWER_PARAMETERS, DIGEST: _DIGEST_PARAMETERS}
    return {**found, "matvec": matvec, **methods}
