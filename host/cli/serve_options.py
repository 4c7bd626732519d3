"""The options of `serve`, and the models with their clusters that they ask for."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

from host.cli.argument_types import count_from, count_up_to, model_path
from host.cli.arguments import Parser
from host.cli.run_options import add_chip_options, add_simulation_options
from host.cli.run_values import find_chips, find_model
from host.cluster import cluster_file
from host.cluster.cluster_fields import ClusterFile
from host.errors import ArgumentError, ClusterError
from host.launch import Chips, FlashedBoards, RewrittenBoards
from host.model.cache import load_quantized
from host.model.loading import LoadedModel, use_home

KEY_VARIABLE = "FEDERATION_API_KEY"
MQTT_VARIABLE = "FEDERATION_MQTT"
DEFAULT_PORT = 8080
EXAMPLES = (
    "",
    "--ports auto --port 8000",
    "--cluster kitchen/federation.toml --cluster attic/federation.toml",
    "--ports auto --host 0.0.0.0 --api-key KEY",
)
_MOST_WAITING = 64
# By name: quantized models to serve, each with the chips of its clusters, and their spares.
Models = dict[str, tuple[LoadedModel, list[list[Chips]]]]


def parse_options(arguments: list[str] | None) -> argparse.Namespace:
    """Reads the command line."""
    parser = Parser(
        prog="python -m host.serve",
        description="Offers a cluster to other programs: OpenAI's HTTP API, a page to look at,"
                    " metrics for Prometheus.",
        examples=EXAMPLES,
    )  # fmt: skip
    _add_server_options(parser)
    _add_home_options(parser)
    _add_model_options(parser)
    add_chip_options(parser)
    add_simulation_options(parser)
    parser.set_defaults(check=None)
    return parser.parse_args(arguments)


def _add_server_options(parser: Parser) -> None:
    add = parser.add_argument_group("server").add_argument
    add("--host", default="127.0.0.1", metavar="ADDRESS",
        help="the address to listen on (default 127.0.0.1: this machine only)")
    add("--port", type=_port, default=DEFAULT_PORT, metavar="N",
        help=f"the port to listen on (default {DEFAULT_PORT}; 0 takes any)")
    add("--api-key", metavar="KEY", default=os.environ.get(KEY_VARIABLE, ""),
        help="what clients must send as their API key; better given as the environment variable"
             f" {KEY_VARIABLE}, which other users do not see")
    add("--insecure", action="store_true",
        help="listen beyond this machine without --api-key: anyone may send requests, even web"
             " pages of other sites in browsers of this network")
    add("--cors", action="append", default=[], metavar="ORIGIN",
        help="accept requests from web pages of this origin, as https://example.org or *; may be"
             " given again")
    add("--queue", type=count_up_to(100_000), default=_MOST_WAITING, metavar="N",
        help=f"requests that may wait, others are refused (default {_MOST_WAITING})")
    add("--deadline", type=count_up_to(86_400), default=600, metavar="S",
        help="seconds within which an answer must be complete (default 600)")
    add("--verbose", action="store_true",
        help="report requests, retransmissions and restarts")  # fmt: skip


def _add_home_options(parser: Parser) -> None:
    add = parser.add_argument_group("MQTT and Home Assistant").add_argument
    add("--mqtt", metavar="URL", default=os.environ.get(MQTT_VARIABLE, ""),
        help="take commands from a broker, as mqtt://broker or mqtts://user:password@broker/prefix"
             f" (default: the environment variable {MQTT_VARIABLE}); servers of one broker share"
             " them")
    add("--mqtt-ca", metavar="FILE",
        help="certificates by which a broker at mqtts:// is verified (default: those that this"
             " machine trusts)")
    add("--mqtt-id", metavar="NAME",
        help="this server's name there (default: the machine's, and the port)")
    add("--wyoming", metavar="URI", default="",
        help="answer transcripts in Wyoming's protocol, at tcp://127.0.0.1:10400 for example")
    add("--zeroconf", action="store_true",
        help="announce that in the network, for Home Assistant to find")
    add("--area", action="append", default=[], metavar="DEVICE=ROOM",
        help="the room of a satellite or device, by its id in Home Assistant, * for all others;"
             " may be given again")
    add("--home", metavar="FILE",
        help="the home that commands are about, and what Home Assistant calls its rooms and"
             " devices (default: the one that comes with the program)")
    add("--unlock", action="store_true",
        help="unlock doors by voice, which is refused otherwise")  # fmt: skip


def _add_model_options(parser: Parser) -> None:
    add = parser.add_argument_group("model").add_argument
    add("--cluster", action="append", default=[], metavar="FILE",
        help="a federation.toml whose boards hold a model; may be given again, for another model"
             " or for more clusters with the same one")
    add("--spare", action="append", default=[], metavar="FILE",
        help="a federation.toml of other boards with the model, which replace a cluster that is"
             " missing; may be given again")
    add("--replan", action="store_true",
        help="if a board is missing and no spare can be opened, rewrite the others for a plan"
             " without it; that changes the cluster's file, and needs each board's USB port"
             " (simulated chips are always replanned)")
    add("--model", type=model_path, metavar="PATH",
        help="the model (default: as flashed, else models/home.bin)")
    add("--tokenizer", metavar="FILE", help="its tokenizer (default: the one in or beside it)")
    add("--name", help="what the model is called (default: its file's name)")
    add("--context", type=count_from(1), metavar="N",
        help="positions that the chips' KV caches hold (default: what the model allows)")
    add("--seed", type=count_from(0), default=0, metavar="N",
        help="of simulated losses (default 0)")  # fmt: skip


def _port(text: str) -> int:
    value = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else -1
    if not 0 <= value < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: give 0 to 65535")
    return value


def find_models(options: argparse.Namespace) -> Models:
    """Returns the models to serve, quantized, by name, each with the chips of its clusters.

    Raises ModelError, ClusterError, BoardError, ParallelError.
    """
    if options.cluster:
        found = _find_clusters(options)
    else:
        path = find_model(options)
        source = use_home(load_quantized(path, options.tokenizer), options.home)
        chips = find_chips(options, source.config)
        if isinstance(chips, FlashedBoards):
            chips = _with_replanning(options, chips, cluster_file.FILE)
        elif options.replan:
            raise ArgumentError("--replan is for boards: simulated chips are always replanned")
        found = {options.name or _name(path): (source, [[chips]])}
    for file in options.spare:
        _add_spare(file, found)
    return found


def _find_clusters(options: argparse.Namespace) -> Models:
    """Returns the models that the boards of --cluster hold."""
    for name in ("ports", "chips", "model", "name"):
        if getattr(options, name) is not None:
            raise ArgumentError(f"--{name} and --cluster: the cluster's file says that")
    found: Models = {}
    for file in options.cluster:
        cluster = _read("--cluster", file)
        name = _name(cluster.model)
        if name not in found:
            source = load_quantized(cluster.model, options.tokenizer)
            is_home = source.prompt_format.home is not None
            found[name] = (use_home(source, options.home if is_home else None), [])
        boards = FlashedBoards(cluster)
        found[name][1].append([_with_replanning(options, boards, Path(file))])
    return found


def _with_replanning(
    options: argparse.Namespace, boards: FlashedBoards, file: Path
) -> FlashedBoards:
    """Returns the boards; with --replan, they are rewritten if one of them is missing."""
    if not options.replan:
        return boards
    cluster = boards.cluster
    if cluster.link.has_radio or cluster.link.line != "usb" or not cluster.flashed:
        raise ArgumentError(
            "--replan: only boards that were flashed for USB, each at a port of its own, can be"
            " rewritten: give --spare, or leave it out"
        )
    fewer = RewrittenBoards(cluster, cluster.chips - 1, file) if cluster.chips > 1 else None
    return replace(boards, fewer=fewer)


def _add_spare(file: str, found: Models) -> None:
    """Adds boards as a spare for all clusters with their model. Raises ArgumentError."""
    cluster = _read("--spare", file)
    held = cluster.model_hash
    alike = [each for each in found.values() if each[0].quantize().sha256()[: len(held)] == held]
    if not alike:
        raise ArgumentError(
            f"--spare {file}: its boards hold {cluster.model} ({held.hex()}), and served is"
            f" {', '.join(found)}: flash them with that model"
        )
    source, clusters = alike[0]
    for chips in clusters:
        context = chips[0].context or source.config.context
        if cluster.context < context:
            raise ArgumentError(
                f"--spare {file}: its boards have a context of {cluster.context}, and those that"
                f" they stand in for of {context}: flash them alike"
            )
        chips.append(FlashedBoards(cluster))


def _read(option: str, file: str) -> ClusterFile:
    """Raises ClusterError."""
    cluster = cluster_file.read(Path(file))
    if cluster is None:
        raise ClusterError(f"{option} {file}: there is no such file")
    return cluster


def _name(path: str) -> str:
    """Returns the name of a folder, or of a file without its suffix."""
    absolute = Path(path).absolute()
    return absolute.name if absolute.is_dir() else absolute.stem
