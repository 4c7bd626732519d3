"""Prints what an inspection of a model has found, for people."""

from __future__ import annotations

from rich.table import Table

from host.cli.console import Console
from host.cli.inspection import Fit, Inspection
from host.cli.matrices import describe_matrices
from host.model.loading import Format
from host.parallel.cost.estimate import PROMPT

LINKS = ("uart", "espnow")  # the links for which numbers of chips are listed
_SHORT = 256  # positions that a short conversation takes


def print_inspection(console: Console, found: Inspection) -> None:
    """Prints the figures for people."""
    config = found.config
    heads = f"{config.heads} heads of {config.head_dim}, {config.kv_heads} KV heads"
    classifier = "shared with the classifier" if found.shared_classifier else "classifier apart"
    if found.format is Format.QUANTIZED:
        classifier = "classifier apart, as quantizing makes it"
    lines = {
        "format": found.format.value,
        "architecture": f"{found.architecture}, {config.layers} layers, dim {config.dim}, {heads},"
        f" feed-forward {config.hidden_dim}",
        "vocabulary": f"{config.vocab_size:,} tokens, {classifier}",
        "context": f"{config.context:,} positions, rope base {config.rope_theta:g},"
        f" epsilon {config.norm_eps:g}",
        "parameters": f"{found.parameters:,}",
        **({"weights": text} if (text := describe_matrices(config)) else {}),
        "quantized": f"{_format_size(found.quantized_bytes)} of weights{_format_groups(found)},"
        f" and {_format_size(found.kv_bytes)} of {'int8 ' if config.int8_kv else ''}caches for"
        f" {found.context:,} positions, divided among the chips",
    }
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, text in lines.items():
        table.add_row(name, text)
    if found.problem:
        table.add_row("on any board", f"cannot run: {found.problem}")
    for name, chips in () if found.problem else found.chips.items():
        table.add_row(f"on {name}", _format_chips(chips))
        if more := found.with_flash.get(name):
            table.add_row(f"on {name}", f"with weights in flash {_format_chips(dict(more))}")
    console.print(table, highlight=False)
    if _is_too_long(found):
        console.print(
            f"no boards hold caches for {found.context:,} positions: --context {_SHORT} shows"
            f" which hold {_SHORT}",
            highlight=False,
        )
    if found.cluster:
        cluster = found.cluster
        verdict = f"does not fit: {cluster.problem}" if cluster.problem else _format_fit(cluster)
        console.print(
            f"{_format_count(cluster.chips)} {cluster.board}: {verdict}", highlight=False
        )


def _format_groups(found: Inspection) -> str:
    if found.groups_bytes is None:
        return ""
    return f" ({_format_size(found.groups_bytes)} with quantize --weights groups)"


def _is_too_long(found: Inspection) -> bool:
    """Returns whether no boards hold the model, which they might with a shorter context."""
    counts = [count for by_link in found.chips.values() for count in by_link.values()]
    is_held = any(counts) or bool(found.with_flash)
    return not (found.problem or is_held) and found.context > _SHORT


def _format_fit(cluster: Fit) -> str:
    if not cluster.tokens_per_second:
        return "fits"
    return (
        f"fits, weights in {' and '.join(cluster.weights)}; {cluster.tokens_per_second:.2g} tokens"
        f" a second, the first {cluster.first_token:.2g} s after a prompt of {PROMPT}, most of"
        f" each for {cluster.limit} (modelled){_format_mapped(cluster)}"
    )


def _format_mapped(cluster: Fit) -> str:
    if not cluster.mapped_rate:
        return ""
    return (
        f"; {cluster.mapped_rate:.2g} with --weights flash-mapped (modelled; no real chip has"
        " confirmed it)"
    )


def _format_chips(chips: dict[str, int | None]) -> str:
    if len(set(chips.values())) > 1 or set(chips) != set(LINKS):
        over = (f"{_format_fewest(count)} over {link}" for link, count in chips.items())
        return ", ".join(over)
    return _format_fewest(next(iter(chips.values())))


def _format_fewest(count: int | None) -> str:
    return "does not fit" if count is None else _format_count(count)


def _format_count(count: int) -> str:
    return f"{count} chip{'' if count == 1 else 's'}"


def _format_size(count: int) -> str:
    return f"{count / 1024:,.0f} KB" if count < 10 << 20 else f"{count / (1 << 20):,.0f} MB"
