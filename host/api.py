"""The public API, which `import host` gives; docs/api.md describes it.

import host

with host.simulate("home", chips=3) as cluster:
    print(cluster.generate("wake me at seven").text)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from host import api_arguments as given
from host.api_cluster import Cluster
from host.cluster import cluster_file
from host.errors import ArgumentError
from host.generation.generator import Generation, GenerationStream
from host.generation.prompt_encoder import PromptEncoder, check_steps
from host.generation.statistics import GenerationStatistics
from host.launch import Chips, FlashedBoards, SimulatedChips, open_cluster
from host.launch.boards import describe_cluster, listed_ports
from host.launch.chip_statistics import ChipStatistics
from host.launch.simulated import SIMULATED_BOARD
from host.model import loading
from host.model.cache import load_quantized, quantize_once
from host.model.checkpoint import Config
from host.model.known_models import HOME, find_path
from host.model.loading import LoadedModel, use_home
from host.model.outline import Outline
from host.parallel.options import parse_parallelism
from host.parallel.parallelism import LEAST_BAUD, LINKS, MOST_BAUD, Parallelism
from host.parallel.plan import MAX_CHIPS

__all__ = [
    "ChipStatistics",
    "Cluster",
    "Generation",
    "GenerationStatistics",
    "GenerationStream",
    "LoadedModel",
    "Parallelism",
    "connect",
    "load_model",
    "simulate",
]



def load_model(
    name_or_path: str | Path = HOME, tokenizer: str | Path | None = None
) -> LoadedModel:
    """Loads a model and quantizes it; clusters can then be opened with it without delay.

    name_or_path: "home", the model that comes with the program, another name that
    `python -m host.model get` lists, once it was fetched, or the path of a llama2.c
    checkpoint, Hugging Face folder, GGUF file or quantized model; tokenizer: a path, if the
    model's own is not in or beside it. Raises ModelError.
    """
    tokenizer = None if tokenizer is None else given.path("tokenizer", tokenizer)
    return _load(given.path("name_or_path", name_or_path), tokenizer)


@contextmanager
def simulate(
    model: str | Path | LoadedModel = HOME,
    chips: int = 5,
    *,
    link: str = "espnow",
    board: str = SIMULATED_BOARD,
    parallelism: str | Parallelism | None = None,
    context: int | None = None,
    loss: float = 0.0,
    seed: int = 0,
    secure: bool = False,
    slots: int = 0,
    drafts: int | None = None,
    radio_mtu: int | None = None,
    line_baud: int | None = None,
    home: str | Path | None = None,
) -> Iterator[Cluster]:
    """Starts simulated chips that hold a model, and stops them at the end of the context.

    model: a model from load_model, or what that takes; link: "espnow", radio with chip 0 as the
    gateway, "uart", a serial line to each chip, or "ring", from each chip to the next; board: name
    of the board that each chip's heap is taken from; parallelism: how the model is divided, a
    Parallelism or the name of its strategy, None for the one that is modelled to be fastest;
    context: positions of the KV caches, None for all that the model allows; loss: the probability
    that a frame is lost; seed: of the losses; secure: whether frames are signed with a random
    cluster key; slots: the most sequences that run together, as far as heaps allow, 0 for as many
    as the strategy has; drafts: tokens that are drafted at a time, None for as many as pay, 0 for
    none (they do not change the text); radio_mtu: bytes of the longest packet on the radio, 250 or
    1470, None for the board's; line_baud: bits per second on serial lines with which the planner
    models times, None for the board's; home: the path of a home's file.

    Raises ArgumentError, ModelError, HomeError, BoardError or ParallelError before anything is
    started, ClusterError for a chip that fails, SetupError without a MicroPython.
    """
    model, board = given.model("model", model), given.text("board", board)
    chips = given.whole("chips", chips, 1, MAX_CHIPS)
    wanted = given.parallelism(parallelism)
    context, link = given.maybe_whole("context", context, 1), given.choice("link", link, LINKS)
    loss, seed = given.probability("loss", loss), given.whole("seed", seed, 0)
    secure, radio_mtu = given.flag("secure", secure), given.radio_mtu(radio_mtu)
    if radio_mtu is not None and link != "espnow":
        raise ArgumentError(f'radio_mtu is for link "espnow", got link {link!r}')
    slots, drafts = given.slots("slots", slots), given.drafts(drafts)
    line_baud = given.maybe_whole("line_baud", line_baud, LEAST_BAUD, MOST_BAUD)

    def alike(config: Config) -> SimulatedChips:
        divided = _find_parallelism(wanted, config.layers, chips)
        return SimulatedChips.alike(
            chips, link, board, signed=secure, slots=slots, radio_mtu=radio_mtu,
            line_baud=line_baud, parallelism=divided, context=context, loss=loss, seed=seed,
        )  # fmt: skip

    def check(outline: Outline) -> None:
        check_steps(outline.config, context, None)
        alike(outline.config).check(outline)

    source = _find_model(model, home, check)
    with _open(source, alike(source.config), drafts) as cluster:
        yield cluster


@contextmanager
def connect(
    ports: str | Sequence[str] = "auto",
    model: str | Path | LoadedModel | None = None,
    *,
    chips: int | None = None,
    link: str | None = None,
    context: int | None = None,
    drafts: int | None = None,
    home: str | Path | None = None,
) -> Iterator[Cluster]:
    """Connects to flashed boards, and disconnects at the end of the context.

    ports: "auto" for the boards of federation.toml in the working folder, wherever they are
    plugged in; or their ports, as a list or separated by commas: those of all boards on "uart",
    that of the gateway on "espnow", that of the adapter of a "ring"; model: the one that was
    flashed, None for the one in federation.toml; chips, link, context: as flashed, if there is no
    such file; drafts, home: as for simulate.

    Raises ClusterError for boards that are missing, do not answer or hold another model,
    ArgumentError, ModelError, HomeError, BoardError.
    """
    urls = listed_ports(ports) if isinstance(ports, str) else given.texts("ports", ports)
    if urls == []:
        raise ArgumentError('ports must name a port, or be "auto"')
    chips = given.maybe_whole("chips", chips, 1, MAX_CHIPS)
    link = None if link is None else given.choice("link", link, LINKS)
    context, drafts = given.maybe_whole("context", context, 1), given.drafts(drafts)
    if model is None:
        flashed = cluster_file.read()
        model = flashed.model if flashed else HOME
    source = _find_model(given.model("model", model), home)
    described = describe_cluster(urls, source.config, chips=chips, link=link, context=context)
    with _open(source, FlashedBoards(described, urls), drafts) as cluster:
        yield cluster


@contextmanager
def _open(source: LoadedModel, chips: Chips, drafts: int | None) -> Iterator[Cluster]:
    PromptEncoder(source, chips.context, None)  # checks the context before anything is started
    with open_cluster(quantize_once(source), chips) as opened:
        cluster = Cluster(opened, source, chips.context, drafts)
        try:
            yield cluster
        finally:
            cluster.mark_closed()


def _find_model(
    model: str | Path | LoadedModel,
    home: str | Path | None,
    check: loading.Check = lambda outline: None,
) -> LoadedModel:
    """Returns the model. home: the file of a home, None for the model's own; check: as for
    loading.read_header."""
    home = given.maybe_path("home", home)
    source = _load(model, None, check) if isinstance(model, str | Path) else model
    return use_home(source, home)


def _load(
    name_or_path: str | Path,
    tokenizer: str | Path | None,
    check: loading.Check = lambda outline: None,
) -> LoadedModel:
    return load_quantized(find_path(str(name_or_path)), tokenizer, check)


def _find_parallelism(
    parallelism: str | Parallelism | None, layers: int, chips: int
) -> Parallelism | None:
    if parallelism is None or isinstance(parallelism, Parallelism):
        return parallelism
    return parse_parallelism(parallelism, None, None, layers, chips)
