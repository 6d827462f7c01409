"""`bin/troupe data import | list | show | validate`: data sets of a running node, and files without one."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import httpx
import msgspec

from actors.market.history_files import HistoryError
from actors.market.history_listing import histories
from actors.market.tables.options import FORMS
from actors.market.tables.schema import KINDS
from protocols.control import Refused
from runtime.settings import Configuration

POLL_S: Final = 0.1
MOST_POLL_S: Final = 1.0
SHOWN: Final = 10
SHOWN_ROWS: Final = 5
_READ: Final = 256 * 1024
Answer = tuple[str, dict[str, Any]] | tuple[str, dict[str, Any], int]
FAILED: Final = 1


def data_import(arguments: Sequence[str], configuration: Configuration | None) -> Answer:
    """Make a data set of the running node out of a CSV, a parquet file or a recording.

    Raises Refused for what the node refuses, ConnectionError where none runs.
    """
    parser = _parser("import", data_import.__doc__)
    parser.add_argument("file", metavar="FILE", type=Path, help="CSV (.gz, .zst), parquet, or a recording")
    parser.add_argument("--name", default="", help="its name (default: the file's)")
    parser.add_argument("--description", default="")
    parser.add_argument("--tag", action="append", default=[], dest="tags", metavar="T", help="repeatable")
    parser.add_argument("--asset-class", default="", metavar="C", help="crypto, equity, forex, prediction ...")
    parser.add_argument("--recording", action="store_true", help="keep a recording as it is (else: its level changes)")
    parser.add_argument("--reference", action="store_true", help="a recording that stays where it is")
    parser.add_argument("--mark", action="append", default=[], dest="marks", metavar="M", help="synthetic, demo ...")
    _reading(parser)
    given = parser.parse_args(arguments)
    node = _node(configuration)
    if given.reference:
        asked = {"path": str(given.file.resolve()), "name": given.name, "description": given.description}
        body = node.call("POST", "/api/datasets/references", json=asked | {"tags": given.tags, "marks": given.marks})
    else:
        body = _upload(node, given)
    body = _waited(node, body, quiet=given.quiet)
    if body["status"] == "failed":
        raise Refused("invalid", f"{given.file}: {body['problem_field']}: {body['problem']}", body["problem_field"])
    return "\n".join(_about(body)), body


def data_list(arguments: Sequence[str], configuration: Configuration | None) -> Answer:
    """List the data sets of the running node, and the histories that were downloaded.

    Raises Refused for a history that cannot be read.
    """
    parser = _parser("list", data_list.__doc__)
    parser.add_argument("search", nargs="?", default="", metavar="TEXT", help="only those whose name holds this")
    parser.add_argument("--kind", default="", help="bars, quotes, trades, l2 or recording")
    parser.add_argument("--out", metavar="DIR", help="where histories lie (default: history/ in the data folder)")
    given = parser.parse_args(arguments)
    assert configuration is not None
    root = Path(given.out) if given.out else Path(configuration.section("node").data_dir) / "history"
    try:
        told, described = histories(root)
    except HistoryError as error:
        raise Refused("damaged", str(error)) from error
    node = None if given.out else _node_if_any(configuration)
    found: list[dict[str, Any]] = []
    lines: list[str] = []
    if node is not None:
        found = list(_all(node, given.search, given.kind))
        lines = [_line(each) for each in found] or ["no data sets"]
    elif not given.out:
        lines = ["no node runs: data sets are not listed"]
    return "\n".join([*lines, *told]), {"datasets": found, "folder": str(root), "histories": described}


def data_show(arguments: Sequence[str], configuration: Configuration | None) -> Answer:
    """Show what a data set or a file holds: its kind, times, figures and first rows.

    Raises Refused for a file that cannot be read, ConnectionError for a data set where no node runs.
    """
    parser = _parser("show", data_show.__doc__)
    parser.add_argument("what", metavar="FILE|ID", help="a file, a folder of a history, or the id of a data set")
    parser.add_argument("--rows", type=int, default=SHOWN_ROWS, metavar="N", help=f"rows to show ({SHOWN_ROWS})")
    _reading(parser)
    given = parser.parse_args(arguments)
    if Path(given.what).exists():
        shown, made = _examined(given)
        return "\n".join([*_made_lines(made), *_rows(shown[: given.rows])]), made | {"preview": shown[: given.rows]}
    node = _node(configuration)
    path = _path(given.what)
    body = node.call("GET", path)
    data: dict[str, Any] = dict(body)
    lines = _about(body)
    if body["status"] in ("ready", "invalid"):
        data["preview"] = node.call("GET", f"{path}/preview?limit={max(1, given.rows)}")["rows"]
        data["statistics"] = node.call("GET", f"{path}/statistics")["statistics"]
        lines += _rows(data["preview"][: given.rows])
    return "\n".join(lines), data


def data_validate(arguments: Sequence[str], configuration: Configuration | None) -> Answer:
    """Say what is wrong with a file or a data set: duplicates, holes, prices, time steps, outliers, splits, time zone.

    Answers with the exit status 1 where there is an error. Raises Refused and ConnectionError as `data show`.
    """
    parser = _parser("validate", data_validate.__doc__)
    parser.add_argument("what", metavar="FILE|ID", help="a file, a folder of a history, or the id of a data set")
    _reading(parser)
    given = parser.parse_args(arguments)
    if Path(given.what).exists():
        _, made = _examined(given)
        report = made["report"]
        lines = [*_made_lines(made), *_findings(report)]
        data = report | {"content_hash": made["content_hash"]}
    else:
        node = _node(configuration)
        asked = {"calendar": given.calendar} if given.calendar else {}
        data = report = node.call("POST", f"{_path(given.what)}/validate", json=asked)
        report["valid"] = report["is_valid"]
        lines = _findings(report)
    text = "\n".join(lines)
    return (text, data) if report["valid"] else (text, data, FAILED)


# -- options -------------------------------------------------------------------------------------------------


def _parser(verb: str, described: str | None) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(prog=f"troupe data {verb}", description=(described or "").partition("\n")[0])


def _reading(parser: argparse.ArgumentParser) -> None:
    """How a file is to be read."""
    parser.add_argument("--kind", choices=KINDS, default=None, help="what it holds, if its columns do not tell")
    parser.add_argument("--market", default="", metavar="M", help="the name of its market, or which one of several")
    parser.add_argument("--interval", default="", metavar="I", help="of bars: 1m, 1h (default: as most steps tell)")
    parser.add_argument("--zone", default="UTC", metavar="Z", help="of times that name none: America/New_York (UTC)")
    parser.add_argument("--calendar", default="", metavar="C", help="when its market is open: XNYS, or always")
    parser.add_argument("--time-form", choices=FORMS, default="", help="where times can be read in several ways")
    parser.add_argument("--decimal", choices=(".", ","), default=".", help="what parts digits (.)")
    parser.add_argument("--named-by", choices=("start", "end"), default="start", help="a bar's time (start)")
    parser.add_argument("--columns", default="", metavar="A,B,…", help="names, where the first line is data")
    parser.add_argument(
        "--map", action="append", default=[], dest="mapping", metavar="OURS=THEIRS", help="a column, as close=Last"
    )
    parser.add_argument("--quiet", action="store_true", help="show no progress")


def _options(given: argparse.Namespace) -> dict[str, Any]:
    """The fields of `ReadOptions`."""
    mapping: dict[str, str] = {}
    for text in given.mapping:
        ours, parted, theirs = text.partition("=")
        if not parted:
            raise Refused("invalid", f"expected OURS=THEIRS, got {text!r}", "map")
        mapping[ours] = theirs
    told = {
        "kind": given.kind,
        "market": given.market,
        "interval": given.interval,
        "zone": given.zone,
        "mapping": mapping,
        "columns": [name.strip() for name in given.columns.split(",") if name.strip()],
        "time_form": given.time_form,
        "decimal": given.decimal,
        "named_by": given.named_by,
    }
    return {name: value for name, value in told.items() if value}


# -- a file without a node -----------------------------------------------------------------------------------


def _examined(given: argparse.Namespace) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The first rows of a file, and what it is. Raises Refused."""
    # Only here: the rest needs no columnar library.
    import tempfile

    from actors.research.datasets.importing import FAULTS, make, problem_of
    from actors.research.datasets.jobs import PREVIEW, Job

    job = Job(task="import", folder="", source=given.what, options=_options(given), calendar=given.calendar)
    with tempfile.TemporaryDirectory(prefix="troupe-") as folder:
        try:
            made = make(msgspec.structs.replace(job, folder=folder), lambda rows: _progress(rows, given.quiet))
        except FAULTS as error:
            field, message = problem_of(error)
            raise Refused("invalid", f"{given.what}: {message}", field) from error
        finally:
            _progress(-1, given.quiet)
        shown = json.loads((Path(folder) / PREVIEW).read_bytes())["head"]
    return shown, msgspec.to_builtins(made) | {"file": given.what}


def _progress(rows: int, quiet: bool) -> None:
    if not quiet and sys.stderr.isatty():
        text = f"\r{rows} rows" if rows >= 0 else "\r" + " " * 30 + "\r"
        print(text, end="", file=sys.stderr, flush=True)


# -- the node ------------------------------------------------------------------------------------------------


class _NodeFile(msgspec.Struct):
    url: str


class _Node(NamedTuple):
    """The running node of a data folder."""

    url: str
    token: str

    def call(self, method: str, path: str, **sent: Any) -> dict[str, Any]:
        """Its answer. Raises Refused, ConnectionError."""
        headers = {"authorization": f"Bearer {self.token}"}
        try:
            answer = httpx.request(method, self.url + path, headers=headers, timeout=600.0, **sent)
        except httpx.HTTPError as error:
            raise ConnectionError(f"the node at {self.url} does not answer: {error}") from error
        if answer.status_code >= 400:
            try:
                told = answer.json()["error"]
            except (ValueError, KeyError, TypeError):
                raise ConnectionError(f"{self.url}{path} answered {answer.status_code}") from None
            raise Refused(told["code"], told["message"], told.get("field"))
        return dict(answer.json())


def _node(configuration: Configuration | None) -> _Node:
    assert configuration is not None
    node = _node_if_any(configuration)
    if node is None:
        folder = configuration.section("node").data_dir
        raise ConnectionError(f"no node runs on the data folder {folder}; start one with: troupe run")
    return node


def _node_if_any(configuration: Configuration) -> _Node | None:
    folder = Path(configuration.section("node").data_dir)
    try:
        told = msgspec.json.decode((folder / "node.json").read_bytes(), type=_NodeFile)
        token = (folder / "token").read_text(encoding="ascii").strip()
    except (OSError, msgspec.DecodeError):
        return None
    return _Node(told.url.rstrip("/"), token)


def _upload(node: _Node, given: argparse.Namespace) -> dict[str, Any]:
    options = _options(given)
    fields: dict[str, Any] = {
        "name": given.name,
        "description": given.description,
        "asset_class": given.asset_class,
        "tags": json.dumps(given.tags) if given.tags else "",
        "marks": ",".join(given.marks),
        "calendar": given.calendar,
        "kind": "recording" if given.recording else options.get("kind", ""),
        "symbols": json.dumps([given.market]) if given.market else "",
        "frequency": options.get("interval", ""),
        "columns": json.dumps(options["columns"]) if "columns" in options else "",
        "mapping": json.dumps(options["mapping"]) if "mapping" in options else "",
        **{name: options.get(name, "") for name in ("zone", "time_form", "decimal", "named_by")},
    }
    try:
        with given.file.open("rb") as file:
            sent = {name: value for name, value in fields.items() if value}
            return node.call("POST", "/api/datasets/upload", data=sent, files={"file": (given.file.name, file)})
    except OSError as error:
        raise Refused("invalid", f"{given.file} cannot be read: {error.strerror or error}", "file") from None


def _waited(node: _Node, body: dict[str, Any], *, quiet: bool) -> dict[str, Any]:
    """The data set once it is made."""
    pause = POLL_S
    while body["status"] == "processing":
        time.sleep(pause)
        pause = min(pause * 1.5, MOST_POLL_S)
        body = node.call("GET", _path(body["dataset_id"]))
        _progress(body["rows_read"], quiet)
    _progress(-1, quiet)
    return body


def _all(node: _Node, search: str, kind: str) -> Iterator[dict[str, Any]]:
    offset = 0
    while True:
        query = f"limit=200&offset={offset}&query={quote(search)}" + (f"&kind={quote(kind)}" if kind else "")
        page = node.call("GET", f"/api/datasets?{query}")
        yield from page["datasets"]
        offset += len(page["datasets"])
        if not page["datasets"] or offset >= page["total"]:
            return


def _path(dataset_id: str) -> str:
    return f"/api/datasets/{quote(dataset_id, safe='')}"


# -- what people read ----------------------------------------------------------------------------------------


def _line(body: dict[str, Any]) -> str:
    score = "" if body["quality_score"] is None else f"  quality {body['quality_score']:.3f}"
    what = " ".join(filter(None, (body["kind"], body["frequency"])))
    return f"{body['dataset_id']}  {body['name']}: {what or '-'}, {body['row_count']} rows, {body['status']}{score}"


def _about(body: dict[str, Any]) -> list[str]:
    lines = [_line(body)]
    if body["symbols"]:
        lines.append(f"  markets: {_few(body['symbols'], body['symbol_count'])}")
    if body["start_date"]:
        lines.append(f"  {body['start_date']} .. {body['end_date']}")
    if body["problem"]:
        lines.append(f"  {body['problem_field']}: {body['problem']}")
    if body["content_hash"]:
        lines.append(f"  content {body['content_hash'][:16]}, {body['file_size']} bytes")
    if body["error_count"] or body["warning_count"]:
        lines.append(
            f"  {body['error_count']} errors, {body['warning_count']} warnings: "
            f"troupe data validate {body['dataset_id']}"
        )
    if body["same_content"]:
        lines.append(f"  the same rows as {', '.join(body['same_content'])}")
    return lines


def _made_lines(made: dict[str, Any]) -> list[str]:
    what = " ".join(filter(None, (made["kind"], made["interval"])))
    return [
        f"{made['file']}: {what}, {made['rows']} rows of {_few(made['markets'], made['market_count'])}",
        f"  columns: {', '.join(made['columns'])}",
        f"  content {made['content_hash'][:16]}",
    ]


def _few(names: Sequence[str], count: int) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {count - SHOWN} more" if count > SHOWN else "")


def _findings(report: dict[str, Any]) -> list[str]:
    lines = [
        f"{'valid' if report['valid'] else 'not valid'}: completeness {report['completeness_score']:.4f}, "
        f"quality {report['quality_score']:.4f}"
    ]
    for finding in report["findings"]:
        where = f" ({finding['market']})" if finding["market"] else ""
        rows = f", rows {', '.join(map(str, finding['rows']))}" if finding["rows"] else ""
        lines.append(f"{finding['severity']} {finding['kind']}{where}: {finding['message']}{rows}")
        lines += [f"    {example}" for example in finding["examples"][:3]]
        lines.append(f"  what to do: {finding['advice']}")
    return lines


def _rows(rows: Sequence[dict[str, Any]]) -> list[str]:
    if not rows:
        return []
    names = list(rows[0])
    cells = [names, *([("" if row.get(name) is None else str(row[name])) for name in names] for row in rows)]
    widths = [max(len(line[place]) for line in cells) for place in range(len(names))]
    return ["  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in cells]
