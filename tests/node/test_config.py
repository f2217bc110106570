"""Settings: a wrong line is named, with what would be right."""

from pathlib import Path

import pytest

from node.config import ConfigError, load_config


def write(folder: Path, text: str) -> Path:
    path = folder / "overread.toml"
    path.write_text(text)
    return path


def fault(folder: Path, text: str, environment: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as error:
        load_config(write(folder, text), environment or {})
    return str(error.value)


@pytest.mark.verifies("SRS-140", level="unit", technique="bad-input")
def test_every_fault_is_named_with_its_line(tmp_path: Path) -> None:
    text = """[node]
ae_titel = "X"
[receive]
port = "abc"

[[destination]]
name = "archive"
ae_title = "PACS"
host = "pacs"
port = 104
[[destination]]
name = "second"
ae_title = "LONGERTHANSIXTEENCHARACTERS"
port = 70000
[recieve]
"""
    lines = fault(tmp_path, text).splitlines()
    assert len(lines) == 6
    for expected in (
        "line 2: there is no setting [node] ae_titel; did you mean ae_title?",
        "line 4: [receive] port = 'abc'",
        "line 13: [[destination]] ae_title = 'LONGERTHANSIXTEENCHARACTERS'",
        "line 11: [[destination]] host is missing",
        "line 14: [[destination]] port = 70000",
        "line 15: there is no setting recieve; did you mean receive?",
    ):
        assert any(expected in line for line in lines), expected


@pytest.mark.verifies("SRS-140", level="unit", technique="bad-input")
def test_no_toml_and_no_file(tmp_path: Path) -> None:
    assert "not valid TOML" in fault(tmp_path, "[node\n")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "missing.toml", {})


@pytest.mark.verifies("SRS-141", level="unit", technique="example")
def test_environment_goes_before_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "[receive]\nport = 104\n")
    config = load_config(path, {"OVERREAD_RECEIVE__PORT": "11113", "OVERREAD_RECEIVE__ALLOWED_CALLING_AE": "A, B"})
    assert config.receive.port == 11113
    assert config.receive.allowed_calling_ae == ("A", "B")


@pytest.mark.verifies("SRS-140", level="unit", technique="bad-input")
def test_a_wrong_variable_is_named(tmp_path: Path) -> None:
    assert "environment variable OVERREAD_RECEIVE__PORT" in fault(tmp_path, "", {"OVERREAD_RECEIVE__PORT": "zero"})
    assert "OVERREAD_RECEIVE__PROT" in fault(tmp_path, "", {"OVERREAD_RECEIVE__PROT": "1"})


@pytest.mark.verifies("SRS-141", level="unit", technique="example")
def test_relative_paths_count_from_the_file(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, '[node]\ndata_dir = "data"\n'), {})
    assert config.node.data_dir == tmp_path / "data"
    assert config.node.key_file == tmp_path / "overread.key"


@pytest.mark.verifies("SRS-140", level="unit", technique="bad-input")
def test_two_destinations_of_one_name_are_refused(tmp_path: Path) -> None:
    one = '[[destination]]\nname = "a"\nae_title = "P"\nhost = "h"\nport = 104\n'
    two = one.replace('"a"', '"b"')
    assert "line 12: [[destination]] name = 'a': an earlier destination has this name" in fault(
        tmp_path, one + two + one
    )


@pytest.mark.verifies("SRS-140", level="unit", technique="boundary")
@pytest.mark.parametrize("folder", ["", " ", "."])
def test_the_node_needs_a_folder_of_its_own(tmp_path: Path, folder: str) -> None:
    assert "line 2: [node] data_dir" in fault(tmp_path, f'[node]\ndata_dir = "{folder}"\n')


@pytest.mark.verifies("SRS-141", level="unit", technique="example")
def test_settings_cannot_be_changed() -> None:
    config = load_config(None, {})
    with pytest.raises(ValueError, match="frozen"):
        config.receive.port = 1
