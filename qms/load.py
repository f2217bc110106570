"""Read the quality record from `qms/records`: every item with the file and line that it stands at.

A record that cannot be read does not end the judgement: what is wrong becomes a `Finding` of the item, and the rest is
judged all the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from qms.findings import Finding
from qms.items import (
    ApprovalPolicy,
    Clause,
    Golden,
    Hazard,
    IntendedUse,
    Item,
    Problem,
    Requirement,
    Risk,
    RiskPolicy,
    Soup,
    UserRequirement,
)

RECORDS = Path("qms/records")

KINDS: Mapping[str, type[Item]] = {
    "intended_use": IntendedUse,
    "user_requirements": UserRequirement,
    "requirements": Requirement,
    "hazards": Hazard,
    "risks": Risk,
    "soup": Soup,
    "clauses": Clause,
    "problems": Problem,
    "goldens": Golden,
}
"""Each kind is read from `KIND.yaml` and from the files of the folder `KIND/`."""

_POLICIES: Mapping[str, type[BaseModel]] = {"risk_policy": RiskPolicy, "approval_policy": ApprovalPolicy}

_ItemT = TypeVar("_ItemT", bound=Item)
_DEEP = re.compile(r"(?:[\[{]\s*){40}")
_ID = re.compile(r"^- id:\s*['\"]?([A-Za-z0-9.-]+)", re.MULTILINE)


class _Loader(yaml.CSafeLoader):
    """A safe loader that does not let the second of two equal keys win in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value]
        repeated = next((name for number, name in enumerate(names) if name in names[:number]), None)
        if repeated is not None:
            raise yaml.constructor.ConstructorError(None, None, f"{repeated} stands twice", node.start_mark)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        return mapping


@dataclass(frozen=True)
class Place:
    """Where an item stands: file below the root, and line."""

    path: str
    line: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"


@dataclass(frozen=True)
class Records:
    """The whole quality record.

    Attributes
    ----------
    items
        Every item by its identifier, in the order of the files.
    places
        Where each item stands.
    risk_policy, approval_policy
        The two policies; None where their file is missing or unreadable (a finding says so).
    """

    root: Path
    items: Mapping[str, Item]
    places: Mapping[str, Place]
    risk_policy: RiskPolicy | None = None
    approval_policy: ApprovalPolicy | None = None
    findings: tuple[Finding, ...] = field(default=())

    def of(self, kind: type[_ItemT]) -> Iterator[_ItemT]:
        """Yield the items of one kind, in the order of the files."""
        return (item for item in self.items.values() if isinstance(item, kind))

    def get(self, kind: type[_ItemT], identifier: str) -> _ItemT | None:
        """Return an item by its identifier, or None if there is none of this kind."""
        item = self.items.get(identifier)
        return item if isinstance(item, kind) else None


def load(root: Path) -> Records:
    """Read the records below a project's folder.

    Parameters
    ----------
    root
        The project's folder; records are read from `qms/records` in it.

    Returns
    -------
    Records
        What could be read, with a finding for each item or file that could not.
    """
    items: dict[str, Item] = {}
    places: dict[str, Place] = {}
    findings: list[Finding] = []
    for name, kind in KINDS.items():
        for path in _files(root / RECORDS, name):
            for item, place in _read_items(root, path, kind, findings):
                if item.id in items:
                    findings.append(
                        Finding(item.id, "duplicate-id", f"stands twice: {places[item.id]} and {place}", str(place))
                    )
                    continue
                items[item.id] = item
                places[item.id] = place
    policies = {name: _read_policy(root, name, kind, findings) for name, kind in _POLICIES.items()}
    risk, approval = policies["risk_policy"], policies["approval_policy"]
    return Records(
        root,
        items,
        places,
        risk if isinstance(risk, RiskPolicy) else None,
        approval if isinstance(approval, ApprovalPolicy) else None,
        tuple(findings),
    )


def _files(folder: Path, name: str) -> list[Path]:
    single = folder / f"{name}.yaml"
    return [*([single] if single.exists() else []), *sorted((folder / name).glob("*.yaml"))]


def _read_items(root: Path, path: Path, kind: type[Item], findings: list[Finding]) -> Iterator[tuple[Item, Place]]:
    shown = path.relative_to(root).as_posix()
    try:
        text = _text(path)
        rows = yaml.load(text, _Loader)  # noqa: S506  a safe loader in both cases
    except (OSError, ValueError, yaml.YAMLError) as error:
        findings.append(Finding(shown, "unreadable", f"not YAML: {_first_line(error)}", shown))
        return
    if not isinstance(rows, list):
        findings.append(Finding(shown, "unreadable", "a list of items was expected", shown))
        return
    lines = {match[1]: text.count("\n", 0, match.start()) + 1 for match in _ID.finditer(text)}
    for number, row in enumerate(rows, 1):
        identifier = str(row.get("id", "")) if isinstance(row, dict) else ""
        place = Place(shown, lines.get(identifier, 1))
        try:
            yield kind.model_validate(row), place
        except ValidationError as error:
            name = identifier or f"{shown}[{number}]"
            findings.extend(Finding(name, "schema", text, str(place)) for text in _problems(error))


def _text(path: Path) -> str:
    """Return a file's text, unless it is so deeply nested that the parser, which is C, would end the process."""
    text = path.read_text(encoding="utf-8")
    if _DEEP.search(text):
        raise ValueError("nested too deeply")
    return text


def _read_policy(root: Path, name: str, kind: type[BaseModel], findings: list[Finding]) -> BaseModel | None:
    path = root / RECORDS / f"{name}.yaml"
    shown = path.relative_to(root).as_posix()
    if not path.exists():
        findings.append(Finding(shown, "unreadable", "this file is missing", shown))
        return None
    try:
        return kind.model_validate(yaml.load(_text(path), _Loader))  # noqa: S506  a safe loader
    except ValidationError as error:
        findings.extend(Finding(shown, "schema", text, shown) for text in _problems(error))
    except (OSError, ValueError, yaml.YAMLError) as error:
        findings.append(Finding(shown, "unreadable", f"not YAML: {_first_line(error)}", shown))
    return None


def _problems(error: ValidationError) -> Iterator[str]:
    for problem in error.errors(include_url=False, include_input=False):
        where = ".".join(str(part) for part in problem["loc"])
        yield f"{where}: {problem['msg']}" if where else str(problem["msg"])


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())
