"""``overread demo``: a PACS and a node on loopback, a study through both, and a page about what came back.

It plays the hospital and trusts nobody: success is what the PACS holds in the end, checked once more, and not what the
node says of itself. Whatever happens, nothing that was started here goes on running.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import sys
import tempfile
import threading
import time
import warnings
import webbrowser
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydicom import dcmread
from rich.console import Console
from rich.table import Table

from node.demo.cases import Case, DemoFailedError, find_cases
from node.demo.children import free_port
from node.demo.orthanc import OrthancFailedError
from node.demo.pacs import RESULT_MODALITIES, NotRoutedError, Pacs
from node.demo.page import Sheet, Study, write_page
from node.demo.progress import display, step_seconds
from node.demo.results import ResultUnreadableError
from node.demo.services import Node, NodeFailedError, PacsKind, node_address, open_pacs
from node.demo.truth import table
from node.dicom.reasons import Refused

_POLL_S = 0.25
_UNKNOWN_S = 90.0  # from the last object taken to the first word about the study
_ARRIVAL_S = 30.0  # from "delivered" to the PACS holding it
_KEPT = "node"
_OURS = re.compile(r"\d\d-[a-z0-9-]+-(SEG|SR)\.dcm")


def run_demo(
    study: Path | None,
    prior: Path | None,
    out: Path,
    *,
    open_browser: bool,
    keep: bool = False,
    pacs: PacsKind = "auto",
    timeout_s: float = 3600.0,
    console: Console | None = None,
) -> int:
    """Run the demonstration and return its exit status.

    Parameters
    ----------
    study
        DICOM folder; None for the phantom's two visits.
    prior
        DICOM folder of an earlier study of the same patient, read as well.
    out
        Output folder: ``report.html``, ``results/*.dcm`` and ``node.log``.
    open_browser
        Open the page, where there is someone in front of a screen.
    keep
        Leave the node's folder in ``out/node``, for ``overread trace``, ``status`` and ``audit verify``.
    pacs
        Which PACS plays along.
    timeout_s
        Seconds after which results that did not come are given up.
    console
        Where to write; standard output by default.

    Returns
    -------
    int
        0 only if every study's SEG and SR came back and passed the checks.
    """
    console = console or Console(highlight=False)
    with warnings.catch_warnings(), _ended_by_signals():
        # pydicom's warnings quote values of the user's files, which are a patient's.
        warnings.filterwarnings("ignore", module=r"pydicom\b")
        try:
            demo = _Demo(console, out.absolute(), pacs, timeout_s, keep=keep)
            return demo.run(study, prior, open_browser=open_browser)
        except (DemoFailedError, NodeFailedError, OrthancFailedError, NotRoutedError) as error:
            console.print(f"overread demo: {error}", style="bold red", markup=False, soft_wrap=True)
            return 1


class _Demo:
    def __init__(self, console: Console, out: Path, pacs: PacsKind, timeout_s: float, *, keep: bool) -> None:
        self._console = console
        self._keep = keep
        self._out = out
        self._pacs_kind = pacs
        self._timeout_s = timeout_s

    def run(self, study: Path | None, prior: Path | None, *, open_browser: bool) -> int:
        """Do everything; return the exit status."""
        self._say("UNVERIFIED - NOT FOR CLINICAL USE", style="bold yellow")
        self._out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".work-", dir=self._out) as name, contextlib.ExitStack() as stack:
            work = Path(name)
            cases = find_cases(study, prior, work, self._say)
            self._clear()
            stack.callback(self._keep_node, work / "node")  # first in, last out: the node has ended then
            port = free_port()
            pacs = open_pacs(self._pacs_kind, work, node_address(port))
            stack.callback(pacs.stop)
            self._say(f"Starting a node beside {pacs.name}")
            node = stack.enter_context(Node(work / "node", self._out / "node.log", port, pacs.address))
            for case in cases:
                pacs.store(case.study.files)
            node.await_start()
            self._travel(cases, pacs, node)
            for case in cases:
                self._collect(case, pacs, node)
            sheets = self._write_page([case for case in cases if case.results])
        return self._conclude(cases, sheets, open_browser=open_browser)

    def _clear(self) -> None:
        """Take away what an earlier run left in the output folder, now that there is something to put there."""
        (self._out / "results").mkdir(parents=True, exist_ok=True)
        for file in (self._out / "results").iterdir():
            if _OURS.fullmatch(file.name):
                file.unlink()
        for old in ("report.html", "node.log"):
            (self._out / old).unlink(missing_ok=True)
        if (self._out / _KEPT / "overread.toml").exists():
            shutil.rmtree(self._out / _KEPT)

    def _keep_node(self, folder: Path) -> None:
        if self._keep and folder.exists():
            shutil.move(folder, self._out / _KEPT)
            self._say(f"Node     {self._out / _KEPT / 'overread.toml'}")

    def _travel(self, cases: Sequence[Case], pacs: Pacs, node: Node) -> None:
        """Send the studies and watch them until each has its results or has failed."""
        route = _Routing(pacs, cases)
        with display(self._console, [case.journey for case in cases]) as shown:
            route.start()
            deadline = time.monotonic() + self._timeout_s
            while [case for case in cases if not self._look(case, pacs, node)]:
                route.check()
                node.check_alive()
                if time.monotonic() > deadline:
                    raise DemoFailedError(f"no result within {self._timeout_s:.0f} s; see {self._out / 'node.log'}")
                shown.update()
                time.sleep(_POLL_S)
            shown.update()

    def _look(self, case: Case, pacs: Pacs, node: Node) -> bool:
        """See how far a study is; return whether there is nothing left to wait for."""
        journey = case.journey
        journey.status = node.status(journey.uid)
        if journey.failed:
            return True
        if journey.status is None:
            if journey.silent_for > _UNKNOWN_S:
                raise DemoFailedError(
                    f"the node took {case.title} but knows nothing of it; see {self._out / 'node.log'}"
                )
            return False
        if not journey.delivered:
            return False
        journey.delivered_at = journey.delivered_at or time.monotonic()
        journey.arrived = len(pacs.results(journey.uid))
        if journey.arrived < len(RESULT_MODALITIES) and time.monotonic() - journey.delivered_at > _ARRIVAL_S:
            raise DemoFailedError(
                f"the node says it delivered {case.title}, but the PACS has {journey.arrived} results"
            )
        return journey.arrived >= len(RESULT_MODALITIES)

    def _collect(self, case: Case, pacs: Pacs, node: Node) -> None:
        """Copy a study's results to the output folder, check them there, and keep them only if they pass."""
        if case.journey.failed:
            return
        number = len(list((self._out / "results").iterdir())) // len(RESULT_MODALITIES) + 1
        files: dict[str, Path] = {}
        for result in pacs.results(case.journey.uid):
            modality = str(dcmread(result, stop_before_pixels=True, specific_tags=["Modality"]).Modality)
            if modality in files:
                raise DemoFailedError(f"{case.title}: the PACS got more than one {modality}")
            files[modality] = self._out / "results" / f"{number:02}-{case.slug}-{modality}.dcm"
            shutil.copyfile(result, files[modality])
        try:
            node.verify(case.journey.uid, files["SEG"], files["SR"], case.study.instances)
        except Refused as error:
            raise DemoFailedError(f"{case.title}: what came back does not pass the checks: {error}") from error
        case.results = tuple(files.values())

    def _write_page(self, cases: Sequence[Case]) -> tuple[Sheet, ...]:
        """Write the page, the latest study first."""
        if not cases:
            return ()
        studies = [
            Study(
                title=case.title,
                images=case.study.files,
                results=case.results,
                seconds=step_seconds(case.journey.status.seconds) if case.journey.status else {},
                remarks=case.remarks,
                truth=case.truth,
            )
            for case in reversed(cases)
        ]
        try:
            return write_page(studies, self._out / "report.html")
        except (ResultUnreadableError, LookupError) as error:
            raise DemoFailedError(f"what came back cannot be shown: {error}") from error

    def _conclude(self, cases: Sequence[Case], sheets: Sequence[Sheet], *, open_browser: bool) -> int:
        """Say what came of it."""
        self._say_truth(sheets)
        for case in cases:
            if not case.results:
                self._say(f"{case.title}: no result", style="bold red")
        if sheets:
            page = self._out / "report.html"
            self._say(f"Page     {page}")
            self._say(f"Results  {self._out / 'results'}")
            if open_browser and self._console.is_terminal and _has_screen():
                webbrowser.open(page.as_uri())
        self._say(f"Node log {self._out / 'node.log'}")
        return 0 if all(case.results for case in cases) else 1

    def _say_truth(self, sheets: Sequence[Sheet]) -> None:
        """Print measured beside true, for a phantom."""
        shown = Table(title="Measured beside true", title_justify="left", box=None, pad_edge=False)
        for name in ("Visit", "", "true ml", "measured ml", "error", "true long axis mm", "measured mm"):
            shown.add_column(name, justify="left" if name in {"Visit", ""} else "right")
        for sheet in reversed(sheets):
            if sheet.comparison is not None:
                for row in table(sheet.title, sheet.results, sheet.comparison):
                    shown.add_row(*row)
        if shown.row_count:
            self._console.print(shown)

    def _say(self, text: str, style: str | None = None) -> None:
        self._console.print(text, style=style, markup=False, soft_wrap=True)


class _Routing(threading.Thread):
    """The PACS at work, while the reader is shown what happens.

    Parameters
    ----------
    pacs
        The PACS.
    cases
        What it is to send, in this order.
    """

    def __init__(self, pacs: Pacs, cases: Sequence[Case]) -> None:
        super().__init__(name="routing", daemon=True)
        self._pacs = pacs
        self._cases = cases
        self._error: Exception | None = None

    def run(self) -> None:
        """Send one study after the other."""
        try:
            for case in self._cases:
                if remark := self._pacs.route(case.journey.uid):
                    case.remarks.append(remark)
                case.journey.mark_sent()
        except Exception as error:  # noqa: BLE001  raised again where it can be shown
            self._error = error

    def check(self) -> None:
        """Raise what went wrong, if something did."""
        if self._error is not None:
            raise self._error


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Turn the signals that end a program into an exception, so that everything is stopped in order."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave(number: int, _frame: object) -> None:
    sys.exit(128 + number)


def _has_screen() -> bool:
    if os.environ.get("CI"):
        return False
    return sys.platform == "darwin" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
