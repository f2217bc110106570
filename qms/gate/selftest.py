"""The gate tried on broken records. It is itself a control.

For every check there is a mutation that this check alone names, so that a check which is taken away, or goes blind,
does not go unnoticed: ``overread qms gate --self-test``.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from qms.gate import sample as samples
from qms.gate.judge import CHECKS, Check
from qms.gate.mutation import Mutation
from qms.gate.mutations import MUTATIONS
from qms.gate.project import Profile, Project, read
from qms.gate.sample import DAY, Sample

Caught = tuple[Mutation, list[Check]]
"""A mutation and the checks that name it."""


def survivors(folder: Path, checks: tuple[Check, ...] = CHECKS) -> list[str]:
    """Apply every mutation to a sample of its own, and return those that the gate does not name.

    Parameters
    ----------
    folder
        An empty folder to work in.
    checks
        The checks of the gate.
    """
    untouched = samples.build(folder / "untouched")
    missed = [
        f"the sample itself: {finding}"
        for profile in Profile
        for check in checks
        for finding in check(read(untouched.root, profile, DAY))
    ]
    for mutation, catchers in catches(folder, checks):
        if not catchers:
            missed.append(f"{mutation.name}: {mutation.item} {mutation.code} was not named")
    return missed


def catches(folder: Path, checks: tuple[Check, ...] = CHECKS) -> Iterator[Caught]:
    """Yield each mutation with the checks that name it.

    Parameters
    ----------
    folder
        An empty folder to work in.
    checks
        The checks of the gate.
    """
    original = samples.build(folder / "sample")
    for number, mutation in enumerate(MUTATIONS):
        broken = Sample(shutil.copytree(original.root, folder / f"{number:03}"), original.key)
        mutation.apply(broken)
        project = read(broken.root, mutation.profile, DAY)
        yield mutation, [check for check in checks if _names(check, project, mutation)]
        shutil.rmtree(broken.root)


def _names(check: Check, project: Project, mutation: Mutation) -> bool:
    return any((finding.code, finding.item) == (mutation.code, mutation.item) for finding in check(project))
