"""What the code of a project says of itself, read without running it.

The gate judges the current directory. It must not import the code it judges: an import would take the installed package
and would run it. Units and tests are therefore read from the syntax tree.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOMS = ("node", "models", "validation", "qms")
"""The packages of the product."""
TESTS = "tests"
ARTEFACTS = (
    "Makefile",
    "pyproject.toml",
    "*.md",
    ".ci/run",
    "docker/*",
    "docs/**/*.md",
    "models/*/*.toml",
    "models/*/*.md",
    "qms/narrative/**/*.md",
    "requirements/*",
)
"""What else realises requirements, as patterns."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Unit:
    """A software unit: one module (IEC 62304:2006+A1 5.4.1).

    Attributes
    ----------
    name
        Dotted name of the module.
    path
        File, below the project's folder.
    sha256
        Of the file.
    purpose
        First line of its docstring.
    lines
        Numbers of the lines inside function bodies: what runs only when the unit is used, not when it is imported.
    """

    name: str
    path: str
    sha256: str
    purpose: str
    lines: frozenset[int]


@dataclass(frozen=True)
class Mark:
    """One requirement that a test says it verifies."""

    item: str
    level: str
    technique: str


@dataclass(frozen=True)
class Test:
    """A test function as it stands in its file.

    Attributes
    ----------
    path, name, line
        File below the project's folder; name with its class, as ``TestCase::test_x``; line of the definition.
    marks
        What it says it verifies.
    """

    path: str
    name: str
    line: int
    marks: tuple[Mark, ...]

    @property
    def id(self) -> str:
        """As pytest names it, without parameters."""
        return f"{self.path}::{self.name}"


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def sources(root: Path) -> dict[str, str]:
    """Return the SHA-256 of every Python file of product and tests and of each artefact, by its path below `root`."""
    files = [*_python_files(root, (*ROOMS, TESTS)), *(path for found in ARTEFACTS for path in root.glob(found))]
    return {path.relative_to(root).as_posix(): sha256(path) for path in sorted(set(files)) if path.is_file()}


def units(root: Path) -> dict[str, Unit]:
    """Return the units of a project that have functions, by name.

    Parameters
    ----------
    root
        The project's folder.

    A module that is not Python is left out: `unparsable` names it.
    """
    found = {}
    for path in _python_files(root, ROOMS):
        text = path.read_bytes()
        tree = _parsed(path)
        lines = frozenset(function_lines(tree))
        if lines:
            relative = path.relative_to(root)
            name = ".".join(relative.with_suffix("").parts).removesuffix(".__init__")
            purpose = (ast.get_docstring(tree) or "").partition("\n")[0]
            found[name] = Unit(name, relative.as_posix(), hashlib.sha256(text).hexdigest(), purpose, lines)
    return found


def unparsable(root: Path) -> list[str]:
    """Return the files of product and tests that are not Python."""
    files = _python_files(root, (*ROOMS, TESTS))
    return [path.relative_to(root).as_posix() for path in files if not _is_python(path)]


def _is_python(path: Path) -> bool:
    try:
        ast.parse(path.read_bytes(), str(path))
    except (SyntaxError, ValueError, RecursionError):
        return False
    return True


def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_bytes(), str(path)) if _is_python(path) else ast.Module([], [])


def function_lines(tree: ast.Module) -> Iterator[int]:
    """Yield the lines inside the bodies of all functions, without docstrings and nested definitions' headers."""
    for node in ast.walk(tree):
        if not isinstance(node, Function):
            continue
        body = node.body[1:] if ast.get_docstring(node, clean=False) is not None else node.body
        for statement in body:
            if not isinstance(statement, (*_DEFINITIONS, ast.Pass)) and not _is_ellipsis(statement):
                yield from range(statement.lineno, (statement.end_lineno or statement.lineno) + 1)


def _is_ellipsis(statement: ast.stmt) -> bool:
    """Tell the body of a protocol's method, which nobody runs."""
    value = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(value, ast.Constant) and value.value is Ellipsis


_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def tests(root: Path) -> list[Test]:
    """Return every test function below ``tests``, with what it says it verifies.

    A marker counts on the function, on its class and on the module (``pytestmark``). Only literal arguments are read:
    an identifier that is computed is one that nobody can find.
    """
    found = []
    for path in sorted(path for path in (root / TESTS).rglob("test_*.py") if path.is_file()):
        tree = _parsed(path)
        relative = path.relative_to(root).as_posix()
        module_marks = _assigned_marks(tree.body)
        for name, function, marks in _test_functions(tree.body, "", module_marks):
            found.append(Test(relative, name, function.lineno, tuple(marks)))
    return found


def _test_functions(
    body: Iterable[ast.stmt], prefix: str, marks: list[Mark]
) -> Iterator[tuple[str, Function, list[Mark]]]:
    for node in body:
        if isinstance(node, Function) and node.name.startswith("test"):
            yield prefix + node.name, node, marks + _decorator_marks(node.decorator_list)
        elif isinstance(node, ast.ClassDef) and (node.name.startswith("Test") or _is_state_machine(node)):
            inner = marks + _decorator_marks(node.decorator_list) + _assigned_marks(node.body)
            yield from _test_functions(node.body, f"{prefix}{node.name}::", inner)


def _is_state_machine(node: ast.ClassDef) -> bool:
    return any("TestCase" in ast.unparse(base) for base in node.bases)


def _assigned_marks(body: Iterable[ast.stmt]) -> list[Mark]:
    for node in body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "pytestmark" for t in targets):
            values = node.value.elts if isinstance(node.value, ast.List | ast.Tuple) else [node.value]
            return _decorator_marks(values)
    return []


def _decorator_marks(decorators: Iterable[ast.expr]) -> list[Mark]:
    marks = []
    for call in decorators:
        if isinstance(call, ast.Call) and ast.unparse(call.func).endswith("mark.verifies"):
            words = {word.arg or "": _literal(word.value) for word in call.keywords}
            marks += [Mark(_literal(a), words.get("level", ""), words.get("technique", "")) for a in call.args]
    return marks


def _literal(node: ast.expr) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ast.unparse(node)


def _python_files(root: Path, packages: Iterable[str]) -> Iterator[Path]:
    for package in packages:
        yield from sorted(
            path for path in (root / package).rglob("*.py") if "__pycache__" not in path.parts and path.is_file()
        )
