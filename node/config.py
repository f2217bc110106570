"""The settings: one TOML file, overridden by environment variables, read once into one frozen value.

A wrong setting is named with its line in the file and what would be right. docs/settings.md lists every setting;
a test holds the two equal.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from node.net import AETitle, Port

PositiveSeconds = Annotated[float, Field(gt=0)]

ENVIRONMENT_PREFIX = "OVERREAD_"


class ConfigError(ValueError):
    """The settings cannot be used; the text says which line is wrong and what would be right."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class NodeSettings(_Section):
    """``[node]``: who the node is, and where it keeps what it holds."""

    ae_title: AETitle = Field("OVERREAD", description="Application entity title of the node.")
    data_dir: Path = Field(
        Path("overread-data"),
        description="Folder of inbox, artefacts, outbox, ledger and vault. Holds patient data: protect and back up.",
    )
    key_file: Path = Field(
        Path("overread.key"),
        description="File with the master key of the pseudonyms and the vault (`overread key` makes one). "
        "Keep it apart from data_dir; without it no result finds its patient.",
    )
    log_format: Literal["console", "json"] = Field(
        "console", description="How log lines look: console, or json (one object a line)."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least that is logged: debug, info, warning or error."
    )

    @field_validator("data_dir", mode="before")
    @classmethod
    def _a_folder_of_its_own(cls, value: Any) -> Any:
        if str(value).strip() in {"", "."}:  # it would become the settings' own folder, closed to everybody else
            raise ValueError("name a folder of its own")
        return value


class ReceiveSettings(_Section):
    """``[receive]``: the DICOM service that takes studies."""

    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 for every network of the machine.")
    port: Port = Field(11112, description="TCP port to listen on.")
    processes: int = Field(2, ge=1, le=32, description="Receiver processes that share the port.")
    allowed_calling_ae: tuple[AETitle, ...] = Field(
        (), description="Calling AE titles that may send; empty: every caller."
    )
    low_water_mb: int = Field(
        2048, ge=0, description="Free disk in MB below which new images are refused with 0xA700 (out of resources)."
    )


class GatherSettings(_Section):
    """``[gather]``: when a study is complete."""

    quiet_seconds: PositiveSeconds = Field(
        30.0, description="Seconds without a new image after which a study counts as complete."
    )


class InferenceSettings(_Section):
    """``[inference]``: which model runs, and on what."""

    model: str = Field("ct_liver_lesions", description="Name of the model, or path of a model's folder.")
    weights_dir: Path | None = Field(
        None, description="Folder of the converted networks; default: inside the Python environment."
    )
    engine: Literal["auto", "openvino", "onnxruntime", "cuda"] = Field(
        "auto",
        description="auto: OpenVINO if installed, else ONNX Runtime, both on the CPU. cuda: refuses to start without "
        "a usable GPU.",
    )
    threads: int = Field(0, ge=0, le=1024, description="CPU threads of the engine; 0: one a core.")
    stall_seconds: PositiveSeconds = Field(
        300.0, description="Seconds without progress after which the inference process is killed and restarted."
    )
    hard_limit_seconds: PositiveSeconds = Field(3600.0, description="Longest time one study may take to infer.")
    profile: Literal["development", "release"] = Field(
        "development",
        description="release: refuses to start unless the model's weights and settings were accepted under the change "
        "plan. development: says in the log that they were not.",
    )
    acceptance_file: Path | None = Field(
        None, description="The acceptance of the model, as `overread pccp evaluate` wrote it."
    )
    trusted_keys: tuple[str, ...] = Field(
        (), description="Public keys (base64) of those who may accept a model; empty: nobody."
    )


class WorkflowSettings(_Section):
    """``[workflow]``: how much is done at a time."""

    parallel_studies: int = Field(
        2, ge=1, le=64, description="Studies at work at once (inference itself runs one at a time)."
    )


class AuditSettings(_Section):
    """``[audit]``: the log of what was done, and where it is sent on to."""

    head_file: Path | None = Field(
        None,
        description="File that number and hash of the last audit record are written to; default: audit-head.json in "
        "data_dir. On a disk that who can write data_dir cannot write, it shows that the log was cut.",
    )
    syslog: str | None = Field(
        None,
        pattern=r"^(tls|tcp|udp)://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}$",
        description="Collector of ATNA audit messages: tls://HOST:PORT, or on this machine tcp://127.0.0.1:PORT or "
        "udp://127.0.0.1:PORT. Messages hold patient numbers.",
    )
    syslog_ca_file: Path | None = Field(
        None, description="PEM file of who vouches for the collector; default: whom the system trusts."
    )
    syslog_client_file: Path | None = Field(
        None, description="PEM file with certificate and key of this node, if the collector asks for them."
    )

    @field_validator("syslog")
    @classmethod
    def _in_clear_only_at_home(cls, value: str | None) -> str | None:
        if value is None:
            return None
        address = urlsplit(value)
        if not 0 < int(value.rpartition(":")[2]) < 1 << 16:  # before urlsplit looks, whose own words are others
            raise ValueError("the port is 1 to 65535")
        if address.scheme != "tls" and not _is_loopback(address.hostname or ""):
            raise ValueError("patient numbers must not cross a network in clear: use tls://")
        return value


class DestinationSettings(_Section):
    """``[[destination]]``: a PACS that results go to. Repeat the section for more than one."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9_-]{1,64}$", description="Name in status and logs: letters, digits, - and _."
    )
    ae_title: AETitle = Field(description="The PACS's application entity title.")
    host: str = Field(min_length=1, description="Its address.")
    port: Port = Field(description="Its DICOM port.")
    timeout_seconds: PositiveSeconds = Field(30.0, description="Seconds to wait for its answers.")


_LISTS = {("receive", "allowed_calling_ae"), ("inference", "trusted_keys")}
"""Settings of several values; in an environment variable they are separated by commas."""

SECTIONS: Mapping[str, type[BaseModel]] = {
    "node": NodeSettings,
    "receive": ReceiveSettings,
    "gather": GatherSettings,
    "inference": InferenceSettings,
    "workflow": WorkflowSettings,
    "audit": AuditSettings,
    "destination": DestinationSettings,
}


class Config(_Section):
    """All settings of a node."""

    node: NodeSettings = NodeSettings()
    receive: ReceiveSettings = ReceiveSettings()
    gather: GatherSettings = GatherSettings()
    inference: InferenceSettings = InferenceSettings()
    workflow: WorkflowSettings = WorkflowSettings()
    audit: AuditSettings = AuditSettings()
    destination: tuple[DestinationSettings, ...] = ()


def load_config(path: Path | None, environment: Mapping[str, str] | None = None) -> Config:
    """Read the settings.

    Parameters
    ----------
    path
        TOML file; None for defaults and environment only. Relative paths in it count from its folder.
    environment
        Environment variables; the process's own by default. ``OVERREAD_RECEIVE__PORT=104`` sets ``[receive] port``.

    Raises
    ------
    ConfigError
        If the file is missing, no TOML, or any setting is unknown or wrong.
    """
    text = ""
    if path is not None:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: cannot be read: {error}") from error
    try:
        values: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error
    variables = _overlay(values, os.environ if environment is None else environment)
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        faults = "\n".join(_explain(fault, path, text, variables) for fault in error.errors())
        raise ConfigError(faults) from error
    for fault in _repeated_names(config):
        raise ConfigError(_explain(fault, path, text, variables))
    return _anchor(config, path.parent.absolute() if path else Path.cwd())


def _repeated_names(config: Config) -> Iterator[dict[str, Any]]:
    """Yield a fault, as pydantic words them, for each destination whose name an earlier one has."""
    names = [destination.name for destination in config.destination]
    for number, name in enumerate(names):
        if name in names[:number]:
            message = "an earlier destination has this name"
            yield {"loc": ("destination", number, "name"), "type": "value_error", "msg": message, "input": name}


def _overlay(values: dict[str, Any], environment: Mapping[str, str]) -> dict[tuple[str, ...], str]:
    """Put ``OVERREAD_SECTION__SETTING`` variables over the file's values; return which setting came from which."""
    used: dict[tuple[str, ...], str] = {}
    for variable, value in sorted(environment.items()):
        section, separator, setting = variable.removeprefix(ENVIRONMENT_PREFIX).lower().partition("__")
        if not variable.startswith(ENVIRONMENT_PREFIX) or not separator:
            continue
        target = values.setdefault(section, {})
        if not isinstance(target, dict):
            raise ConfigError(f"environment variable {variable}: [[{section}]] can only be set in the file")
        many = (section, setting) in _LISTS
        target[setting] = [part.strip() for part in value.split(",") if part.strip()] if many else value
        used[section, setting] = variable
    return used


def _anchor(config: Config, folder: Path) -> Config:
    """Make relative paths count from the settings file."""
    node = config.node.model_copy(
        update={"data_dir": folder / config.node.data_dir, "key_file": folder / config.node.key_file}
    )
    update: dict[str, Any] = {"node": node}
    for name, section in (("inference", config.inference), ("audit", config.audit)):
        files = {setting: folder / path for setting, path in section if isinstance(path, Path)}
        update[name] = section.model_copy(update=files)
    return config.model_copy(update=update)


def _explain(fault: Any, path: Path | None, text: str, variables: Mapping[tuple[str, ...], str]) -> str:
    """One line: where, what was read, what would be right."""
    location = tuple(fault["loc"])
    name = _name(location)
    keys = tuple(str(part) for part in location if not isinstance(part, int))
    if keys[:2] in variables:
        where = f"environment variable {variables[keys[:2]]}"
    else:
        line = _line_of(location, text)
        where = f"{path}, line {line}" if line else f"{path}"
    if fault["type"] == "extra_forbidden":
        return f"{where}: there is no setting {name}{_suggestion(keys)}"
    if fault["type"] == "missing":
        return f"{where}: {name} is missing: {_field(keys).get('description', 'it is required')}"
    message = fault["msg"].removeprefix("Value error, ")
    shown = "" if isinstance(fault["input"], dict | list | tuple) else f" = {fault['input']!r}"
    return f"{where}: {name}{shown}: {message[0].lower()}{message[1:]}. {_field(keys).get('description', '')}".rstrip()


def _name(location: Sequence[str | int]) -> str:
    if len(location) > 1 and isinstance(location[1], int):
        return f"[[{location[0]}]] " + ".".join(str(part) for part in location[2:])
    return f"[{location[0]}] " + ".".join(str(part) for part in location[1:]) if len(location) > 1 else f"{location[0]}"


def _field(keys: Sequence[str]) -> dict[str, str]:
    section = SECTIONS.get(keys[0])
    if section is None or len(keys) < 2 or keys[1] not in section.model_fields:
        return {}
    return {"description": section.model_fields[keys[1]].description or ""}


def _suggestion(keys: Sequence[str]) -> str:
    section = SECTIONS.get(keys[0])
    known = list(SECTIONS) if len(keys) == 1 else list(section.model_fields) if section else []
    near = difflib.get_close_matches(keys[-1], known, n=1)
    return f"; did you mean {near[0]}?" if near else f"; known are: {', '.join(known)}"


def _line_of(location: Sequence[str | int], text: str) -> int | None:
    """Find the line of a setting: TOML readers do not tell it."""
    section, index, key = str(location[0]), -1, str(location[-1])
    wanted = location[1] if len(location) > 1 and isinstance(location[1], int) else 0
    inside, header = False, None
    for number, line in enumerate(text.splitlines(), start=1):
        if match := re.match(r"\s*\[+\s*([\w-]+)\s*\]+", line):
            index += match[1] == section
            inside = match[1] == section and index == wanted
            header = number if inside else header
        elif (inside or len(location) == 1) and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=", line):
            return number
    return header
