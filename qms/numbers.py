"""Numbers of performance in documents: each is one that a test measured in this run, or names its source.

In Markdown, ``Dice 0.970<!-- =liver-dice-ircadb01 -->`` binds the number to what the fixture ``measured`` recorded
under that name; a page shows the number alone. ``<!-- source: make benchmark, 2026-11-24 -->`` in a paragraph names
where its other numbers come from. A number beside a word of performance with neither is typed by hand, and is named.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from qms.evidence import Measured
from qms.findings import Finding

CLAIMS = ("README.md", "docs/*.md", "models/*/card.md", "qms/narrative/**/*.md")
"""The documents that claim something, as patterns below the project's folder."""

_BOUND = re.compile(r"([-+]?\d+(?:\.\d+)?)(?:\s*(?:%|[a-z]+))?\s*<!--\s*=([a-z0-9-]+)\s*-->")
_SOURCE = re.compile(r"<!--\s*source:\s*\S[^>]{7,}?-->", re.DOTALL)
_PERFORMANCE = re.compile(
    r"\b(accuracy (?:is|of)|Dice|IoU|Jaccard|AUC|AUROC|F1|HD95|ASSD|NSD|FROC|sensitivity|specificity|recall|precision|"
    r"false positives?)\b",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"(?<![\w.#-])[-+]?\d*\.\d+(?!\.?\w)|(?<!\w)\d+ of \d+(?!\w)|(?<![\w.])\d+(?:\.\d+)? ?%")


def check_claims(root: Path, numbers: Mapping[str, Measured]) -> Iterator[Finding]:
    """Yield a finding for each number that nothing stands behind.

    Parameters
    ----------
    root
        The project's folder.
    numbers
        What tests measured, by name.
    """
    for pattern in CLAIMS:
        for path in sorted(path for path in root.glob(pattern) if path.is_file()):
            shown = path.relative_to(root).as_posix()
            for line, paragraph in _paragraphs(path.read_text(encoding="utf-8", errors="replace")):
                yield from _check(shown, line, paragraph, numbers)


def _paragraphs(text: str) -> Iterator[tuple[int, str]]:
    """Yield what stands between empty lines, with the number of its first line; not what is code."""
    line = 1
    in_code = False
    for part in re.split(r"(\n\s*\n)", text):
        if part.count("```") % 2:
            in_code = not in_code
        elif not in_code and "```" not in part and part.strip():
            yield line, part
        line += part.count("\n")


def _check(shown: str, line: int, paragraph: str, numbers: Mapping[str, Measured]) -> Iterator[Finding]:
    for match in _BOUND.finditer(paragraph):
        typed, name = match[1], match[2]
        place = f"{shown}:{line + paragraph.count(chr(10), 0, match.start())}"
        if name not in numbers:
            yield Finding(shown, "number-without-evidence", f"{typed} cites {name}, which no test measured", place)
        elif not _agrees(typed, numbers[name].value):
            text = f"{typed} cites {name}, and the evidence says {numbers[name].value:g}"
            yield Finding(shown, "number-contradicted", text, place)
    if _SOURCE.search(paragraph):
        return
    for offset, text in enumerate(_BOUND.sub("", paragraph).splitlines()):
        number = _NUMBER.search(text) if _PERFORMANCE.search(text) else None
        if number:
            place = f"{shown}:{line + offset}"
            yield Finding(shown, "number-without-evidence", f"{number[0]} is typed by hand, without a source", place)


def _agrees(typed: str, value: float) -> bool:
    """Return whether a number is the value as rounded to the digits that were typed, give or take the last."""
    digits = len(typed.partition(".")[2])
    return math.isclose(float(typed), value, rel_tol=0, abs_tol=0.5 * 10.0**-digits + 1e-12)
