"""Fault models: how a risk control is switched off, to see whether its tests notice.

A test that passes while the control that it verifies does nothing proves nothing. A fault model is a function that
takes the control away inside the running process: the check passes everything, the sync does not sync. It lies beside
the tests, is applied to a whole session (`qms.fault_plugin`), and at least one test must fail then (`qms.proof`).
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest  # the gate imports this module too, where there is no pytest

EXIT_NOT_APPLIED = 70
"""Exit status of a session whose fault could not be applied (EX_SOFTWARE of sysexits.h; pytest uses 0 to 5)."""


class FaultModelError(Exception):
    """The fault models cannot be loaded, or one of them cannot be applied: this proves nothing of any control."""


@dataclass(frozen=True)
class Fault:
    """One control, switched off.

    Attributes
    ----------
    requirement
        The requirement that is the control, as ``SRS-001``.
    text
        What the product does without it, in words.
    apply
        Takes the control away until the monkeypatch is undone.
    path
        File of the fault model.
    """

    requirement: str
    text: str
    apply: Callable[[pytest.MonkeyPatch], None]
    path: Path


def switches_off(requirement: str, text: str) -> Callable[[Callable[[pytest.MonkeyPatch], None]], Fault]:
    """Make a function the fault model of a requirement.

    Parameters
    ----------
    requirement
        The requirement that is the control.
    text
        What the product does without it.
    """

    def decorate(apply: Callable[[pytest.MonkeyPatch], None]) -> Fault:
        return Fault(requirement, text, apply, Path(apply.__code__.co_filename))

    return decorate


def load_faults(package: str) -> dict[str, Fault]:
    """Import a package with all its modules, and return the fault models in them by requirement.

    Parameters
    ----------
    package
        Dotted name, importable in this process.

    Raises
    ------
    FaultModelError
        If a module cannot be imported, or a requirement has two fault models.
    """
    try:
        root = importlib.import_module(package)
        names = [info.name for info in pkgutil.iter_modules(getattr(root, "__path__", ()), f"{package}.")]
        modules = [root, *(importlib.import_module(name) for name in names)]
    except Exception as error:
        raise FaultModelError(f"{package}: cannot be imported: {type(error).__name__}: {error}") from error
    found: dict[str, Fault] = {}
    for module in modules:
        for fault in vars(module).values():
            if isinstance(fault, Fault) and found.setdefault(fault.requirement, fault) is not fault:
                raise FaultModelError(f"{fault.requirement}: has two fault models")
    return found


def always(value: Any) -> Callable[..., Any]:
    """Return a function that takes whatever it is given and returns this: what is left of a check that is off."""
    return lambda *_, **__: value


def replace_everywhere(monkeypatch: pytest.MonkeyPatch, original: object, replacement: object) -> None:
    """Put something in the place of a function or class in every loaded module that has it.

    ``from a import f`` makes a name of its own in each importing module; a control is off only if all of them change.

    Parameters
    ----------
    monkeypatch
        Undoes it.
    original
        What is to be replaced, wherever a loaded module has it as an attribute.
    replacement
        What takes its place.

    Raises
    ------
    FaultModelError
        If no module has it: then nothing would be switched off.
    """
    places = [
        (module, name)
        for module in list(sys.modules.values())
        for name, value in list(getattr(module, "__dict__", {}).items())
        if value is original
    ]
    if not places:
        raise FaultModelError(f"{original!r} stands in no module")
    for module, name in places:
        monkeypatch.setattr(module, name, replacement)
