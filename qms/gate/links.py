"""Which links between a requirement and its tests are earned.

A link counts if the test passed in the run, can fail, executed a function of the requirement's units, and if neither
the test nor what it executed has changed since.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from qms.evidence import Evidence, TestRecord
from qms.items import Requirement
from qms.sources import TESTS, Unit


@dataclass
class Links:
    """What the evidence shows for one requirement.

    Attributes
    ----------
    counted
        Tests that count, each with the units of the requirement that it executed.
    rejected
        Tests that say they verify it and do not count, each with the reason.
    """

    counted: dict[str, frozenset[str]] = field(default_factory=dict)
    rejected: dict[str, str] = field(default_factory=dict)

    @property
    def executed(self) -> frozenset[str]:
        """All units of the requirement that counted tests executed."""
        return frozenset().union(*self.counted.values())


def find_links(
    requirements: Iterable[Requirement],
    evidence: Sequence[Evidence],
    units: Mapping[str, Unit],
    sources: Mapping[str, str],
) -> dict[str, Links]:
    """Return the links of each requirement, by its identifier.

    Parameters
    ----------
    requirements
        Those that must be verified.
    evidence
        Of every run.
    units, sources
        The code as it stands: units by name, SHA-256 by path.
    """
    links: dict[str, Links] = defaultdict(Links)
    found = {requirement.id: requirement for requirement in requirements}
    wanted = {identifier: frozenset(requirement.units) for identifier, requirement in found.items()}
    for run in evidence:
        stale = _Staleness(run, units, sources)
        for test in run.tests:
            for item in {mark.item for mark in test.verifies} & wanted.keys():
                executed = run.units_of(test) & wanted[item]
                reason = _why_not(test, executed, wanted[item]) or stale.reason(test)
                reason = reason or stale.reason_of(found[item].artefacts)
                if reason:
                    links[item].rejected[test.id] = reason
                else:
                    links[item].counted[test.id] = links[item].counted.get(test.id, frozenset()) | executed
    return {identifier: links[identifier] for identifier in wanted}


def _why_not(test: TestRecord, executed: frozenset[str], wanted: frozenset[str]) -> str:
    if test.outcome != "passed":
        return f"it was {test.outcome}"
    if test.hollow:
        return f"it {test.hollow}"
    return "" if executed or not wanted else "it executes no unit of the requirement"


class _Staleness:
    """What has changed since a run."""

    def __init__(self, run: Evidence, units: Mapping[str, Unit], sources: Mapping[str, str]) -> None:
        then = run.sources
        self._changed = {path for path in {*then, *sources} if then.get(path) != sources.get(path)}
        self._support = sorted(path for path in self._changed if _is_support(path))
        paths = {index: units[name].path if name in units else name for index, name in enumerate(run.units)}
        self._units = {index: path for index, path in paths.items() if path in self._changed or path not in sources}
        self.reason = lru_cache(maxsize=None)(self._reason)

    def reason_of(self, artefacts: Iterable[str]) -> str:
        """Say which of a requirement's artefacts has changed; empty if none has."""
        changed = [path for path in artefacts if path in self._changed]
        return f"{changed[0]} has changed since the run" if changed else ""

    def _reason(self, test: TestRecord) -> str:
        for path in self._paths(test):
            return f"{path} has changed since the run"
        return ""

    def _paths(self, test: TestRecord) -> Iterator[str]:
        if test.path in self._changed:
            yield test.path
        yield from (path for path in self._support if test.path.startswith(path.rpartition("/")[0] + "/"))
        yield from (self._units[index] for index in test.units if index in self._units)


def _is_support(path: str) -> bool:
    """Return whether a file of the tests is used by others: every test below its folder depends on it."""
    return path.startswith(f"{TESTS}/") and not path.rpartition("/")[2].startswith("test_")
