from __future__ import annotations

import io
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from pydicom import dcmread
from rich.console import Console

from node.demo import run, run_demo
from node.demo.phantom.draw import VISITS
from node.demo.phantom.study import PATIENT_ID
from tests.node.demo.objects import SyntheticStudy


def demo(study: Path | None, out: Path, prior: Path | None = None, *, keep: bool = False) -> tuple[int, str]:
    """Run the demonstration with the built-in PACS; return its exit status and what it said."""
    said = io.StringIO()
    status = run_demo(
        study,
        prior,
        out,
        open_browser=False,
        keep=keep,
        pacs="built-in",
        timeout_s=800,
        console=Console(file=said, width=300, highlight=False),
    )
    return status, said.getvalue()


def children() -> list[int]:
    return [child.pid for child in psutil.Process().children(recursive=True)]


def left_in(out: Path) -> list[str]:
    return sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())


@pytest.mark.verifies("SRS-160", level="integration", technique="bad-input")
def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    status, said = demo(tmp_path / "missing", tmp_path / "out")

    assert status == 1
    assert "missing: there is no such folder" in said
    assert left_in(tmp_path / "out") == []


@pytest.mark.verifies("SRS-160", level="integration", technique="bad-input")
def test_a_folder_without_dicom_is_named_with_what_was_in_it(folder: Path, tmp_path: Path) -> None:
    (folder / "letter.txt").write_text("Dear colleague")
    (folder / "nothing").touch()

    status, said = demo(folder, tmp_path / "out")

    assert status == 1
    assert "no DICOM study in this folder; files left out: 1 empty, 1 not DICOM" in said


@pytest.mark.verifies("SRS-160", level="integration", technique="bad-input")
def test_the_study_is_not_its_own_prior(synthetic: SyntheticStudy, tmp_path: Path) -> None:
    folder = synthetic.seg.parent

    status, said = demo(folder, tmp_path / "out", prior=folder)

    assert status == 1
    assert "the prior study is the study itself" in said


@pytest.mark.verifies("SRS-160", level="integration", technique="bad-input")
def test_a_prior_needs_a_study(folder: Path, tmp_path: Path) -> None:
    status, said = demo(None, tmp_path / "out", prior=folder)

    assert status == 1
    assert "--prior needs --study" in said


@pytest.mark.verifies("SRS-160", "SRS-168", level="integration", technique="fault-injection")
def test_a_node_that_cannot_start_says_why_and_leaves_nothing(
    synthetic: SyntheticStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OVERREAD_WEIGHTS", str(tmp_path / "no weights"))
    before = children()

    status, said = demo(synthetic.seg.parent, tmp_path / "out")

    assert status == 1
    assert "the node ended with status 2: cannot start: " in said
    assert "overread weights" in said
    assert left_in(tmp_path / "out") == ["node.log"]
    assert children() == before


@pytest.mark.verifies("SRS-168", level="integration", technique="example")
def test_the_nodes_folder_stays_if_it_is_asked_for_and_goes_with_the_next_run(
    synthetic: SyntheticStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OVERREAD_WEIGHTS", str(tmp_path / "no weights"))
    out = tmp_path / "out"

    demo(synthetic.seg.parent, out, keep=True)
    assert {"node.log", "node/overread.key", "node/overread.toml"} <= set(left_in(out))

    demo(synthetic.seg.parent, out)
    assert left_in(out) == ["node.log"]


@pytest.mark.verifies("SRS-168", level="integration", technique="adversarial")
def test_a_real_node_is_left_alone(synthetic: SyntheticStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings and key of the machine's own node, which may be in the environment, do not reach the demonstration's."""
    monkeypatch.setenv("OVERREAD_WEIGHTS", str(tmp_path / "no weights"))
    monkeypatch.setenv("OVERREAD_NODE__DATA_DIR", str(tmp_path / "real data"))
    monkeypatch.setenv("OVERREAD_MASTER_KEY", "not a key")

    _, said = demo(synthetic.seg.parent, tmp_path / "out")

    assert "overread weights" in said
    assert not (tmp_path / "real data").exists()


@pytest.mark.verifies("SRS-168", level="integration", technique="example")
def test_what_an_earlier_run_left_goes_and_what_is_not_ours_stays(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "results").mkdir(parents=True)
    for name in ("results/01-study-SEG.dcm", "results/mine.dcm", "report.html", "letter.txt"):
        (out / name).touch()

    before = left_in(out)
    demo(tmp_path / "missing", out)
    assert left_in(out) == before, "nothing to show in its place: it stays"

    run._Demo(Console(), out, "built-in", 1.0, keep=False)._clear()
    assert left_in(out) == ["letter.txt", "results/mine.dcm"]


@pytest.mark.verifies("SRS-160", level="unit", technique="example")
def test_a_browser_opens_only_before_somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CI", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    assert not run._has_screen()
    monkeypatch.setenv("DISPLAY", ":0")
    assert run._has_screen()
    monkeypatch.setenv("CI", "true")
    assert not run._has_screen()


@pytest.mark.verifies("SRS-160", "SRS-168", level="system", technique="bad-input")
@pytest.mark.weights
def test_a_refusal_ends_it_at_once_with_its_code(
    synthetic: SyntheticStudy, weights_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OVERREAD_WEIGHTS", str(weights_dir))
    images = tmp_path / "images"
    images.mkdir()
    for path in synthetic.images:
        shutil.copy(path, images)
    before = children()

    status, said = demo(images, tmp_path / "out")

    assert status == 1
    assert "refused [coverage-too-small]" in said
    assert "Study: no result" in said
    assert left_in(tmp_path / "out") == ["node.log"]
    assert "PHANTOM-000123" not in (tmp_path / "out" / "node.log").read_text()
    assert children() == before


@pytest.mark.verifies("SRS-168", level="system", technique="fault-injection")
@pytest.mark.weights
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_interrupts_it_leaves_nothing_behind(
    weights_dir: Path, synthetic: SyntheticStudy, tmp_path: Path, number: signal.Signals
) -> None:
    script = (
        "import pathlib, sys; from node.demo import run_demo; "
        "study, out = (pathlib.Path(argument) for argument in sys.argv[1:]); "
        "sys.exit(run_demo(study, None, out, open_browser=False, pacs='built-in'))"
    )
    out = tmp_path / "out"
    command = [sys.executable, "-c", script, str(synthetic.seg.parent), str(out)]
    environment = os.environ | {"OVERREAD_WEIGHTS": str(weights_dir)}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        deadline = time.monotonic() + 120
        while not (out / "node.log").exists() or "inference.ready" not in (out / "node.log").read_text():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        descendants = psutil.Process(process.pid).children(recursive=True)
        assert descendants
        process.send_signal(number)
        process.communicate(timeout=60)

    assert process.returncode != 0
    _, alive = psutil.wait_procs(descendants, timeout=10)
    assert not alive
    assert left_in(out) == ["node.log"]


@pytest.mark.verifies("SRS-160", "SRS-166", level="system", technique="phantom")
@pytest.mark.slow
@pytest.mark.weights
def test_without_a_study_the_phantom_is_read_and_compared_with_its_truth(
    weights_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OVERREAD_WEIGHTS", str(weights_dir))
    out = tmp_path / "out"

    status, said = demo(None, out)

    assert status == 0, said
    assert left_in(out) == [
        "node.log",
        "report.html",
        *(f"results/{visit + 1:02}-visit-{visit + 1}-{kind}.dcm" for visit in VISITS for kind in ("SEG", "SR")),
    ]
    for path in (out / "results").iterdir():
        assert dcmread(path, stop_before_pixels=True).PatientID == PATIENT_ID
    livers = re.findall(r"Visit \d +liver +([\d.]+) +([\d.]+) +([+-]\d+) %", said)
    assert len(livers) == len(VISITS)
    assert all(abs(int(error)) <= 10 for _, _, error in livers)
    assert said.count("missed") <= 1
    assert "Not compared with the other study yet" in (out / "report.html").read_text(encoding="utf-8")
    log = (out / "node.log").read_text()
    assert PATIENT_ID not in log
    assert "PHANTOM" not in log
