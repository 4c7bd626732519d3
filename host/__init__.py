"""Runs language models on federations of ESP32 chips with MicroPython; docs/api.md says how.

    import host

    with host.simulate("home", chips=3) as cluster:
        print(cluster.generate("wake me at seven").text)

Everything in this package runs under CPython. Names are imported when they are first used.
"""

import sys

if sys.implementation.name == "cpython":  # chips' tests run host/wire/ on MicroPython too
    import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from host.api import (
        ChipStatistics,
        Cluster,
        Generation,
        GenerationStatistics,
        GenerationStream,
        LoadedModel,
        Parallelism,
        connect,
        load_model,
        simulate,
    )
    from host.errors import (
        ArgumentError,
        BoardError,
        ClusterError,
        FederationError,
        ModelError,
        ParallelError,
        SetupError,
    )
    from host.grammar.action_lines import Action, GrammarError, format_line, parse_line
    from host.home.home import Home, HomeError, NotInHome
    from host.home.home_file import load_home
    from host.simulation.radio import FakeRadio
    from protocol.frame import ProtocolError
    from protocol.message import FederationMessage

__all__ = [
    "Action",
    "ArgumentError",
    "BoardError",
    "ChipStatistics",
    "Cluster",
    "ClusterError",
    "FakeRadio",
    "FederationError",
    "FederationMessage",
    "Generation",
    "GenerationStatistics",
    "GenerationStream",
    "GrammarError",
    "Home",
    "HomeError",
    "LoadedModel",
    "ModelError",
    "NotInHome",
    "ParallelError",
    "Parallelism",
    "ProtocolError",
    "SetupError",
    "connect",
    "format_line",
    "load_home",
    "load_model",
    "parse_line",
    "simulate",
]

_ELSEWHERE = {
    "Action": "host.grammar.action_lines",
    "FakeRadio": "host.simulation.radio",
    "FederationMessage": "protocol.message",
    "GrammarError": "host.grammar.action_lines",
    "Home": "host.home.home",
    "HomeError": "host.home.home",
    "NotInHome": "host.home.home",
    "ProtocolError": "protocol.frame",
    "format_line": "host.grammar.action_lines",
    "load_home": "host.home.home_file",
    "parse_line": "host.grammar.action_lines",
}


def __getattr__(name):  # type: ignore[no-untyped-def]  # annotations cost a chip's tests heap
    """Imports a public name when it is first used: what is behind it takes a second to import."""
    if name not in __all__:
        raise AttributeError("module 'host' has no attribute " + repr(name))
    from importlib import import_module

    is_error = name.endswith("Error")
    module = _ELSEWHERE.get(name, "host.errors" if is_error else "host.api")
    value = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__():  # type: ignore[no-untyped-def]
    return sorted(set(globals()) | set(__all__))


# What `python -m host...` starts is importing for a good part of a second, if it can. Ctrl-C then
# ends it as it ends other programs, without Python's traceback, until host/interrupts.py takes it
# back.
if sys.argv[:1] == ["-m"] and sys.implementation.name == "cpython":
    from host.unready import explain_missing_packages, require_python

    require_python()
    explain_missing_packages()
    if signal.getsignal(signal.SIGINT) == signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
