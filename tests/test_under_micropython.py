"""The cases of tests/protocol and tests/firmware, run by MicroPython itself.

Each file runs once, in a MicroPython process of its own; each of its cases is one pytest item.
They see firmware and protocol as a chip does: with numbers in place of imported constants.
"""

import ast
import functools
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.deployed import built_sources, deployed_kernels

REPOSITORY = Path(__file__).resolve().parents[1]
FOLDERS = ("tests/protocol", "tests/firmware")
HEAP = "4M"  # the free heap of a board with PSRAM
TIMEOUT_SECONDS = 110  # just under pytest's own, so that what was printed is not lost
FRAME = re.compile(r'File "([^"<]+)", line (\d+)')


def case_names(file: Path) -> list[str]:
    """The test functions of a file, read without importing it: it may hold viper code."""
    return [
        node.name
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]


def failing_line(traceback: str, root: Path) -> str:
    """The source line that the innermost frame of a MicroPython traceback names, or ""."""
    frames = FRAME.findall(traceback)
    if not frames:
        return ""
    path, number = root / frames[-1][0], int(frames[-1][1])
    lines = path.read_text().splitlines() if path.is_file() else []
    return lines[number - 1].strip() if 0 < number <= len(lines) else ""


def process_output(micropython: Path, command: str, root: Path) -> tuple[str, str]:
    """What a MicroPython process that ran the command printed, and how it ended early or ""."""
    arguments = [micropython, "-X", f"heapsize={HEAP}", "-c", command]
    # The checkout comes before any library folder of the user's own; the folder in which the
    # process runs comes before all.
    path = f"{root}:{REPOSITORY}:{deployed_kernels()}:.frozen"
    environment = {**os.environ, "MICROPYPATH": path}
    try:
        ended = subprocess.run(
            arguments,
            cwd=built_sources(),
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=TIMEOUT_SECONDS,
        )
    except subprocess.TimeoutExpired as expired:
        return (expired.stdout or b"").decode(errors="replace"), "ran out of time"
    how = f"ended with status {ended.returncode}" if ended.returncode else ""
    return ended.stdout.decode(errors="replace"), how


def verdicts(micropython: Path, file: str, root: Path = REPOSITORY) -> dict[str, str]:
    """For each case of a file: "" where it passed, else what to tell the developer."""
    cases = case_names(root / file)
    module = file.removesuffix(".py").replace("/", ".")
    command = f"import tests.dual; tests.dual.run_cases({module!r}, {cases!r})"
    output, ending = process_output(micropython, command, root)
    preamble, *sections = re.split(r"^@case ", output, flags=re.MULTILINE)
    found = {}
    for section in sections:
        name, _, body = section.partition("\n")
        passed = re.search(r"^@passed$", body, re.MULTILINE)
        failed = re.search(r"^@failed$", body, re.MULTILINE)
        if failed:
            found[name] = f"{body[: failed.start()]}{failing_line(body, root)}"
        else:
            found[name] = "" if passed else f"MicroPython {ending} in this case:\n{body}"
    unreached = f"MicroPython {ending or 'ended'} before this case:\n{preamble}"
    return {case: found.get(case, unreached) for case in cases}


cached_verdicts = functools.cache(verdicts)

DUAL_CASES = [
    (file.relative_to(REPOSITORY).as_posix(), case)
    for folder in FOLDERS
    for file in sorted((REPOSITORY / folder).glob("**/test_*.py"))
    for case in case_names(file)
]


@pytest.mark.parametrize(("file", "case"), DUAL_CASES)
def test_case(micropython: Path, file: str, case: str) -> None:
    problem = cached_verdicts(micropython, file)[case]
    if problem:
        pytest.fail(f"{file}::{case} under MicroPython\n{problem}", pytrace=False)


@pytest.mark.verify
@pytest.mark.parametrize(
    ("module", "frames"),
    [("tests.protocol.test_fuzz", 50_000), ("tests.firmware.test_node_fuzz", 20_000)],
)
def test_a_long_storm_of_frames(micropython: Path, module: str, frames: int) -> None:
    command = f"from {module} import check_storm; check_storm({frames}); print('done')"
    assert process_output(micropython, command, REPOSITORY) == ("done\n", "")


def written(root: Path, source: str) -> str:
    (root / "sample").mkdir()
    (root / "sample" / "test_sample.py").write_text(source)
    return "sample/test_sample.py"


def test_a_failure_is_told_with_its_traceback_and_source_line(micropython, tmp_path):
    source = "def test_good():\n    pass\n\ndef test_bad():\n    assert 1 + 1 == 3\n"
    found = verdicts(micropython, written(tmp_path, source), tmp_path)
    assert found["test_good"] == ""
    assert 'test_sample.py", line 5, in test_bad' in found["test_bad"]
    assert found["test_bad"].endswith("AssertionError: \nassert 1 + 1 == 3")


def test_a_case_that_ends_the_process_fails_it_and_those_after_it(micropython, tmp_path):
    source = "def test_a(): pass\ndef test_b(): raise SystemExit(7)\ndef test_c(): pass\n"
    found = verdicts(micropython, written(tmp_path, source), tmp_path)
    assert found["test_a"] == ""
    assert found["test_b"].startswith("MicroPython ended with status 7 in this case")
    assert found["test_c"].startswith("MicroPython ended with status 7 before this case")


def test_a_file_that_cannot_be_imported_fails_every_case(micropython, tmp_path):
    file = written(tmp_path, "import absent_module\ndef test_a(): pass\n")
    assert "no module named 'absent_module'" in verdicts(micropython, file, tmp_path)["test_a"]


def test_cases_see_viper_code_and_the_shared_helper(micropython, tmp_path):
    source = (
        "import micropython\nfrom tests.dual import raises\n"
        "@micropython.viper\ndef last(p: ptr8, n: int) -> int:\n    return p[n - 1]\n"
        "def test_last():\n    assert last(b'abc', 3) == 99\n"
        "def test_raises():\n    assert str(raises(ValueError, int, 'x'))\n"
        "def test_raises_not():\n    raises(ValueError, int, '1')\n"
    )
    found = verdicts(micropython, written(tmp_path, source), tmp_path)
    assert (found["test_last"], found["test_raises"]) == ("", "")
    assert "int did not raise ValueError" in found["test_raises_not"]
