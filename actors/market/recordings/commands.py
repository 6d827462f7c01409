"""`bin/troupe record`, `bin/troupe replay` and `bin/troupe recording`: make recordings, play them, look at them."""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, Final

from actors.market.bars_intervals import Interval, parse_interval
from actors.market.importers.dbn import is_dbn
from actors.market.importers.opening import open_recording
from actors.market.recordings.entries import READ_FAULTS, Entry, Recording
from actors.market.recordings.format import SUFFIX
from actors.market.recordings.reader import RecordingReader, is_recording
from actors.market.recordings.recording_file import write_recording
from actors.market.replay_log import line
from actors.market.replay_run import ReplayRun, ReplaySummary, as_data
from protocols.control import Refused
from protocols.nanos import NANO
from protocols.venues.rfc3339 import rfc3339_nanos, rfc3339_text
from runtime.settings import Configuration

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "": 1.0}
_DURATION: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d|)")
_SHOWN: Final = 10
_LEVEL: Final = 12


def record(arguments: Sequence[str], configuration: Configuration | None) -> tuple[str, dict[str, Any]]:
    """Record feeds of the configuration, frame by frame, until Ctrl-C.

    Runs the sessions of these feeds and nothing else. Raises Refused for a feed that the configuration does not have.
    """
    parser = argparse.ArgumentParser(
        prog="troupe record",
        description=(record.__doc__ or "").partition("\n")[0],
        epilog="Each feed gets a folder of its own in DIR. What is there already is kept and continued.",
    )
    parser.add_argument("feeds", nargs="*", metavar="FEED", help="names of feeds (default: all that are no replays)")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="where to")
    parser.add_argument("--for", type=_seconds, default=None, dest="seconds", metavar="TIME", help="60s, 5m, 1h")
    given = parser.parse_args(arguments)
    assert configuration is not None
    # Only here: the rest needs no node.
    from actors.market.recordings.recording_node import record_feeds

    folders = record_feeds(configuration, given.feeds, given.out, given.seconds, say=_say)
    found = [_about(folder) for folder in folders.values()]
    lines = [
        f"{name}: {about['received']} frames, {_size(about['bytes'])} in {folder}"
        if about["entries"]
        else f"{name}: nothing"
        for (name, folder), about in zip(folders.items(), found, strict=True)
    ]
    return "\n".join(lines), {"feeds": dict(zip(folders, found, strict=True))}


def replay(arguments: Sequence[str], configuration: Configuration | None = None) -> tuple[str, dict[str, Any]]:
    """Play a recording through the session and the books of its venue, and say what came of it.

    Raises Refused for a file that is no recording.
    """
    parser = argparse.ArgumentParser(
        prog="troupe replay",
        description=(replay.__doc__ or "").partition("\n")[0],
        epilog="Reads recordings of troupe record, Kalshi's frames as JSON lines, the text of hftbacktest's collector, "
        "cryptofeed's raw JSON lines, and Databento's DBN files of orders.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="a file, or the folder of a recording")
    parser.add_argument("--speed", type=_speed, default=0.0, metavar="N", help="N times its own pace; 0: flat out (0)")
    parser.add_argument("--venue", default="", metavar="VENUE", help="whose frames an imported file holds, if unclear")
    parser.add_argument("--from", type=_time, dest="since", metavar="TIME", help="RFC 3339, or nanoseconds")
    parser.add_argument("--to", type=_time, dest="until", metavar="TIME", help="up to this time of receipt")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write every event and quote there, as JSON lines")
    parser.add_argument("--bars", type=_intervals, default=(), metavar="1m,…", help="build bars of these intervals")
    parser.add_argument("--yes-price", action="store_true", help="Kalshi, imported: NO levels are on the YES scale")
    given = parser.parse_args(arguments)
    with ExitStack() as stack:
        log: BinaryIO | None = None
        if given.out is not None:
            log = stack.enter_context(_opened(given.out))
        write = None if log is None else log.write
        run = ReplayRun(
            None if write is None else lambda output: write(line(output)),
            speed=given.speed,
            since=given.since,
            until=given.until,
            bars=given.bars,
            use_yes_price=True if given.yes_price else None,
        )
        begin = time.monotonic()
        summary = _play(run, given)
        seconds = time.monotonic() - begin
    data = as_data(summary) | {"seconds": round(seconds, 3), "file": str(given.file)}
    return _told(summary, given.file, seconds), data


def recording(arguments: Sequence[str], configuration: Configuration | None = None) -> tuple[str, dict[str, Any]]:
    """Say what a recording holds (info), or turn one of another format into one of ours (convert).

    Raises Refused for a file that is no recording, or one to be written that exists.
    """
    parser = argparse.ArgumentParser(prog="troupe recording", description=(recording.__doc__ or "").partition("\n")[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    info = verbs.add_parser("info", help="header, times, entries, files, and what is missing")
    info.add_argument("file", type=Path, metavar="FILE")
    convert = verbs.add_parser("convert", help="write any recording that can be read into one file of ours")
    convert.add_argument("file", type=Path, metavar="FILE")
    convert.add_argument("out", type=Path, metavar="OUT", help=f"NAME{SUFFIX}")
    convert.add_argument("--venue", default="", metavar="VENUE", help="whose frames it holds, if that is unclear")
    convert.add_argument("--from", type=_time, dest="since", metavar="TIME", help="RFC 3339, or nanoseconds")
    convert.add_argument("--to", type=_time, dest="until", metavar="TIME", help="up to this time of receipt")
    given = parser.parse_args(arguments)
    if given.verb == "convert":
        return _convert(given)
    try:
        about = _about(given.file)
    except READ_FAULTS as error:
        raise Refused("invalid", str(error)) from error
    return _described(about), about


# -- replay ------------------------------------------------------------------------------------------------------------


def _play(run: ReplayRun, given: argparse.Namespace) -> ReplaySummary:
    try:
        if is_dbn(given.file):
            return run.play_orders(given.file)
        opened = _open(given)
    except READ_FAULTS as error:
        raise Refused("invalid", str(error)) from error
    try:
        return run.play(opened)
    except KeyboardInterrupt:
        _say("ended before the recording")
        return run.summary
    except ValueError as error:
        raise Refused("invalid", f"{given.file}: {error}") from error
    finally:
        opened.close()


def _open(given: argparse.Namespace) -> Recording:
    return open_recording(
        given.file,
        venue=given.venue,
        use_yes_price=getattr(given, "yes_price", False),
        since=given.since,
        until=given.until,
        whole_sessions=True,
    )


def _told(summary: ReplaySummary, file: Path, seconds: float) -> str:
    span = (summary.last - summary.first) / NANO
    lines = [
        f"{file}: {summary.format}, {summary.venue}" + (f", {', '.join(summary.marks)}" if summary.marks else ""),
        f"{_moment(summary.first)} to {_moment(summary.last)} ({span:.1f} s) in {seconds:.2f} s",
        f"entries      {summary.entries}: {summary.frames} frames ({_size(summary.bytes)}), {summary.answers} answers, "
        f"{summary.connections} connections",
        f"frames       {_counts(summary.frames_by_kind)}",
        f"outputs      {_counts(summary.outputs)}",
        f"markets      {len(summary.markets)}: {_some(summary.markets)}",
        f"gaps         {summary.gaps} ({summary.frames_lost} frames lost, {summary.repeated} repeated, "
        f"{summary.dropped} deltas of stale books dropped)",
    ]
    if summary.checksums:
        lines.append(f"checksums    {summary.checksums}, {summary.checksums_wrong} wrong")
    lines += [
        f"stale        {span.market}: {span.reason} from {_moment(span.begin)} to "
        + ("the end" if span.end is None else _moment(span.end))
        for span in summary.stale_spans[:_SHOWN]
    ]
    if len(summary.stale_spans) > _SHOWN:
        lines.append(f"             … {len(summary.stale_spans) - _SHOWN} more")
    if summary.stale:
        lines.append(f"not current  {_some(summary.stale)}")
    if summary.malformed or summary.unreadable or summary.number_faults:
        lines.append(
            f"faults       {summary.unreadable} unreadable, {summary.malformed} malformed, "
            f"{summary.number_faults} numbers that cannot be held"
        )
    lines += [f"lost         {loss}" for loss in summary.lost]
    if summary.fault:
        lines.append(f"not read on  {summary.fault}")
    return "\n".join(lines)


# -- info and convert --------------------------------------------------------------------------------------------------


def _about(path: Path) -> dict[str, Any]:
    """What a recording holds, from its index, and by reading it once."""
    opened: Recording = RecordingReader(path) if path.is_dir() or is_recording(path) else open_recording(path)
    kinds: dict[str, int] = {"begin": 0, "received": 0, "sent": 0, "answer": 0, "note": 0}
    raw = first = last = 0
    fault = ""
    try:
        for entry in opened:
            kinds[type(entry).__name__.lower()] += 1
            first = first or entry.ts
            last = max(last, entry.ts)
            raw += _raw_bytes(entry)
    except READ_FAULTS as error:
        fault = str(error)
    finally:
        opened.close()
    header = opened.header
    about: dict[str, Any] = {
        "path": str(path),
        "format": opened.format,
        "venue": header.venue,
        "feed": header.feed,
        "channels": list(header.channels),
        "markets": list(header.markets),
        "marks": list(header.marks),
        "first": first,
        "last": last,
        "entries": sum(kinds.values()),
        **kinds,
        "raw_bytes": raw,
        "lost": [str(loss) for loss in opened.lost],
        "fault": fault,
    }
    if isinstance(opened, RecordingReader):
        about["bytes"] = opened.bytes
        about["closed"] = opened.closed
        about["files"] = [
            {"name": file.path.name, "bytes": file.end, "blocks": len(file.blocks), "closed": file.closed}
            for file in opened.files
        ]
    else:
        about["bytes"] = path.stat().st_size
    return about


def _described(about: dict[str, Any]) -> str:
    lines = [
        f"{about['path']}: {about['format']}, {about['venue']}" + (f", feed {about['feed']}" if about["feed"] else ""),
        f"times        {_moment(about['first'])} to {_moment(about['last'])}",
        f"entries      {about['entries']}: {about['received']} received, {about['sent']} sent, "
        f"{about['answer']} answers, {about['begin']} connections, {about['note']} notes",
        f"size         {_size(about['bytes'])} for {_size(about['raw_bytes'])} of the venue's",
    ]
    for name in ("markets", "channels", "marks"):
        if about[name]:
            lines.append(f"{name:<13}{_some(about[name])}")
    lines += [
        f"file         {file['name']}: {file['blocks']} blocks, {_size(file['bytes'])}"
        + ("" if file["closed"] else ", not closed")
        for file in about.get("files", ())
    ]
    lines += [f"lost         {loss}" for loss in about["lost"]]
    if about["fault"]:
        lines.append(f"not read on  {about['fault']}")
    return "\n".join(lines)


def _raw_bytes(entry: Entry) -> int:
    return len(getattr(entry, "raw", b"")) + len(getattr(entry, "body", b""))


def _convert(given: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    if given.out.suffix != SUFFIX:
        raise Refused("invalid", f"{given.out}: its name must end with {SUFFIX}", "out")
    try:
        opened = _open(given)
        entries = (
            entry
            for entry in opened
            if (given.since is None or entry.ts >= given.since or isinstance(opened, RecordingReader))
            and (given.until is None or entry.ts <= given.until)
        )
        count = write_recording(given.out, opened.header, entries, level=_LEVEL)
    except FileExistsError as error:
        raise Refused("conflict", f"{given.out} exists") from error
    except READ_FAULTS as error:
        raise Refused("invalid", str(error)) from error
    lost = [str(loss) for loss in opened.lost]
    size = given.out.stat().st_size
    text = "\n".join([f"{given.out}: {count} entries, {_size(size)}", *(f"lost: {loss}" for loss in lost)])
    return text, {"out": str(given.out), "entries": count, "bytes": size, "lost": lost}


# -- words and numbers -------------------------------------------------------------------------------------------------


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("wb")
    except OSError as error:
        raise Refused("invalid", f"{path}: {error.strerror}", "out") from error


def _moment(ts: int) -> str:
    return rfc3339_text(ts) if ts else "-"


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in counts.items()) or "-"


def _some(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "") or "-"


def _size(count: int) -> str:
    if count < 1_000:
        return f"{count} B"
    return f"{count / 1_000:.0f} kB" if count < 1_000_000 else f"{count / 1_000_000:.1f} MB"


def _seconds(text: str) -> float:
    found = _DURATION.fullmatch(text)
    if found is None or not float(found[1]):
        raise argparse.ArgumentTypeError(f"expected a time such as 60s, 5m or 1h, got {text!r}")
    return float(found[1]) * _UNITS[found[2]]


def _speed(text: str) -> float:
    try:
        speed = float(text)
    except ValueError:
        speed = -1.0
    if not 0 <= speed < float("inf"):
        raise argparse.ArgumentTypeError(f"expected 0 or a positive number, got {text!r}")
    return speed


def _time(text: str) -> int:
    try:
        return int(text) if text.isdecimal() else rfc3339_nanos(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected a time as 2026-01-05T14:30:00Z, or nanoseconds, got {text!r}"
        ) from None


def _intervals(text: str) -> tuple[Interval, ...]:
    try:
        return tuple(parse_interval(name) for name in text.split(",") if name)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
