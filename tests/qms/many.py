"""The gate's sample project with many requirements: what the pages have to stay readable with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from qms.gate import sample
from qms.gate.sample import Sample
from qms.items import Category
from qms.sources import Mark

AREAS = ("receive", "gather", "identity", "measure", "report")
CATEGORIES = tuple(category.value for category in Category)
PER_TEST = 2
"""Requirements that each test of the sample verifies."""


def build(root: Path, count: int) -> Sample:
    """Write the sample with so many requirements, of which every tenth is planned and every seventh untested."""
    made = sample.build(root)
    (root / "qms/records/requirements.yaml").unlink()
    numbers = range(1, count + 1)
    for place, area in enumerate(AREAS):
        rows = [_requirement(number) for number in numbers if number % len(AREAS) == place]
        made.write(f"qms/records/requirements/{area}.yaml", yaml.safe_dump(rows, sort_keys=False))
    tested = [number for number in numbers if number % 7]
    tests = "".join(_test(number) for number in tested)
    made.write("tests/test_thing.py", f"import pytest\n\nfrom node.thing import add\n{tests}")
    made.seal(tests=tuple(_record(number) for number in tested), numbers={})
    (root / "qms/evidence/system.json").unlink()
    return made


def identifier(number: int) -> str:
    return f"SRS-{number:03}"


def _requirement(number: int) -> dict[str, Any]:
    return {
        "id": identifier(number),
        "title": f"Adds the numbers of case {number}",
        "text": f"It shall add two numbers as case {number} asks, <b>&amp;</b> say so in `node.thing`.",
        "rationale": "Sums are needed, and each case is another one.",
        "source": "URS-001",
        "category": CATEGORIES[number % len(CATEGORIES)],
        "user_requirements": ["URS-001"],
        "units": ["node.thing"],
        "status": "planned" if number % 10 == 0 else "active",
    }


def _verified(number: int) -> tuple[str, ...]:
    return tuple(identifier(n) for n in range(number, number + PER_TEST) if n % 7)


def _test(number: int) -> str:
    named = ", ".join(f'"{name}"' for name in _verified(number))
    return (
        f'\n\n@pytest.mark.verifies({named}, level="unit", technique="example")\n'
        f"def test_case_{number}():\n    assert add({number}, 1) == {number + 1}\n"
    )


def _record(number: int) -> Any:
    marks = tuple(Mark(name, "unit", "example") for name in _verified(number))
    return sample.test_record(id=f"tests/test_thing.py::test_case_{number}", verifies=marks)
