"""`bin/troupe data`: download the history that venues offer, and show what is there."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import trio

from actors.market.history import Span
from actors.market.history_client import HistoryClient, rest_of
from actors.market.history_download import Download, Progress
from actors.market.history_files import History, HistoryError
from actors.market.history_listing import describe, histories, lines_of, time_text
from actors.market.rest_client import CallFailed
from actors.market.session_core import Credentials
from actors.market.venue_rest import VenueRest
from actors.market.venues import VENUES, session_class
from protocols.control import Refused
from protocols.venues.errors import VenueError
from runtime.clock import SystemClock
from runtime.settings import Configuration

NANO: Final = 1_000_000_000


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
    parser = argparse.ArgumentParser(
        prog="troupe data",
        description=(data.__doc__ or "").partition("\n")[0],
        epilog="Data sets: troupe data import, show and validate, each with --help.",
    )
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
        lines, described = histories(root)
    except HistoryError as error:
        raise Refused("damaged", str(error)) from error
    return "\n".join(lines), {"folder": str(root), "histories": described}


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
    text = "\n".join(line for each in described for line in lines_of(each))
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
            f"{progress.market}: part {progress.done + 1} of {progress.spans}, from {time_text(progress.span.start)}, "
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
