"""The command, as an administrator types it."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from node import cli
from node.ledger import Ledger


def label_map(path: Path) -> Path:
    labels = np.zeros((6, 40, 40), np.uint8)
    labels[2:4, 10:30, 10:20] = 2
    image = SimpleITK.GetImageFromArray(labels)
    image.SetSpacing((1.0, 1.0, 2.0))
    SimpleITK.WriteImage(image, path)
    return path


def test_measure_prints_one_json_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["measure", str(label_map(tmp_path / "labels.nii.gz")), "--json"]) == 0
    (lesion,) = json.loads(capsys.readouterr().out)["lesions"]
    assert set(lesion) == {"id", "volume_ml", "long_axis_mm", "short_axis_mm"}
    assert lesion["volume_ml"] == pytest.approx(0.8)
    assert lesion["long_axis_mm"] == pytest.approx(np.hypot(20, 10), rel=0.1)


def test_measure_says_what_is_wrong_with_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "labels.nii.gz"
    path.write_text("no image")
    assert cli.main(["measure", str(path)]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("overread: ")


def test_key_is_private_and_never_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "site.key"
    assert cli.main(["key", str(path)]) == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_bytes()
    assert cli.main(["key", str(path)]) == 1
    assert path.read_bytes() == before
    assert before.decode().strip() not in capsys.readouterr().out


def test_a_wrong_setting_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "overread.toml"
    path.write_text("[receive]\nport = 0\n")
    assert cli.main(["serve", "--config", str(path)]) == 2
    assert "line 2: [receive] port = 0" in capsys.readouterr().err


def test_a_missing_key_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "overread.toml"
    path.write_text('[node]\ndata_dir = "data"\nkey_file = "missing.key"\n')
    Ledger(tmp_path / "data" / "ledger.sqlite").close()
    for command in (["serve"], ["status", "1.2.3"], ["retry", "1.2.3"]):
        assert cli.main([*command, "--config", str(path)]) == 2
        assert "missing.key" in capsys.readouterr().err


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


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    for option in ("--version", "--help"):
        with pytest.raises(SystemExit) as end:
            cli.main([option])
        assert end.value.code == 0
    assert "NOT FOR CLINICAL USE" in capsys.readouterr().out
