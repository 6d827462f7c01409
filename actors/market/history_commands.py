"""`bin/troupe data`: download the history that venues offer, and show what is there."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import trio

from actors.market.history import Hole, Manifest, Span
from actors.market.history_client import HistoryClient, rest_of
from actors.market.history_download import Download, Progress
from actors.market.history_files import History, HistoryError, manifests
from actors.market.rest_client import CallFailed
from actors.market.session_core import Credentials
from actors.market.venue_rest import VenueRest
from actors.market.venues import VENUES, session_class
from protocols.control import Refused
from protocols.venues.errors import VenueError
from runtime.clock import SystemClock
from runtime.settings import Configuration

NANO: Final = 1_000_000_000
SHOWN_HOLES: Final = 10
LATER: Final = 10 * 86_400 * NANO
"""A history that begins so much after what was asked for is not just a holiday."""


def data(arguments: Sequence[str], configuration: Configuration | None) -> tuple[str, dict[str, Any]]:
    """Download bars, trades and funding rates from venues, and list what is there.

    Raises Refused for what the venue does not offer or grant, ConnectionError where it does not answer.
    """
    given = _parser().parse_args(arguments)
    assert configuration is not None
    root = Path(given.out) if given.out else Path(configuration.section("node").data_dir) / "history"
    if given.verb == "list":
        return _list(root)
    return _download(given, root, configuration)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="troupe data", description=(data.__doc__ or "").partition("\n")[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    get = verbs.add_parser("download", help="get what is missing of a span; run again, it goes on where it was")
    get.add_argument("venue", metavar="VENUE", help=f"one of {', '.join(sorted(VENUES))}")
    get.add_argument("markets", metavar="MARKET", nargs="+", help="the venue's symbol, or our name of it")
    get.add_argument("--kind", choices=("bars", "trades", "funding"), default="bars", help="what to get (bars)")
    get.add_argument("--interval", default="1m", metavar="I", help="of bars: 1m, 1h, 1d, as the venue has them (1m)")
    get.add_argument("--from", dest="start", required=True, metavar="DATE", help="2024-01-31, or a time; UTC")
    get.add_argument("--to", dest="end", metavar="DATE", help="the end, not included (default: now)")
    get.add_argument("--base-url", default="", metavar="URL", help="another address of the venue's REST interface")
    get.add_argument("--key-id", default="", metavar="ID", help="the id of the account's key")
    get.add_argument("--key-file", metavar="FILE", help="its key or secret (default: that of the venue's feed)")
    show = verbs.add_parser("list", help="what is there, and its holes")
    for each in (get, show):
        each.add_argument("--out", metavar="DIR", help="where it lies (default: history/ in the data folder)")
    return parser


# -- list ----------------------------------------------------------------------------------------------------


def _list(root: Path) -> tuple[str, dict[str, Any]]:
    try:
        found = manifests(root)
    except HistoryError as error:
        raise Refused("damaged", str(error)) from error
    described = [describe(manifest, folder) for folder, manifest in found]
    if not described:
        return f"no history in {root}", {"folder": str(root), "histories": []}
    text = "\n".join(line for each in described for line in _lines(each))
    return text, {"folder": str(root), "histories": described}


def describe(manifest: Manifest, folder: Path, wanted: Span | None = None) -> dict[str, Any]:
    """What is there of a history, for people and programs. `wanted`: with what is missing of it."""
    firsts = [part.first for part in manifest.parts if part.first is not None]
    lasts = [part.last for part in manifest.parts if part.last is not None]
    holes = manifest.holes()
    return {
        "venue": manifest.venue,
        "market": manifest.market,
        "kind": manifest.kind,
        "interval": manifest.interval,
        "folder": str(folder),
        "parts": len(manifest.parts),
        "rows": manifest.rows,
        "bytes": sum(part.bytes for part in manifest.parts),
        "first": _text(min(firsts)) if firsts else None,
        "last": _text(max(lasts)) if lasts else None,
        "begins_later": bool(firsts) and min(firsts) - manifest.parts[0].start > LATER,
        "covered": [[_text(span.start), _text(span.end)] for span in _joined(manifest)],
        "missing": [] if wanted is None else [[_text(s), _text(e)] for s, e in manifest.missing(wanted)],
        "holes": [_hole(hole) for hole in holes],
        "rows_in_holes": sum(hole.missing for hole in holes),
        "quiet": sum(part.quiet for part in manifest.parts),
        "marks": list(manifest.marks),
    }


def _joined(manifest: Manifest) -> list[Span]:
    """Spans that parts cover, those that touch as one."""
    found: list[Span] = []
    for part in manifest.parts:
        if found and found[-1].end == part.start:
            found[-1] = Span(found[-1].start, part.end)
        else:
            found.append(part.span)
    return found


def _hole(hole: Hole) -> dict[str, Any]:
    return {"start": _text(hole.start), "end": _text(hole.end), "missing": hole.missing, "why": hole.why}


def _lines(described: dict[str, Any]) -> Iterable[str]:
    what = " ".join(filter(None, (described["venue"], described["market"], described["kind"], described["interval"])))
    span = f"{described['first']} .. {described['last']}" if described["rows"] else "nothing"
    yield f"{what}: {described['rows']} rows in {described['parts']} parts, {span}"
    for hole in described["holes"][:SHOWN_HOLES]:
        yield f"  hole {hole['start']} .. {hole['end']}: {hole['missing']} ({hole['why']})"
    if len(described["holes"]) > SHOWN_HOLES:
        yield f"  and {len(described['holes']) - SHOWN_HOLES} more holes"
    if described["begins_later"]:
        yield f"  the venue has nothing before {described['first']}"
    if described["quiet"]:
        yield f"  {described['quiet']} bars are absent that the venue leaves out when nothing is traded: no holes"
    for start, end in described["missing"]:
        yield f"  not there yet: {start} .. {end}"


# -- download ------------------------------------------------------------------------------------------------


def _download(given: argparse.Namespace, root: Path, configuration: Configuration) -> tuple[str, dict[str, Any]]:
    clock = SystemClock()
    start = _time(given.start, "from")
    end = clock.now() if given.end is None else _time(given.end, "to")
    if start >= end:
        raise Refused("invalid", "the span is empty: --from is not before --to", "from")
    try:
        rest = rest_of(given.venue, _credentials(given, configuration))
        markets = [session_class(given.venue).canonical(name) for name in given.markets]
    except ValueError as error:
        raise Refused("invalid", str(error), "venue") from None
    _offered(rest, given)
    histories = [History(root, given.venue, market, given.kind, given.interval) for market in markets]
    wanted = Span(start, end)
    talk = _Talk()

    async def run() -> list[dict[str, Any]]:
        described: list[dict[str, Any]] = []
        async with HistoryClient(rest, given.base_url, clock, told=talk.say) as client:
            for history in histories:
                download = Download(client, history, talk.progress)
                manifest = await download.run(wanted)
                described.append(describe(manifest, history.folder, wanted) | {"rows_added": download.rows})
                talk.end()
        return described

    try:
        described = trio.run(run)
    except VenueError as error:
        raise Refused("not_found" if error.status == 404 else "venue", str(error)) from error
    except CallFailed as error:
        raise ConnectionError(f"the venue does not answer: {error}") from error
    except HistoryError as error:
        raise Refused("conflict", str(error)) from error
    except ValueError as error:
        raise Refused("invalid", str(error)) from error
    finally:
        talk.end()
    text = "\n".join(line for each in described for line in _lines(each))
    return text, {"folder": str(root), "histories": described}


def _offered(rest: VenueRest, given: argparse.Namespace) -> None:
    if given.kind not in rest.KINDS:
        offered = ", ".join(sorted(rest.KINDS)) or "nothing"
        raise Refused("invalid", f"{given.venue} offers {offered}, not {given.kind}", "kind")
    if given.kind == "bars" and given.interval not in rest.INTERVALS:
        offered = ", ".join(rest.INTERVALS)
        raise Refused("invalid", f"{given.venue} has bars of {offered}, not {given.interval!r}", "interval")


def _credentials(given: argparse.Namespace, configuration: Configuration) -> Credentials | None:
    """The key that was named, or that of the first feed of this venue that has one."""
    key_id, file = given.key_id, given.key_file
    if file is None:
        for feed in configuration.section("feeds"):
            if feed.protocol == given.venue and feed.key_file:
                key_id, file = key_id or feed.key_id, feed.key_file
                break
    if not file:
        return None
    try:
        return Credentials(key_id, Path(file).read_bytes())
    except OSError as error:
        raise Refused("invalid", f"the key cannot be read: {error}", "key_file") from None


class _Talk:
    """Progress on standard error: one line that is written over on a terminal, a line for each part elsewhere."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._open = False
        self._last: tuple[str, int] | None = None

    def progress(self, progress: Progress) -> None:
        """A page has come, or is asked for."""
        text = (
            f"{progress.market}: part {progress.done + 1} of {progress.spans}, from {_text(progress.span.start)}, "
            f"{progress.rows} rows, {progress.calls} calls"
        )
        if self._live:
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
            self._open = True
        elif self._last != (progress.market, progress.done):
            self._last = (progress.market, progress.done)
            print(text, file=sys.stderr, flush=True)

    def say(self, why: str) -> None:
        """It waits."""
        self.end()
        print(why, file=sys.stderr, flush=True)

    def end(self) -> None:
        """What comes next begins a line."""
        if self._open:
            print(file=sys.stderr, flush=True)
            self._open = False


def _time(text: str, field: str) -> int:
    """Nanoseconds of a date or time; UTC where it names no zone. Raises Refused."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise Refused("invalid", f"expected a date such as 2024-01-31, got {text!r}", field) from None
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
    return int(at.timestamp()) * NANO


def _text(ts: int) -> str:
    seconds, fraction = divmod(ts, NANO)
    whole = f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"
    return f"{whole}.{fraction:09d}Z".replace(".000000000Z", "Z")
