"""The command ``overread``."""

from __future__ import annotations

import argparse
import errno
import importlib.metadata
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import qms.cli
from node.config import Config, ConfigError, load_config
from node.identity.keys import KeyUnusableError
from node.logs import configure_logs

_USAGE_ERROR = 2

_DESCRIPTION = """\
Overread stands beside a PACS: it takes CT studies over DICOM, outlines and measures the liver and its lesions, and
sends DICOM SEG and Structured Reports back. Results are UNVERIFIED and NOT FOR CLINICAL USE.
"""

_EXAMPLES = """\
examples:
  overread demo                                try everything on a simulated patient; needs no PACS
  overread demo --study /media/cd/DICOM        ... or on a study of your own
  overread key overread.key                    make the site's master key, once
  overread serve --config overread.toml        run the node
  overread status 1.2.840.113619.2.55.3.1234   where is this study? (its Study Instance UID)
  overread audit verify                        is the log of what was done whole?
  overread trace 2.25.3141592653               what does this result rest on? (its SOP Instance UID)

Settings: docs/settings.md. Codes of refusals: docs/reasons.md.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0 success, 1 failure, 2 wrong use or settings."""
    options = build_parser().parse_args(arguments)
    try:
        run: Callable[[argparse.Namespace], int] = options.run
        return run(options)
    except (ConfigError, KeyUnusableError) as error:
        print(f"overread: {error}", file=sys.stderr)
        return _USAGE_ERROR
    except KeyboardInterrupt:
        return 130
    except (PermissionError, FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        print(f"overread: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # `overread status ... | head`: whoever read has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command, with its help."""
    parser = argparse.ArgumentParser(
        prog="overread",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"overread {importlib.metadata.version('overread')}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    serve = _command(commands, "serve", _serve, "run the node until it is told to stop (SIGTERM or Ctrl-C)")
    _config_option(serve)

    demo = _command(commands, "demo", _demo, "send a study through a PACS and a node of its own, and show the result")
    demo.add_argument("--study", type=Path, metavar="DIR", help="DICOM folder to read; default: a simulated patient")
    demo.add_argument("--prior", type=Path, metavar="DIR", help="DICOM folder of an earlier study of the same patient")
    demo.add_argument(
        "--out", type=Path, metavar="DIR", default=Path("demo-out"), help="where results go (%(default)s)"
    )
    demo.add_argument("--keep", action="store_true", help="leave the node's folder in DIR/node, for trace and audit")
    demo.add_argument("--no-open", action="store_true", help="do not open the report in a browser")

    status = _command(commands, "status", _status, "say where a study stands, and what happened to each of its images")
    status.add_argument(
        "study", metavar="STUDY", help="Study Instance UID, as in the PACS, or its pseudonym, as in logs"
    )
    status.add_argument("--json", action="store_true", help="as one JSON document")
    _config_option(status)

    retry = _command(commands, "retry", _retry, "read a study again that failed, was refused or quarantined")
    retry.add_argument("study", metavar="STUDY", help="Study Instance UID, or its pseudonym")
    _config_option(retry)

    measure = _command(commands, "measure", _measure, "measure the lesions of a label map")
    measure.add_argument("labels", type=Path, metavar="LABELS.nii.gz", help="NIfTI label map")
    measure.add_argument(
        "--label", type=int, metavar="N", help="value of the lesions; default: 2, else the only one, else 1"
    )
    measure.add_argument("--json", action="store_true", help="as one JSON document")

    weights = _command(commands, "weights", _weights, "fetch the networks from their package, check and convert them")
    weights.add_argument(
        "--dir", type=Path, metavar="DIR", help="where they go; default: inside the Python environment"
    )

    audit = commands.add_parser("audit", help="the log of what was done: does it hold?")
    audits = audit.add_subparsers(title="commands", metavar="COMMAND", required=True)
    verify = _command(
        audits, "verify", _audit_verify, "check every record of the audit log; exit status 1 if one fails"
    )
    verify.add_argument("--head", type=Path, metavar="FILE", help="head of the log that was kept elsewhere")
    _config_option(verify)

    trace = _command(commands, "trace", _trace, "walk back from a result to everything that it rests on")
    trace.add_argument("result", metavar="SOP_INSTANCE_UID", help="of a SEG or SR that this node made")
    trace.add_argument(
        "--record", type=Path, metavar="DIR", default=Path(), help="project with the quality record; default: here"
    )
    trace.add_argument("--json", action="store_true", help="as one JSON document")
    _config_option(trace)

    pccp = commands.add_parser("pccp", help="the change plan: may a changed model be used?")
    pccps = pccp.add_subparsers(title="commands", metavar="COMMAND", required=True)
    evaluate = _command(
        pccps, "evaluate", _pccp_evaluate, "accept, reject (exit 1), refuse (2) or send to a new submission (3)"
    )
    evaluate.add_argument("candidate", type=Path, metavar="CANDIDATE", help="folder: manifest.toml, results.json")
    evaluate.add_argument("--json", action="store_true", help="as one JSON document")

    quality = commands.add_parser("qms", help="the quality record: the gate and what else keeps it")
    qms.cli.add_commands(quality)

    key = _command(commands, "key", _key, "make a master key for the pseudonyms and the vault")
    key.add_argument("file", type=Path, metavar="FILE", help="new file, readable by its owner alone")
    return parser


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    run: Callable[[argparse.Namespace], int],
    text: str,
) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    command.set_defaults(run=run)
    return command


def _config_option(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--config", type=Path, metavar="FILE", help="settings (TOML); default: overread.toml here, if there is one"
    )


def _config(options: argparse.Namespace) -> Config:
    path: Path | None = options.config
    if path is None and Path("overread.toml").exists():
        path = Path("overread.toml")
    return load_config(path)


# Imports stand inside the commands: `overread --help` and `measure` need no database, no engine, no network.


def _serve(options: argparse.Namespace) -> int:
    from models.acceptance import NotAcceptedError
    from models.manifest import ManifestError
    from models.weights import WeightsError
    from node.inference import InferenceError
    from node.serve import AlreadyRunningError, serve

    config = _config(options)
    configure_logs(config.node.log_format, config.node.log_level)
    try:
        serve(config)
    except (AlreadyRunningError, InferenceError, ManifestError, NotAcceptedError, WeightsError, OSError) as error:
        print(f"overread: cannot start: {error}", file=sys.stderr)
        return _USAGE_ERROR
    sys.stderr.flush()
    os._exit(0)  # not `sys.exit`, which would wait for the step at work: it goes on at the next start


def _demo(options: argparse.Namespace) -> int:
    from node.demo import run_demo

    configure_logs("console", "warning")
    return run_demo(options.study, options.prior, options.out, open_browser=not options.no_open, keep=options.keep)


def _status(options: argparse.Namespace) -> int:
    from node.serve import status

    config = _config(options)
    found = status(config, options.study)
    _note_asked(config, "status-asked", options.study, found.study if found else "")
    if found is None:
        print("overread: this study never came here", file=sys.stderr)
        return 1
    print(found.model_dump_json(indent=2) if options.json else found.as_text())
    return 0


def _retry(options: argparse.Namespace) -> int:
    from node.serve import retry, status

    config = _config(options)
    opened, found = retry(config, options.study), status(config, options.study)
    _note_asked(config, "retry-asked", options.study, found.study if found else "")
    if opened:
        print("The study will be read again.")
        return 0
    print("overread: no such study, or none that was refused, quarantined or failed", file=sys.stderr)
    return 1


def _note_asked(config: Config, event: str, asked: str, study: str) -> None:
    """Put a question into the audit log. Who has to know where a study is must not be held up by a full disk."""
    from node.audit import Event
    from node.auditing import note_asked

    configure_logs(config.node.log_format, "warning")
    try:
        note_asked(config, Event(event), asked, study)
    except OSError as error:
        print(f"overread: this is not in the audit log: {error.strerror}", file=sys.stderr)


def _audit_verify(options: argparse.Namespace) -> int:
    from node.audit import HeadUnreadableError, read_head
    from node.auditing import check_log, existing_log, head_file

    config = _config(options)
    configure_logs(config.node.log_format, "warning")
    log = existing_log(config)
    kept = options.head or head_file(config)
    try:
        head = read_head(kept)
    except HeadUnreadableError as error:
        print(f"overread: {error}", file=sys.stderr)
        return 1
    if head is None and options.head:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(kept))
    verdict = check_log(log, head)
    for found in verdict.breaks:
        print(found)
    if verdict.torn:
        print(f"a last line of {verdict.torn} bytes has no end: what a crash leaves; the next record sets it aside")
    against = f"against the head in {kept}" if head else f"without a head ({kept} is missing): a cut end cannot be seen"
    print(f"{verdict.records} records, {len(verdict.breaks)} faults, checked {against}", file=sys.stderr)
    return 1 if verdict.breaks else 0


def _trace(options: argparse.Namespace) -> int:
    from node.trace import trace
    from qms.trace import walk

    config = _config(options)
    configure_logs(config.node.log_format, "warning")
    found = trace(config, options.result)
    if found is None:
        print("overread: this node made no such result", file=sys.stderr)
        return _USAGE_ERROR
    links = [*found.links, *walk(options.record, found.release)]
    broken = [link.name for link in links if link.broken]
    if options.json:
        print(json.dumps({"result": options.result, "links": [vars(link) for link in links]}, indent=2))
    else:
        for link in links:
            print(f"{link.name:<10} {'BROKEN: ' + link.broken if link.broken else 'OK'}")
            print("".join(f"{'':<10}   {line}\n" for line in link.lines), end="")
        print(f"{len(links)} links, broken: {', '.join(broken) or 'none'}", file=sys.stderr)
    return 1 if broken else 0


def _pccp_evaluate(options: argparse.Namespace) -> int:
    from qms.pccp import main as evaluate

    return evaluate(options)


def _measure(options: argparse.Namespace) -> int:
    from node.measure.nifti import LabelFileError, measure_file

    try:
        lesions = measure_file(options.labels, options.label)
    except LabelFileError as error:
        print(f"overread: {error}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps({"lesions": [lesion.model_dump() for lesion in lesions]}, indent=2))
        return 0
    print(f"{'id':>4}  {'volume_ml':>10}  {'long_axis_mm':>12}  {'short_axis_mm':>13}")
    for lesion in lesions:
        print(f"{lesion.id:>4}  {lesion.volume_ml:>10.2f}  {lesion.long_axis_mm:>12.1f}  {lesion.short_axis_mm:>13.1f}")
    return 0


def _weights(options: argparse.Namespace) -> int:
    from models.weights import WeightsError, default_directory, fetch

    try:
        fetch(options.dir or default_directory())
    except WeightsError as error:
        print(f"overread: {error}", file=sys.stderr)
        return 1
    return 0


def _key(options: argparse.Namespace) -> int:
    from node.identity import create_key_file

    if create_key_file(options.file):
        print(
            f"{options.file}: made. Keep it apart from the data, and keep a copy: no result finds its patient without."
        )
        return 0
    print(f"overread: {options.file} exists; it was left as it is", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
