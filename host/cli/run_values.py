"""Makes what the options of `run` ask for: a model, a sampler, chips, prompts."""

from __future__ import annotations

import argparse
from dataclasses import replace

from host.cli.chat import make_prompt
from host.cli.run_options import DEFAULT_CHIPS
from host.cluster import cluster_file
from host.errors import ArgumentError, ClusterError, ModelError
from host.executors.executor import CANNOT_CHECK
from host.generation.generator import make_sampler
from host.generation.prompt_encoder import PromptEncoder, read_prompts
from host.hardware.boards import load
from host.launch import Chips, FlashedBoards, SimulatedChips
from host.launch.boards import describe_cluster, listed_ports
from host.launch.choice import Choice
from host.launch.simulated import SIMULATED_BOARD
from host.model.checkpoint import Config
from host.model.sampling import Sampler
from host.parallel.options import AUTO, parse_parallelism
from host.parallel.parallelism import ANYWHERE, HOST_REDUCE, Parallelism, check_radio_option
from host.paths import HOME_MODEL


def checks_all(options: argparse.Namespace) -> bool:
    """Returns whether chips shall be checked before they generate."""
    return options.check == 0


def find_model(options: argparse.Namespace) -> str:
    """Returns the path of the model: the one given, flashed, or shipped. Raises ClusterError."""
    if options.model is not None:
        return str(options.model)
    flashed = cluster_file.read() if options.ports is not None else None
    return flashed.model if flashed else str(HOME_MODEL)


def find_sampler(options: argparse.Namespace) -> Sampler:
    """Returns a new sampler. Raises ArgumentError for impossible options."""
    return make_sampler(options.temperature, options.top_p, options.seed)


def simulated_chips(options: argparse.Namespace, layers: int) -> SimulatedChips:
    """Returns the chips to simulate for a model with `layers` layers.

    Raises BoardError, ArgumentError for kernels that simulated chips do not have, and
    ParallelError for options that contradict each other.
    """
    if options.kernels == "native":
        raise ArgumentError(
            "--kernels native: simulated chips only have viper's kernels: leave it out; boards can"
            " have native ones (python -m host.flash)"
        )
    link = options.link or "espnow"
    check_radio_option("--radio-mtu", options.radio_mtu, link)
    board = options.board or SIMULATED_BOARD
    secure = options.secure
    count = options.chips or DEFAULT_CHIPS
    return SimulatedChips.alike(
        count,
        link,
        board,
        signed=not load(board).is_simulated if secure is None else secure,
        heap=options.heap,
        radio_mtu=options.radio_mtu,
        line_baud=options.line_baud,
        parallelism=_parallelism(options, layers, count),
        context=options.context,
        loss=options.loss or 0.0,
        seed=options.seed,
        kernels=options.kernels or "auto",
        slots=options.slots or 0,
        weights=options.weights or ANYWHERE,
    )


def _parallelism(options: argparse.Namespace, layers: int, chips: int) -> Parallelism | None:
    """Returns the parallelism that options name, None for the planner's choice."""
    named = options.parallel, options.stages, options.reduce
    weights = options.weights or ANYWHERE
    parallelism = parse_parallelism(*named, layers, chips, weights, options.exchange)
    if parallelism is None and checks_all(options) and options.parallel != AUTO:
        # The only one whose partial sums can be checked.
        return replace(HOST_REDUCE, weights=weights)
    return parallelism


def flashed_boards(options: argparse.Namespace, config: Config) -> FlashedBoards:
    """Returns the boards to run a model on. Raises ClusterError, ParallelError."""
    for name in ("board", "heap", "radio_mtu", "loss", "secure", "slots", "weights"):
        if getattr(options, name) is not None:
            option = name.replace("_", "-")
            raise ClusterError(f"--{option} is for simulated chips, and --ports for boards")
    if options.kernels is not None:
        raise ClusterError("boards run the kernels that they were flashed with: make flash"
                           f" ARGS='--kernels {options.kernels}'")  # fmt: skip
    urls = listed_ports(options.ports)
    if urls == []:
        raise ClusterError("no port in --ports: give auto, or ports as /dev/ttyACM0")
    cluster = describe_cluster(
        urls,
        config,
        chips=options.chips,
        link=options.link,
        context=options.context,
        parallel=options.parallel,
        stages=options.stages,
        reduce=options.reduce,
        exchange=options.exchange,
        line_baud=options.line_baud,
    )
    return FlashedBoards(cluster, urls)


def find_chips(options: argparse.Namespace, config: Config) -> Chips:
    """Returns the chips to run a model on. Raises BoardError, ClusterError, ParallelError."""
    if options.ports is not None:
        return flashed_boards(options, config)
    return simulated_chips(options, config.layers)


def is_chosen_by_planner(options: argparse.Namespace) -> bool:
    """Returns whether no option says how the model is divided."""
    named = options.reduce or options.exchange
    return options.parallel in (None, AUTO) and named is None and not checks_all(options)


def verify_checkable(options: argparse.Namespace, choice: Choice) -> None:
    """Raises ClusterError for --check with chips that do not send partial sums to the host."""
    if checks_all(options) and choice.parallelism.reduce == "chips":
        raise ClusterError(CANNOT_CHECK)


def list_prompts(options: argparse.Namespace, encoder: PromptEncoder) -> list[str]:
    """Returns the prompts in options, after encoding each as a test. Raises ModelError."""
    if options.prompts is None:
        if options.prompt is None:
            return []
        encoder.encode(make_prompt(options, options.prompt))
        return [options.prompt]
    if options.prompt is not None:
        raise ModelError("--prompt and --prompts: give one of them")
    if options.examples:
        raise ModelError("--prompts and --examples: give one of them")
    prompts = read_prompts(options.prompts)
    for number, prompt in prompts.items():
        try:
            encoder.encode(make_prompt(options, prompt))
        except ModelError as error:
            raise ModelError(f"--prompts {options.prompts}, line {number}: {error}") from None
    return list(prompts.values())
