"""Print the pages to PDF with Chromium, which is no part of the product: ``python -m qms.documents.pdf FOLDER``."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_LIMIT_S = 300


class NoBrowserError(RuntimeError):
    """There is nothing here that prints. The text says what to install."""


class PrintError(RuntimeError):
    """A page was not printed; the text says which."""


def browser() -> str:
    """Return the path of Chromium.

    Raises
    ------
    NoBrowserError
        If it is not installed.
    """
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        raise NoBrowserError(f"none of {', '.join(BROWSERS)} is installed: apt-get install chromium")
    return found


def arguments(profile: Path) -> tuple[str, ...]:
    """Return how Chromium is run on files alone: without a window, a network or a profile that outlives the run."""
    return (
        *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
        *("--disable-background-networking", "--disable-component-update", f"--user-data-dir={profile}"),
    )


def print_page(page: Path, pdf: Path) -> None:
    """Print one page, with everything unfolded.

    Parameters
    ----------
    page, pdf
        The HTML file, and the file to write.

    Raises
    ------
    NoBrowserError, PrintError
        If Chromium is not installed, or writes nothing.
    """
    program = browser()
    with tempfile.TemporaryDirectory(prefix="overread-print-") as profile:
        command = [program, *arguments(Path(profile)), "--no-pdf-header-footer", f"--print-to-pdf={pdf}"]
        try:
            subprocess.run(
                [*command, f"{page.resolve().as_uri()}?print"], check=False, capture_output=True, timeout=_LIMIT_S
            )
        except subprocess.TimeoutExpired:
            raise PrintError(f"{page.name}: not printed within {_LIMIT_S} s") from None
    if not pdf.is_file():
        raise PrintError(f"{page.name}: Chromium wrote no PDF")


def main(argv: Sequence[str] | None = None) -> int:
    """Print every page of a folder beside it; 1 if that is not possible."""
    parser = argparse.ArgumentParser(prog="python -m qms.documents.pdf", description=__doc__)
    parser.add_argument("folder", type=Path, help="what `overread qms documents --out` wrote")
    folder: Path = parser.parse_args(argv).folder
    pages = sorted(folder.glob("*.html"))
    if not pages:
        sys.stderr.write(f"{folder}: no pages here\n")
        return 1
    try:
        for page in pages:
            print_page(page, page.with_suffix(".pdf"))
    except (NoBrowserError, PrintError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
