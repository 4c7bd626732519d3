"""What runs on the emulated chip: takes recorded frames through the firmware, and counts.

run.json says which chip this is, the line's sizes, whether it combines partial sums with others,
and the functions to look into (with their numbers of parameters), or none; requests.bin holds
records of u8 flags, u16 length and that many bytes of a COBS frame. `@answer` tells of a request
to be measured the instructions, the bytes allocated and the answer; `@inside` the instructions in
a function and its calls. Where there is looking, the whole is no good, for looking costs
instructions as well.
"""

import gc
import json

import micropython  # for the code below
from counter import Line, instructions

MEASURED, COLLECT = 1, 2  # flags: to be measured, and to collect garbage before

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
    """The function, with the instructions that its calls take added up beyond an empty call's."""
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


def _node(settings, line):
    from firmware import shard

    weights = shard.loaded("shard.bin", settings["chip"])
    gc.collect()
    from firmware import model_kernels, share
    from firmware.uart import UartLink

    link = UartLink(line, settings["receives"], settings["sends"])
    kernels, counts = model_kernels, settings["functions"]
    if counts:
        kernels = _Kernels(model_kernels, counts)
        for name in counts:
            if hasattr(share, name):
                setattr(share, name, _timed(name, getattr(share, name), counts[name]))
    owned = share.Share(weights, kernels, 7)
    if counts:
        owned.answer = _timed("answer", owned.answer, counts["answer"])
    if settings["combines"]:
        from firmware import residual
        from firmware.combining_node import CombiningNode

        return CombiningNode(settings["chip"], link, 7, weights, owned, residual)
    from firmware.node import Node

    return Node(settings["chip"], link, 7, weights, owned)


def _measured(node, line, frame, answers):
    """Tells the instructions from a frame's arrival until its answer has left, and the answer."""
    for spent in _spent.values():
        spent[0] = spent[1] = 0
    line.feed(frame)
    held = gc.mem_alloc()
    before = instructions()
    node.poll()
    taken = instructions() - before & _SPAN
    held = gc.mem_alloc() - held
    # Of no bytes, hex() gives no string here.
    print("@answer", taken, held, bytes(answers[: line.written()]).hex() or "")
    for name, spent in _spent.items():
        if spent[1]:
            print("@inside", name, spent[0] - spent[1] * spent[2], spent[1])


def run():
    """Answers all requests."""
    with open("run.json") as file:
        settings = json.load(file)
    answers = memoryview(bytearray(4096))
    line = Line(answers)
    node = _node(settings, line)
    gc.collect()
    gc.threshold(-1)  # what is told here must not bring a collection forward; see COLLECT
    head = bytearray(3)
    with open("requests.bin", "rb") as file:
        while file.readinto(head) == 3:
            frame = file.read(head[1] | head[2] << 8)
            if head[0] & COLLECT:
                gc.collect()
            if head[0] & MEASURED:
                _measured(node, line, frame, answers)
            else:
                line.feed(frame)
                node.poll()
    before = instructions()
    gc.collect()
    print("@collection", instructions() - before & _SPAN, gc.mem_alloc())
