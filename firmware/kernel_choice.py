"""Chooses a chip's kernels: machine code of its own make, proved at its first start, or viper's.

The folder native/ has the modules with kernels once more, with other machine code in their
functions; for what is not there viper's serve. At the first start with a deployment both are
loaded, run on the same numbers and compared (firmware/proof.py); the outcome is kept in a file,
and the chip restarts. Until then the file says that they are tried: should they crash, and crash
again, or hang until the watchdog bites, the chip comes back with viper's, and says so. The first
start with them goes the same way until it has succeeded, programs and serve.py and exchange.py of
firmware/compute tried. This module leaves the heap when the kernels are loaded.
"""

import json
import os
import sys

import machine

# Modules in the order in which they are loaded, for some import others.
_MODULES = (
    ("protocol", "bitpack_pointers"),
    ("protocol", "bitunpack_pointers"),
    ("protocol", "cobs_pointers"),
    ("protocol", "frame_check"),
    ("protocol", "sums"),
    ("protocol", "hmac_pointers"),
    ("firmware", "kernels"),
    ("firmware", "norms"),
    ("firmware", "model_kernels"),
    ("firmware", "program"),
    ("firmware", "serve"),
    ("firmware", "exchange"),
)
# Kernels that are loaded last, where there is room for them.
_PASSES = "firmware", "pass_kernels"
_FOLDER = "native"
_NATIVE = "native"
_PROVED = "native, to be confirmed"  # kernels by themselves, but no start with them has succeeded
_TRIED = "native, being tried"  # a proof or a first start has begun, and not ended
_OUTCOME = "kernels.txt"
_CRASHED = "viper (native kernels crashed)"
# Milliseconds that no kernel's proof takes; and as many as the rest of a start may take, for an
# ESP32's watchdog cannot be stopped but set anew.
_WATCHDOG_MS = 8000
# Points against kernels by how a chip came back from trying them: with so many they have crashed.
# A panic is a hard reset to MicroPython; a power loss is nobody's fault, but a brownout looks the
# same and may come again by itself.
_TOO_MANY, _HARD_RESET, _POWER_ON = 8, 4, 1
_STARTING_MS = 3_600_000
_ANY_SIZE = 1 << 20


def choose(config, report_exception):
    """What `load_chosen` gives, and why the chip can do no work, or ""."""
    try:
        return load_chosen(config), ""
    except Exception as error:
        return "", report_exception(error)


def load_chosen(config):
    """Loads native kernels where they have proved right here; what runs, in words: "native", or
    "viper (why)"; of the first start with native ones, which is to be confirmed, more.

    config: as firmware/startup.py has it. Restarts the chip after a proof. Raises RuntimeError
    where the configuration demands native kernels and they cannot be.
    """
    wanted = config["kernels"]
    if wanted == "viper":
        return "viper (as configured)"
    names = module_names()
    if names:
        key = _key(config)
        chosen, points = _recorded(key)
        if chosen == _TRIED:
            chosen, points = "", points + _points()
            if points >= _TOO_MANY:
                chosen = _CRASHED
                _record(key, chosen)
        if not chosen:
            _record(key, _TRIED, points)
            _record(key, _proved(names, "board" in config), points)
            machine.soft_reset()
    else:
        chosen = "viper (none else for this processor)"
    if chosen == _PROVED:
        _record(key, _TRIED, points)
        _blaming(key, load, names)
        return _PROVED
    if chosen == _NATIVE:
        load(names)
    elif wanted == _NATIVE:
        raise RuntimeError("kernels: native is configured: " + chosen)
    return chosen


def finish(config, chosen, node, weights):
    """Starts programs of native kernels, where they are chosen, and confirms these; what runs, in
    words. weights: None for a chip that can do no work; its next start is the first again."""
    if chosen != _NATIVE and chosen != _PROVED:
        return chosen
    words, key = _NATIVE, _key(config)
    program = sys.modules.get("firmware.compute.program")
    if weights and program:
        if chosen == _PROVED:
            has_room = _blaming(key, program.start, node, load_passes)
        else:
            has_room = program.start(node, load_passes)
        if not has_room:
            words += " (no room for programs)"
    if chosen == _PROVED:
        _record(key, _NATIVE if weights else _PROVED, _recorded(key)[1])
    return words


def _blaming(key, try_kernels, *arguments):
    """What a first trial of kernels gives; an exception of it is recorded as theirs."""
    try:
        return try_kernels(*arguments)
    except Exception as error:
        _record(key, _failed(error))
        raise


def _failed(error):
    """What runs when native kernels have raised something."""
    return "viper (native kernels: %s: %s)" % (type(error).__name__, error)


def _points():
    """Against kernels whose trial did not end. A soft reset follows an exception, that of a link
    for example: nothing has crashed."""
    cause = machine.reset_cause()
    if cause == machine.SOFT_RESET:
        return 0
    if cause == machine.WDT_RESET:
        return _TOO_MANY
    return _POWER_ON if cause == machine.PWRON_RESET else _HARD_RESET


def _key(config):
    """What was flashed, machine code for one model's shapes, and what it runs on."""
    flashed = config.get("firmware", ""), config.get("native", "")
    return "%s %s %s" % (flashed + (sys.version,))


def module_names():
    """Which modules there are, as (package, name)."""
    try:
        files = os.listdir(_FOLDER)
    except OSError:
        return ()
    return [(package, name) for package, name in _MODULES if name + ".mpy" in files]


def load(names):
    """Imports native modules, in place of those of these names; a list of them."""
    import protocol.fields  # noqa: F401 (imported by some of them, from its own folder)

    loaded = []
    for package, name in names:
        parent = __import__(package)
        path = parent.__path__
        parent.__path__ = path[: -len(package)] + _FOLDER
        try:
            __import__(package + "." + name)
        finally:
            parent.__path__ = path
        loaded.append(sys.modules[package + "." + name])
    return loaded


def load_passes(room):
    """The module of kernels that take several positions a pass, and the class Passes; None where
    there is none, or its file has more than `room` bytes."""
    kernels = _load_pass_kernels(room)
    if kernels:
        from firmware.compute.passes import Passes

        return kernels, Passes


def _load_pass_kernels(room):
    try:
        size = os.stat("%s/%s.mpy" % (_FOLDER, _PASSES[1]))[6]
    except OSError:
        return None
    return load((_PASSES,))[0] if size <= room else None


def _proved(names, has_watchdog):
    """What the chip is to run, after a comparison of both."""
    feed = machine.WDT(timeout=_WATCHDOG_MS).feed if has_watchdog else bool  # bool() does nothing
    try:
        native, passes = load(names), _load_pass_kernels(_ANY_SIZE)
        for package, name in names:
            sys.modules.pop(package + "." + name)
        for package, name in names:
            __import__(package + "." + name)
        viper = [sys.modules[package + "." + name] for package, name in names]
        from firmware import proof

        with open(_FOLDER + "/shapes.json") as file:
            shapes = json.load(file)
        sizes = shapes["head_dim"], shapes["padding"]
        wrong = proof.find_wrong(native, viper, *sizes, feed, passes)
        return "viper (native %s is wrong)" % wrong if wrong else _PROVED
    except Exception as error:
        return _failed(error)
    finally:
        if has_watchdog:
            machine.WDT(timeout=_STARTING_MS)


def _recorded(key):
    """What was recorded of this deployment, "" for nothing, and points against its kernels."""
    try:
        with open(_OUTCOME) as file:
            if file.readline() == key + "\n":
                return file.readline().strip(), int(file.readline() or 0)
    except (OSError, ValueError):
        pass
    return "", 0


def _record(key, outcome, points=0):
    with open(_OUTCOME, "w") as file:
        file.write("%s\n%s\n%d\n" % (key, outcome, points))
