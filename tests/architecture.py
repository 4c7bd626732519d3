"""Reads the sources and finds what breaks the rules of the architecture.

    python -m tests.architecture

prints all violations, and files that are long, as information. tests/test_architecture.py holds
the rules; docs/architecture.md explains them.
"""

import ast
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGES = ("firmware", "host", "protocol")
OURS = (*PACKAGES, "bench", "tests", "training")

# Rooms of host/ from top to bottom. A room may import those of lower rows, never its neighbours.
ROWS = (
    ("commands",),
    ("cli", "serving"),
    ("generation",),
    ("launch",),
    ("executors", "simulation", "diagnosis"),
    ("cluster",),
    ("build", "flashing"),
    ("parallel", "links"),
    ("model", "hardware"),
    ("wire", "setup", "home"),
    ("grammar",),
    ("base",),
)
NEIGHBOURS = {("flashing", "build")}  # what may be imported within a row
# Modules of host/ that everything there may import.
BASE = ("errors", "interrupts", "paths", "private_file", "text_input", "toml_file", "unready")

COMMAND_LINES, FUNCTION_LINES, ATTRIBUTES, FILE_LINES = 150, 60, 15, 300


@dataclass
class Module:
    """A source file: its dotted name, path, tree, and the modules of ours that it imports, each
    with the line where it does; imports inside functions count too."""

    name: str
    path: Path
    tree: ast.Module
    lines: int
    imports: dict[str, int] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        """The dotted name of the folder that the file lies in; a command that a folder has as its
        __main__ lies beside that."""
        if self.path.name == "__init__.py":
            return self.name
        above = self.name.rpartition(".")[0]
        return above.rpartition(".")[0] if self.name.endswith(".__main__") else above


def read_modules(root: Path = REPOSITORY) -> dict[str, Module]:
    """Returns all modules of the three packages by name."""
    modules = {}
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            text = path.read_text()
            modules[name] = Module(name, path, ast.parse(text), text.count("\n"))
    for module in modules.values():
        for name, line in _imported(module):
            known = _known(name, modules, root)
            if known and known != module.name:
                module.imports.setdefault(known, line)
    return modules


def _imported(module: Module) -> Iterator[tuple[str, int]]:
    """Yields every dotted name that an import anywhere in the module may mean."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.path.with_suffix("").parts[-module.name.count(".") - 1 :]
                is_package = module.path.name == "__init__.py"
                parents = module.name.split(".") if is_package else list(parts[:-1])
                above = parents[: len(parents) - node.level + 1]
                base = ".".join([*above, *filter(None, [node.module])])
            for alias in node.names:
                yield f"{base}.{alias.name}", node.lineno


def _known(name: str, modules: dict[str, Module], root: Path) -> str | None:
    """Returns the module that a dotted name leads to, None where it is not one of ours."""
    if name.partition(".")[0] not in OURS:
        return None
    if name.partition(".")[0] not in PACKAGES:
        return name
    while name not in modules:
        if "." not in name:
            return name if (root / name).is_dir() else None
        name = name.rpartition(".")[0]
    return name


def room(name: str) -> str:
    """Returns the room of a module of host/: a folder, "commands" or "base"."""
    parts = name.split(".")
    if parts[-1] == "__main__" or len(parts) == 1:
        return "commands"
    if parts[1] in BASE:
        return "base"
    rooms = {each for row in ROWS for each in row}
    return parts[1] if parts[1] in rooms else "commands"


def wrong_arrows(modules: dict[str, Module]) -> list[str]:
    """Finds imports that go up, or to a neighbour, or out of a package that may not do so."""
    height = {each: number for number, row in enumerate(ROWS) for each in row}
    found = []
    for module in modules.values():
        package = module.name.partition(".")[0]
        allowed = {"host": ("host", "protocol"), "firmware": ("firmware", "protocol")}
        for name, line in module.imports.items():
            target = name.partition(".")[0]
            where = f"{module.name}:{line} imports {name}"
            if target not in allowed.get(package, (package,)):
                found.append(f"{where}: {package} may not import {target}")
            elif package == target == "host":
                above, below = room(module.name), room(name)
                is_lower = height[above] < height[below] or (above, below) in NEIGHBOURS
                if above != below and not is_lower:
                    found.append(f"{where}: {above} may not import {below}")
    return found


def folder_circles(modules: dict[str, Module]) -> list[str]:
    """Finds pairs of folders that import each other, where neither holds the other."""
    arrows: dict[tuple[str, str], str] = {}
    for module in modules.values():
        for name in module.imports:
            if name in modules:
                pair = (module.folder, modules[name].folder)
                arrows.setdefault(pair, f"{module.name} imports {name}")
    return [
        f"{one} and {other}: {why}, {arrows[other, one]}"
        for (one, other), why in arrows.items()
        if one < other and (other, one) in arrows and not other.startswith(f"{one}.")
    ]


def file_circles(modules: dict[str, Module]) -> list[str]:
    """Finds files that import each other, directly or through others (Tarjan's algorithm)."""
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(name: str) -> None:
        number[name] = lowest[name] = len(number)
        stack.append(name)
        for other in modules[name].imports:
            if other not in modules:
                continue
            if other not in number:
                visit(other)
            if other in stack:
                lowest[name] = min(lowest[name], lowest[other])
        if lowest[name] == number[name]:
            circle = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(circle) > 1:
                found.append(" -> ".join([*circle, name]))

    for name in modules:
        if name not in number:
            visit(name)
    return found


def long_commands(modules: dict[str, Module]) -> list[str]:
    """Finds commands of 150 lines or more."""
    return [
        f"{name}: {module.lines} lines"
        for name, module in modules.items()
        if name.startswith("host")
        and room(name) == "commands"
        and any(
            isinstance(node, ast.FunctionDef) and node.name == "main" for node in module.tree.body
        )
        and module.lines >= COMMAND_LINES
    ]


def long_functions(modules: dict[str, Module]) -> list[str]:
    """Finds functions of more than 60 lines."""
    return [
        f"{module.name}:{node.lineno} {node.name}: {length} lines"
        for module in modules.values()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or 0) - node.lineno + 1) > FUNCTION_LINES
    ]


def large_classes(modules: dict[str, Module]) -> list[str]:
    """Finds classes whose objects have more than 15 attributes, inherited ones included."""
    classes = {
        f"{module.name}.{node.name}": (module, node)
        for module in modules.values()
        for node in module.tree.body
        if isinstance(node, ast.ClassDef)
    }

    def attributes(name: str) -> set[str]:
        if name not in classes:
            return set()
        module, node = classes[name]
        names = {
            f"{module.name}.{other.id}" for other in node.bases if isinstance(other, ast.Name)
        }
        for entry in ast.walk(module.tree):
            if isinstance(entry, ast.ImportFrom):
                bases = {other.id for other in node.bases if isinstance(other, ast.Name)}
                imported = {alias.name for alias in entry.names if alias.name in bases}
                names |= {f"{entry.module}.{one}" for one in imported}
        return set(_assigned(node)).union(*map(attributes, names))

    counts = {name: len(attributes(name)) for name in classes}
    return [f"{name}: {count} attributes" for name, count in counts.items() if count > ATTRIBUTES]


def _assigned(node: ast.ClassDef) -> Iterable[str]:
    """Yields what methods of a class assign to as self.x."""
    for part in ast.walk(node):
        if (
            isinstance(part, ast.Attribute)
            and isinstance(part.ctx, ast.Store)
            and isinstance(part.value, ast.Name)
            and part.value.id == "self"
        ):
            yield part.attr


def long_files(modules: dict[str, Module]) -> list[str]:
    """Lists files of more than 300 lines: information, not a violation."""
    return [f"{m.name}: {m.lines} lines" for m in modules.values() if m.lines > FILE_LINES]


RULES = {
    "imports against the arrows": wrong_arrows,
    "folders that import each other": folder_circles,
    "files that import each other": file_circles,
    f"commands of {COMMAND_LINES} lines or more": long_commands,
    f"functions over {FUNCTION_LINES} lines": long_functions,
    f"classes over {ATTRIBUTES} attributes": large_classes,
}


def main() -> int:
    """Prints all violations; the exit code is 1 where there is one."""
    modules = read_modules()
    count = 0
    for title, rule in RULES.items():
        found = rule(modules)
        count += len(found)
        print(f"{title}: {len(found)}", *found, sep="\n  ")
    print(f"for information, files over {FILE_LINES} lines", *long_files(modules), sep="\n  ")
    return int(count > 0)


if __name__ == "__main__":
    sys.exit(main())
