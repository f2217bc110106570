"""The tables in docs/ say what the code says: settings, reasons, commands, import paths."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic_core import PydanticUndefined

from node import cli, config
from node.dicom.reasons import Reason
from node.ledger import InstanceState, StudyState

ROOT = Path(__file__).resolve().parents[2]


def rows(document: str) -> list[list[str]]:
    """Return the cells of every table row of a document."""
    lines = (ROOT / "docs" / document).read_text().splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| `")]


def default_of(field: Any) -> str:
    if field.default is PydanticUndefined:
        return "required"
    value = field.default
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return "none" if value in (None, ()) else f"`{value}`"


@pytest.mark.verifies("SRS-170", level="integration", technique="consistency")
def test_settings_are_those_of_the_code() -> None:
    heading = {section: f"[[{section}]]" if section == "destination" else f"[{section}]" for section in config.SECTIONS}
    expected = [
        [f"`{heading[section]}` `{name}`", default_of(field), field.description]
        for section, model in config.SECTIONS.items()
        for name, field in model.model_fields.items()
    ]
    assert rows("settings.md") == expected


@pytest.mark.verifies("SRS-170", level="integration", technique="consistency")
def test_every_reason_is_explained_once() -> None:
    listed = [row[0].strip("`") for row in rows("reasons.md")]
    states = {state.value for enum in (StudyState, InstanceState) for state in enum}
    assert sorted(code for code in listed if code not in states) == sorted(reason.value for reason in Reason)
    assert states <= set(listed)
    assert all(len(row[1]) > 20 for row in rows("reasons.md"))


@pytest.mark.verifies("SRS-172", level="integration", technique="consistency")
@pytest.mark.parametrize("document", ["README.md", "docs/primer.md"])
def test_every_command_named_in_the_docs_exists(document: str) -> None:
    known = set(re.findall(r"^    (\w+) ", cli.build_parser().format_help(), flags=re.MULTILINE))
    named = set(re.findall(r"`?overread (\w+)", (ROOT / document).read_text()))
    assert named - known == set()


@pytest.mark.verifies("SRS-172", level="integration", technique="consistency")
@pytest.mark.parametrize("document", ["README.md", *[str(p.relative_to(ROOT)) for p in ROOT.glob("docs/**/*.md")]])
def test_links_in_the_docs_lead_somewhere(document: str) -> None:
    text = (ROOT / document).read_text()
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert ((ROOT / document).parent / target).exists(), target
