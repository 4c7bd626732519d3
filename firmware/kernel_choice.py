"""Chooses a chip's kernels: native ones, proved at the first start, or viper's.

Native kernels are machine code made by host/build/machine_code. The folder native/ has the modules
with kernels once more, with this code in their functions; kernels that it lacks are viper's. At
the first start of a deployment both are loaded, run on the same numbers and compared
(firmware/proof.py); the outcome is recorded in a file, and the chip restarts. Meanwhile the file
says that a trial is under way: if native kernels crash twice, or hang until the watchdog resets
the chip, it restarts with viper's and reports that. Then the first start with native kernels is a
trial too, of programs and of serve.py and exchange.py in firmware/compute, until it has succeeded.
This module is unloaded when the kernels are loaded.
"""

import json
import os
import sys

import machine

# Modules in the order in which they are loaded, since some import others.
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
    ("firmware", "placed"),
    ("firmware", "serve"),
    ("firmware", "exchange"),
    ("firmware", "exchange_stage"),
    ("firmware", "exchange_line"),
)
# The module that is loaded last, if there is room for it.
_PASSES = "firmware", "pass_kernels"
_FOLDER = "native"
_NATIVE = "native"
_PROVED = "native, to be confirmed"  # they compute the same, but have not started a chip yet
_TRIED = "native, being tried"  # a proof or a first start has begun, but not ended
_OUTCOME = "kernels.txt"
_CRASHED = "viper (native kernels crashed)"
# Milliseconds: more than the proof of any kernel takes. For the rest of the start the watchdog is
# set to _STARTING_MS, because an ESP32's cannot be stopped.
_WATCHDOG_MS = 8000
# Points against native kernels, by the way in which the chip restarted while they were tried; with
# _TOO_MANY they count as crashed. MicroPython reports a panic as a hard reset. A power loss is not
# the kernels' fault, but a brownout, which looks the same, may be, and would come again.
_TOO_MANY, _HARD_RESET, _POWER_ON = 8, 4, 1
_STARTING_MS = 3_600_000
_ANY_SIZE = 1 << 20


def choose(config, report_exception):
    """Returns the result of `load_chosen` and "", or "" and the reason why it failed."""
    try:
        return load_chosen(config), ""
    except Exception as error:
        return "", report_exception(error)


def load_chosen(config):
    """Loads native kernels if they have proved right on this chip.

    Returns which kernels run: "native", "viper (why)", or _PROVED at the first start with native
    ones. Restarts the chip after a proof. config: as firmware/startup.py describes it. Raises
    RuntimeError if the configuration demands native kernels but they cannot run.
    """
    wanted = config["kernels"]
    if wanted == "viper":
        return "viper (as configured)"
    names = module_names()
    if names:
        key = _key(config)
        chosen, points = recorded(key)
        if chosen == _TRIED:
            chosen, points = "", points + points_of_restart()
            if points >= _TOO_MANY:
                chosen = _CRASHED
                record(key, chosen)
        if not chosen:
            record(key, _TRIED, points)
            record(key, _proved(names, "board" in config), points)
            machine.soft_reset()
    else:
        chosen = "viper (none else for this processor)"
    if chosen == _PROVED:
        record(key, _TRIED, points)
        _blaming(key, load, names)
        return _PROVED
    if chosen == _NATIVE:
        load(names)
    elif wanted == _NATIVE:
        raise RuntimeError("kernels: native is configured: " + chosen)
    return chosen


def finish(config, chosen, node, weights):
    """Starts programs if kernels are native, and records that the first start with them succeeded.

    chosen: the result of `load_chosen`; weights: None for a chip that cannot work, whose next
    start then is the trial. Returns which kernels run, as text.
    """
    if chosen != _NATIVE and chosen != _PROVED:
        return chosen
    words, key = _NATIVE, _key(config)
    program = sys.modules.get("firmware.compute.program")
    if weights and program:
        if chosen == _PROVED:
            why = _blaming(key, program.start, node, load_passes)
        else:
            why = program.start(node, load_passes)
        if why:
            words += " (%s)" % why
    if chosen == _PROVED:
        record(key, _NATIVE if weights else _PROVED, recorded(key)[1])
    return words


def _blaming(key, try_kernels, *arguments):
    """Returns what try_kernels(*arguments) does; records an exception as the kernels' failure."""
    try:
        return try_kernels(*arguments)
    except Exception as error:
        record(key, _failed(error))
        raise


def _failed(error):
    """Returns the text of which kernels run after native ones have raised `error`."""
    return "viper (native kernels: %s: %s)" % (type(error).__name__, error)


def points_of_restart():
    """Returns the points for this restart against what is tried, if the trial has not ended.

    A soft reset follows an exception, of a link for example: then nothing has crashed.
    """
    cause = machine.reset_cause()
    if cause == machine.SOFT_RESET:
        return 0
    if cause == machine.WDT_RESET:
        return _TOO_MANY
    return _POWER_ON if cause == machine.PWRON_RESET else _HARD_RESET


def _key(config):
    """Returns a text that names the deployment: firmware, native kernels, MicroPython version."""
    flashed = config.get("firmware", ""), config.get("native", "")
    return "%s %s %s" % (flashed + (sys.version,))


def module_names():
    """Returns the native modules that this chip has, each as (package, name)."""
    try:
        files = os.listdir(_FOLDER)
    except OSError:
        return ()
    return [(package, name) for package, name in _MODULES if name + ".mpy" in files]


def load(names):
    """Imports the native modules of these names in place of viper's; returns them in a list."""
    import protocol.fields  # noqa: F401 (some of them import it, but it is not in native/)

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
    """Returns the module of kernels for several positions a pass, and the class Passes; None if
    there is no such module, or its file has more than `room` bytes."""
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
    """Compares native kernels with viper's; returns which the chip shall run, as text."""
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


def recorded(key, path=_OUTCOME):
    """Returns the outcome that the file records of this deployment, "" if none, and the points
    against it."""
    try:
        with open(path) as file:
            if file.readline() == key + "\n":
                return file.readline().strip(), int(file.readline() or 0)
    except (OSError, ValueError):
        pass
    return "", 0


def record(key, outcome, points=0, path=_OUTCOME):
    """Writes the outcome of this deployment into the file, and the points against it."""
    with open(path, "w") as file:
        file.write("%s\n%s\n%d\n" % (key, outcome, points))
