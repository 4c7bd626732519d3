"""What runs on the emulated chip: takes recorded frames through the firmware, and counts.

run.json says which chip this is, its role, its links, the key that it signs with, if any, and the
functions to look into (with their numbers of parameters), or none, and the modules (package,
name) of which it runs native kernels; requests.bin holds records of
u8 flags, u16 length and that many bytes: a COBS frame on the line, or frames that wait on a
gateway's radio, each after its u16 length.
`@answer` reports, of a record to be measured, the instructions, the bytes allocated and all that
is on the line since the last frame came from there; `@radio` how often a gateway sent, received
and received nothing, and what it sent; `@inside` the instructions in a function and its calls.
Where there is looking, the whole is no good, for looking costs instructions as well.
"""

import gc
import json
import sys

import micropython  # for the code below
from counter import Line, Radio, instructions
from uctypes import addressof, bytearray_at

# Flags: to be measured, to collect garbage before, that it comes by radio, and that what allocates
# memory while it is measured is to fail, if only for a moment.
MEASURED, COLLECT, ON_RADIO, LOCKED = 1, 2, 4, 8

_RELAYED_AT_ONCE = 4  # as firmware/devices.py has it

_SPAN = 0x3FFFFFFF  # the counter's
# Without *arguments, which would allocate between the two looks at the counter.
_TIMED = """
def timed({parameters}):
    before = instructions()
    result = function({parameters})
    spent[0] += instructions() - before & 0x3fffffff
    spent[1] += 1
    return result
"""
_EMPTY = """
@micropython.viper
def nothing({typed}):
    pass
"""
_spent = {}
_costs = {}  # instructions of a call of nothing, by number of parameters


def _timed(name, function, count):
    """Returns the function, with the instructions that its calls take added up beyond an empty
    call's."""
    if count not in _costs:
        _costs[count] = 0
        _costs[count] = _cost(count)
    spent = _spent.setdefault(name, [0, 0, _costs[count]])
    names = {"function": function, "spent": spent, "instructions": instructions}
    exec(_TIMED.format(parameters=_parameters(count)), names)
    return names["timed"]


def _parameters(count, kind=""):
    return ", ".join("a%d%s" % (i, kind) for i in range(count))


def _cost(count):
    names = {"micropython": micropython}
    exec(_EMPTY.format(typed=_parameters(count, ": int")), names)
    timed = _timed("nothing", names["nothing"], count)
    for _ in range(3):  # until every name has been looked up once
        _spent["nothing"][0] = 0
        timed(*range(count))
    return _spent.pop("nothing")[0]


class _Kernels:
    """model_kernels, each of them timed."""

    def __init__(self, kernels, counts):
        for name in dir(kernels):
            if name in counts:
                setattr(self, name, _timed(name, getattr(kernels, name), counts[name]))
        self.MATVEC = {}
        for columns, blocks in kernels.MATVEC.items():
            self.MATVEC[columns] = tuple(
                (first, count, _timed("matvec", kernel, counts["matvec"]))
                for first, count, kernel in blocks
            )


class _Flash:
    """Stands for the module `esp32`, with one partition, which holds the shard, and for itself."""

    TYPE_DATA = 1
    HEAP_DATA = 4

    def __init__(self):
        self.Partition = self
        with open("shard.bin", "rb") as file:
            self._content = file.read()

    def idf_heap_info(self, kind):
        """Raises ImportError, for there is no heap of ESP-IDF."""
        raise ImportError("no ESP-IDF")

    def find(self, kind, label):
        """Returns the partition."""
        return [self]

    def info(self):
        """Returns what firmware reads of it: the size."""
        return 0, 0, 0, len(self._content)

    @micropython.native  # whose calls need no heap
    def readblocks(self, block, buffer, offset):
        """Fills the buffer from a block of 4,096 bytes on, `offset` bytes behind its start."""
        _copy(self._content, 4096 * block + offset, buffer, len(buffer))

    def map(self, settings, file, blocks):
        """Does what firmware/compute/mapping.py does on boards, where it has an MMU."""
        blocks.mapped = bytearray_at(addressof(self._content), len(self._content))


@micropython.viper
def _copy(content: ptr8, at: int, buffer: ptr8, count: int):
    """Copies so many bytes into the buffer, words where they lie at such addresses."""
    source = int(content) + at
    to = int(buffer)
    if (source | to) & 3 == 0:
        end = source + (count & 0x3FFFFFFC)
        while source < end:
            ptr32(to)[0] = ptr32(source)[0]
            source += 4
            to += 4
        count &= 3
    while count:
        ptr8(to)[0] = ptr8(source)[0]
        source += 1
        to += 1
        count -= 1


def _link(settings, line, radio):
    from firmware.links.uart import UartLink

    if not radio:
        return UartLink(line, settings["receives"], settings["sends"])
    from firmware.links.espnow import RadioLink
    from firmware.links.gateway import Gateway

    mtu = settings["radio"]["mtu"]
    uart = UartLink(line, mtu, mtu, _RELAYED_AT_ONCE)
    return Gateway(settings["chip"], uart, RadioLink(radio, mtu))


def _signer(settings):
    """Returns what a chip with a key has."""
    if not settings["key"]:
        return None
    from protocol.auth import Hmac
    from protocol.session import ChipAuthenticator

    if settings["functions"]:
        if "protocol.hmac_pointers" in sys.modules:  # whose other methods do without it
            for name in ("append", "ends"):
                setattr(Hmac, name, _timed("digest", getattr(Hmac, name), 3))
        else:
            Hmac.digest = _timed("digest", Hmac.digest, settings["functions"]["digest"])
    return ChipAuthenticator(
        bytes.fromhex(settings["key"]), settings["chip"], settings["chips"]
    )  # fmt: skip


def _begin_session(settings, signer):
    """Does what a right proof does."""
    if signer:
        signer._signer.begin(bytes.fromhex(settings["key"]))
        signer.session = signer._signer


def _node(settings, line, radio):
    if settings["weights"]:
        sys.modules["esp32"] = flash = _Flash()
        from firmware.compute import partition

        if settings["weights"].get("map") == "":  # else it is why nothing is mapped
            partition._map = flash.map
        weights = partition.load_weights(settings["weights"], settings["chip"])
    else:
        from firmware.compute import shard

        weights = shard.load_weights("shard.bin", settings["chip"])
    gc.collect()
    from firmware.compute import model_kernels
    from firmware.node import Node
    from firmware.outbox import Outbox

    role_module = __import__("firmware.roles." + settings["role"], None, None, ("*",))
    link, counts = _link(settings, line, radio), settings["functions"]
    sizes = weights.request_size, weights.answer_size
    outbox = Outbox(settings["chip"], link, 7, _signer(settings), *sizes)
    if not counts:
        role = role_module.make_role(outbox, weights, model_kernels)
        if weights.on_idle:
            role.on_idle = weights.on_idle(role.on_idle)
        node = Node(outbox, role, weights.request_size)
        # Where there are programs; functions that run in them cannot be looked into.
        program = sys.modules.get("firmware.compute.program")
        if program:
            why = program.start(node, settings["load_passes"])
            is_exchanging = "exchanging" if hasattr(node, "exchanging") else ""
            print("@started", ", ".join(filter(None, (is_exchanging, why))))
        return node
    for name in counts:
        if hasattr(role_module, name):
            setattr(role_module, name, _timed(name, getattr(role_module, name), counts[name]))
    role = role_module.make_role(outbox, weights, _Kernels(model_kernels, counts))
    if hasattr(role, "answer"):
        role.answer = _timed("answer", role.answer, counts["answer"])
    return Node(outbox, role, weights.request_size)


def _stations(data):
    """Returns the frames in a record from the radio, with the addresses of those that send
    them."""
    frames = []
    while data:
        end = 2 + (data[0] | data[1] << 8)
        frame = bytearray(data[2:end])
        frames.append((b"\x02\0\0\0\0" + bytes(frame[2:3]), frame))
        data = data[end:]
    return frames


def _arrives(flags, data, line, radio):
    """Has a record's frames wait for the chip."""
    if radio:
        radio.feed(_stations(data) if flags & ON_RADIO else [])
    if not flags & ON_RADIO:
        line.feed(data)


def _measured(node, line, radio, answers, sent, locked):
    """Tells the instructions from a frame's arrival until its answer has left, and the answer."""
    for spent in _spent.values():
        spent[0] = spent[1] = 0
    held = gc.mem_alloc()
    if locked:
        micropython.heap_lock()
    before = instructions()
    node.poll()
    taken = instructions() - before & _SPAN
    if locked:
        micropython.heap_unlock()
    held = gc.mem_alloc() - held
    # Of no bytes, hex() gives no string here.
    print("@answer", taken, held, bytes(answers[: line.written()]).hex() or "")
    if radio:
        sends, receives, misses, size = radio.calls()
        print("@radio", sends, receives, misses, bytes(sent[:size]).hex() or "")
    for name, spent in _spent.items():
        if spent[1]:
            print("@inside", name, spent[0] - spent[1] * spent[2], spent[1])


def run():
    """Answers all requests."""
    with open("run.json") as file:
        settings = json.load(file)
    answers, sent = memoryview(bytearray(4096)), memoryview(bytearray(512))
    line = Line(answers)
    if settings["native"]:
        from firmware.kernel_choice import load, load_passes

        load(settings["native"])
        settings["load_passes"] = load_passes
        del sys.modules["firmware.kernel_choice"]
        del sys.modules["firmware"].kernel_choice
        del load
    radio = Radio(sent) if settings["link"] == "espnow" else None
    node = _node(settings, line, radio)
    _begin_session(settings, node.outbox.signer)
    gc.collect()
    gc.threshold(-1)  # what is reported here must not bring a collection forward; see COLLECT
    head = bytearray(3)
    with open("requests.bin", "rb") as file:
        while file.readinto(head) == 3:
            data = file.read(head[1] | head[2] << 8)
            if head[0] & COLLECT:
                gc.collect()
            _arrives(head[0], data, line, radio)
            if head[0] & MEASURED:
                _measured(node, line, radio, answers, sent, head[0] & LOCKED)
            else:
                node.poll()
    before = instructions()
    gc.collect()
    print("@collection", instructions() - before & _SPAN, gc.mem_alloc())
