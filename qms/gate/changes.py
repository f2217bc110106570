"""The means to change a sample, for the mutations of the gate.

Each function returns a change, which is made when it is called with the sample.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qms.gate.sample import ENVIRONMENT, Sample, test_record

Change = Callable[[Sample], None]


def fields(path: str, **values: Any) -> Change:
    """Set fields of the first item of a file of the records, or of a policy; a field that is given None goes."""

    def change(data: Any) -> None:
        item = data[0] if isinstance(data, list) else data
        for name, value in values.items():
            if value is None:
                item.pop(name)
            else:
                item[name] = value

    return lambda sample: sample.change(path, change)


def within(path: str, field: str, **values: Any) -> Change:
    """Set fields of a mapping inside the first item of a file of the records."""
    return lambda sample: sample.change(path, lambda data: data[0][field].update(values))


def drop(path: str) -> Change:
    """Take the first item out of a file of the records."""
    return lambda sample: sample.change(path, lambda data: data.pop(0))


def add_copy(path: str, **values: Any) -> Change:
    """Add a copy of the first item of a file of the records, with changes."""
    return lambda sample: sample.change(path, lambda data: data.append({**data[0], **values}))


def edit(path: str, old: str, new: str) -> Change:
    """Replace a text in a file."""
    return lambda sample: sample.edit(path, old, new)


def write(path: str, text: str) -> Change:
    """Write a file."""
    return lambda sample: sample.write(path, text)


def append(path: str, text: str) -> Change:
    """Add a text to the end of a file."""
    return lambda sample: sample.write(path, (sample.root / path).read_text(encoding="utf-8") + text)


def remove(path: str) -> Change:
    """Delete a file."""
    return lambda sample: (sample.root / path).unlink()


def rename(path: str, new: str) -> Change:
    """Give a file another name."""

    def change(sample: Sample) -> None:
        (sample.root / path).rename(sample.root / new)

    return change


def remove_line(path: str, number: int) -> Change:
    """Take one line, counted from 0, out of a file."""

    def change(sample: Sample) -> None:
        lines = (sample.root / path).read_text(encoding="utf-8").splitlines(keepends=True)
        sample.write(path, "".join(lines[:number] + lines[number + 1 :]))

    return change


def seal(run: str = "test", **changes: Any) -> Change:
    """Seal a run anew, with changes."""
    return lambda sample: sample.seal(run, **changes)


def seal_test(**changes: Any) -> Change:
    """Seal both runs anew, with something else said of the one test."""
    return both(*(seal(run, tests=(test_record(**changes),)) for run in ("test", "system")))


def seal_packages(**versions: str) -> Change:
    """Seal the run anew, with other packages installed where it took place."""
    return seal(environment=ENVIRONMENT.model_copy(update={"packages": versions}))


def prove(**changes: Any) -> Change:
    """Write the record of proofs anew, with changes."""
    return lambda sample: sample.prove(**changes)


def approval(**changes: Any) -> Change:
    """Put a well signed approval on the end of the chain, with changes."""
    return lambda sample: sample.append_approval(**changes)


def both(*steps: Change) -> Change:
    """Make one change after the other."""

    def change(sample: Sample) -> None:
        for step in steps:
            step(sample)

    return change
