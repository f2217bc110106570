"""What the code says of itself for the design documents: public functions and imports. Read, never run."""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from qms.sources import ROOMS

_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Operation:
    """A public function or method.

    Attributes
    ----------
    name, signature, purpose
        Qualified name in its module, parameters with annotations and result, first line of the docstring.
    line
        Of its definition.
    """

    name: str
    signature: str
    purpose: str
    line: int


@dataclass(frozen=True)
class Module:
    """A module of the product.

    Attributes
    ----------
    name, path, purpose
        Dotted name, file below the project's folder, first paragraph of the docstring.
    operations
        Public functions, and public methods of public classes.
    imports
        Modules of the product that it imports.
    libraries
        Top-level names of what else it imports, without the standard library.
    """

    name: str
    path: str
    purpose: str
    operations: tuple[Operation, ...]
    imports: frozenset[str]
    libraries: frozenset[str]


def modules(root: Path) -> dict[str, Module]:
    """Return every module of the product, by name.

    Parameters
    ----------
    root
        The project's folder.
    """
    paths = {
        ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path
        for room in ROOMS
        for path in sorted((root / room).rglob("*.py"))
        if "__pycache__" not in path.parts
    }
    found = {}
    for name, path in paths.items():
        tree = ast.parse(path.read_bytes(), str(path))
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        named = list(_imported(tree, package))
        found[name] = Module(
            name,
            path.relative_to(root).as_posix(),
            " ".join((ast.get_docstring(tree) or "").partition("\n\n")[0].split()),
            tuple(_callables(tree.body)),
            frozenset(module for target in named if (module := _known(target, paths)) and module != name),
            frozenset(top for target in named if (top := target.partition(".")[0]) not in _NO_LIBRARY),
        )
    return found


_NO_LIBRARY = {*ROOMS, *sys.stdlib_module_names, ""}


def room_of(module: str) -> str:
    """Return the room of a module: a package or module just below ``node``, or another package of the product."""
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == "node" else parts[0]


@dataclass(frozen=True)
class Rooms:
    """The architecture: rooms, and which imports which.

    Attributes
    ----------
    purposes
        By room.
    edges
        For each pair of rooms, how many modules of the first import one of the second.
    libraries
        What each room imports that is not the product's.
    """

    purposes: Mapping[str, str]
    edges: Mapping[tuple[str, str], int]
    libraries: Mapping[str, tuple[str, ...]]


def rooms(found: Mapping[str, Module]) -> Rooms:
    """Return the rooms of a product and their imports."""
    purposes: dict[str, str] = {}
    edges: dict[tuple[str, str], int] = defaultdict(int)
    libraries: dict[str, set[str]] = defaultdict(set)
    for module in found.values():
        room = room_of(module.name)
        if room == "node":  # the package itself holds nothing
            continue
        if module.name == room:
            purposes[room] = module.purpose
        libraries[room] |= module.libraries
        for other in {room_of(name) for name in module.imports} - {room, "node"}:
            edges[room, other] += 1
    names = sorted({*libraries, *(name for edge in edges for name in edge)})
    return Rooms(
        {name: purposes.get(name, "") for name in names},
        dict(edges),
        {name: tuple(sorted(libraries.get(name, ()))) for name in names},
    )


def _imported(tree: ast.Module, package: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")
            start = ".".join(base[: len(base) - node.level + 1]) if node.level else ""
            origin = ".".join(part for part in (start, node.module or "") if part)
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def _known(target: str, names: Iterable[str]) -> str:
    """Return the module that an import leads to: what is imported may be a name in it."""
    while target and target not in names:
        target = target.rpartition(".")[0]
    return target


def _callables(body: Iterable[ast.stmt], prefix: str = "") -> Iterator[Operation]:
    for node in body:
        if isinstance(node, _Function) and not node.name.startswith("_"):
            purpose = (ast.get_docstring(node) or "").partition("\n")[0]
            yield Operation(prefix + node.name, _signature(node), purpose, node.lineno)
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_") and not prefix:
            yield from _callables(node.body, f"{node.name}.")


def _signature(node: _Function) -> str:
    result = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"({ast.unparse(node.args)}){result}"
