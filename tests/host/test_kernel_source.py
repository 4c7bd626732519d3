"""Generated kernels: what is generated, that it compiles, and that it keeps to a chip's limits."""

import types
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host.build import compilation
from host.build.kernels import MAX_COLUMNS, column_blocks, kernel_source

ARCHES = ("x86", "xtensawin", "rv32imc")
# Beyond this, viper code for Xtensa goes wrong without a word.
MOST_LOCALS = 250


@given(st.integers(1, 5000))
def test_blocks_cover_all_columns_in_as_few_as_possible(columns: int) -> None:
    blocks = column_blocks(columns)
    assert [column for first, count in blocks for column in range(first, first + count)] == list(
        range(columns)
    )
    assert len(blocks) == -(-columns // MAX_COLUMNS)
    counts = [count for _, count in blocks]
    assert max(counts) - min(counts) <= 1


def functions(source: str) -> Iterator[types.CodeType]:
    """The code of each function in the source, which CPython's compiler reads too."""
    module = compile(source, "model_kernels.py", "exec")
    return (code for code in module.co_consts if isinstance(code, types.CodeType))


def table(source: str) -> dict[int, tuple[tuple[int, int, str], ...]]:
    """MATVEC of the source, kernels by name."""
    text = source[source.index("MATVEC = ") :]
    names: dict[str, object] = {code.co_name: code.co_name for code in functions(source)}
    exec(text, names)
    found = names["MATVEC"]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("columns", [1, 2, 64, 172, 191, 192, 193, 255, 256, 257, 384, 385, 400])
def test_each_number_of_columns_has_its_kernels(columns: int) -> None:
    source = kernel_source([columns], 8)
    names = [code.co_name for code in functions(source)]
    assert len(set(names)) == len(names)
    assert list(table(source)) == [columns]
    entries = table(source)[columns]
    assert [(first, count) for first, count, _ in entries] == column_blocks(columns)
    for first, count, name in entries:
        # The first block begins each sum, later ones add to it.
        assert name == (f"matvec_add_{count}" if first else f"matvec_{count}")
        assert name in names
    assert set(names) == {name for *_, name in entries} | {"attend"}


def test_no_function_has_too_many_locals() -> None:
    for head_dim in (*range(2, 129, 2), MAX_COLUMNS, MAX_COLUMNS + 2, 256, 4096):
        for int8_kv in (False, True):
            for code in functions(kernel_source([head_dim], head_dim, int8_kv=int8_kv)):
                assert code.co_nlocals < MOST_LOCALS
    everything = list(functions(kernel_source(range(1, 401), 128)))
    assert len(everything) > MAX_COLUMNS + 2
    assert max(code.co_nlocals for code in everything) > MAX_COLUMNS
    assert all(code.co_nlocals < MOST_LOCALS for code in everything)


def test_the_order_of_columns_does_not_matter() -> None:
    assert kernel_source([64, 300, 35, 64], 8) == kernel_source({300, 35, 64}, 8)


@pytest.mark.parametrize("step", [9, pytest.param(1, marks=pytest.mark.verify)])
@pytest.mark.parametrize("arch", ARCHES)
def test_kernels_of_any_size_compile(
    arch: str, step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compilation, "_CACHE", tmp_path)
    sizes = [*range(2, 129, 2), 194, 256, 1022]
    for i, head_dim in list(enumerate(sizes))[::step]:
        # Every number of columns to 400 is of one size, a few of each.
        columns = range(1 + i, 401, len(sizes))
        source = kernel_source(columns, head_dim, int8_kv=i % 2 > 0)
        mpy = compilation.compiled(source.encode(), "k.py", arch)
        assert mpy[:2] == b"M\x06"
        assert mpy[2] >> 2 & 0x0F == {"x86": 1, "xtensawin": 10, "rv32imc": 11}[arch]
