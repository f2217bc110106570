"""The command, as an administrator types it."""

from __future__ import annotations

import fcntl
import json
import stat
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from node import cli
from node.config import load_config
from node.dicom.reasons import Note, Reason
from node.identity import create_key_file
from node.ledger import Ledger, StudyState
from node.serve import study_pseudonym

STUDY = "1.2.3.4"


def label_map(path: Path) -> Path:
    labels = np.zeros((6, 40, 40), np.uint8)
    labels[2:4, 10:30, 10:20] = 2
    image = SimpleITK.GetImageFromArray(labels)
    image.SetSpacing((1.0, 1.0, 2.0))
    SimpleITK.WriteImage(image, path)
    return path


@pytest.mark.verifies("SRS-088", level="integration", technique="example")
def test_measure_prints_one_json_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["measure", str(label_map(tmp_path / "labels.nii.gz")), "--json"]) == 0
    (lesion,) = json.loads(capsys.readouterr().out)["lesions"]
    assert set(lesion) == {"id", "volume_ml", "long_axis_mm", "short_axis_mm"}
    assert lesion["volume_ml"] == pytest.approx(0.8)
    assert lesion["long_axis_mm"] == pytest.approx(np.hypot(20, 10), rel=0.1)


@pytest.mark.verifies("SRS-089", "SRS-144", level="integration", technique="bad-input")
def test_measure_says_what_is_wrong_with_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "labels.nii.gz"
    path.write_text("no image")
    assert cli.main(["measure", str(path)]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("overread: ")


@pytest.mark.verifies("SRS-146", level="integration", technique="example")
def test_key_is_private_and_never_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "site.key"
    assert cli.main(["key", str(path)]) == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_bytes()
    assert cli.main(["key", str(path)]) == 1
    assert path.read_bytes() == before
    assert before.decode().strip() not in capsys.readouterr().out


@pytest.mark.verifies("SRS-140", "SRS-144", level="integration", technique="bad-input")
def test_a_wrong_setting_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "overread.toml"
    path.write_text("[receive]\nport = 0\n")
    assert cli.main(["serve", "--config", str(path)]) == 2
    assert "line 2: [receive] port = 0" in capsys.readouterr().err


@pytest.mark.verifies("SRS-144", "SRS-147", level="integration", technique="bad-input")
def test_a_missing_key_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "overread.toml"
    path.write_text('[node]\ndata_dir = "data"\nkey_file = "missing.key"\n')
    Ledger(tmp_path / "data" / "ledger.sqlite").close()
    for command in (["serve"], ["status", "1.2.3"], ["retry", "1.2.3"]):
        assert cli.main([*command, "--config", str(path)]) == 2
        assert "missing.key" in capsys.readouterr().err


@pytest.mark.verifies("SRS-126", "SRS-144", level="integration", technique="boundary")
def test_status_of_a_study_that_never_came(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["key", str(tmp_path / "site.key")])
    path = tmp_path / "overread.toml"
    path.write_text('[node]\ndata_dir = "data"\nkey_file = "site.key"\n')
    assert cli.main(["status", "1.2.3", "--config", str(path)]) == 2
    assert "no node has run" in capsys.readouterr().err
    assert not (tmp_path / "data").exists(), "to ask must not make anything"
    Ledger(tmp_path / "data" / "ledger.sqlite").close()
    assert cli.main(["status", "1.2.3", "--config", str(path)]) == 1
    assert "never came" in capsys.readouterr().err


@pytest.mark.verifies("SRS-149", level="integration", technique="example")
def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    for option in ("--version", "--help"):
        with pytest.raises(SystemExit) as end:
            cli.main([option])
        assert end.value.code == 0
    assert "NOT FOR CLINICAL USE" in capsys.readouterr().out


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Return the settings of a node that refused one study of one image."""
    settings = tmp_path / "overread.toml"
    settings.write_text('[node]\ndata_dir = "data"\nkey_file = "site.key"\n')
    create_key_file(tmp_path / "site.key")
    study = study_pseudonym(load_config(settings, {}), STUDY)
    ledger = Ledger(tmp_path / "data" / "ledger.sqlite")
    ledger.register({"image": study})
    ledger.begin(study, "sha256:0", ledger.last_arrival(study))
    ledger.settle([], {"image": Note(reason=Reason.LOCALIZER, text="a localizer")})
    ledger.took(study, {"gather": 1.5})
    ledger.advance(study, StudyState.REFUSED, Note(reason=Reason.NO_SUITABLE_SERIES, text="nothing to read"))
    ledger.close()
    return settings


@pytest.mark.verifies("SRS-126", "SRS-139", level="integration", technique="example")
def test_status_tells_where_a_study_stands_by_either_of_its_uids(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in (STUDY, study_pseudonym(load_config(site, {}), STUDY)):
        assert cli.main(["status", name, "--config", str(site)]) == 0
        lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
        assert lines[1:] == [
            "state refused [no-suitable-series] nothing to read",
            "images 1 set-aside [localizer] a localizer",
            "took 1.50 s gather",
        ]
        assert cli.main(["status", name, "--json", "--config", str(site)]) == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["state"], told["reason"], told["seconds"]) == ("refused", "no-suitable-series", {"gather": 1.5})


@pytest.mark.verifies("SRS-127", level="integration", technique="example")
def test_retry_opens_an_ended_study_once(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["retry", STUDY, "--config", str(site)]) == 0
    assert "will be read again" in capsys.readouterr().out
    for study in (STUDY, "1.2.404"):
        assert cli.main(["retry", study, "--config", str(site)]) == 1
        assert "no such study" in capsys.readouterr().err


@pytest.mark.verifies("SRS-138", level="integration", technique="fault-injection")
def test_a_second_node_on_the_same_data_is_refused(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (site.parent / "data" / "node.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert cli.main(["serve", "--config", str(site)]) == 2
    assert "another node works on" in capsys.readouterr().err
