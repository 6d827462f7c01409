"""`bin/troupe archive`: clean up stored market data now, and look at an archive of it."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import trio

from actors.market.archive import ReadReport, read_books
from actors.market.book import Book, Gap
from actors.market.retention_job import CleanUpReport, RetentionPlan, clean_up, export_all
from actors.market.store_settings import StoreSettings
from actors.market.stored_messages import BrokenChain
from actors.storage.binaries import NoServer
from actors.storage.embedded import ClusterLocked, EmbeddedServer
from actors.storage.location import SECTION, database_url, server_folder
from protocols.control import Refused
from runtime.process import NotReady, ProcessExited
from runtime.settings import Configuration

SHOWN = 10
Work = Callable[[RetentionPlan], Coroutine[Any, Any, CleanUpReport]]


def market_archive(arguments: Sequence[str], configuration: Configuration | None) -> tuple[str, dict[str, Any]]:
    """Move old market data out of the database into compressed Parquet, and check what was moved.

    Raises Refused for an archive that is not one, ConnectionError if the database does not answer.
    """
    given = _parser().parse_args(arguments)
    assert configuration is not None
    if given.verb == "check":
        return _check(Path(given.folder), given.day, given.market)
    settings: StoreSettings = configuration.section("store")
    days = settings.days()
    work = export_all if given.verb == "export" else clean_up
    if given.verb == "now" and given.keep is not None:
        if given.keep < 1:
            raise Refused("invalid", f"at least one day is kept, got {given.keep}", "keep")
        days = {table: given.keep if kept else 0 for table, kept in days.items()}
    plan = RetentionPlan(
        url=database_url(configuration),
        days=days,
        days_ahead=settings.days_ahead,
        archive=str(Path(given.to).absolute()) if given.to else settings.archive,
    )
    try:
        report = trio.run(_with_database, work, plan, configuration)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, NoServer, ClusterLocked, NotReady, ProcessExited) as error:
        raise ConnectionError(str(error)) from error
    lines = [] if work is export_all else [f"{report.made} partitions made, {len(report.removed)} removed"]
    lines.append(f"{report.archived_rows} rows archived in {report.archived_bytes} bytes")
    lines += [f"not done: {fault}" for fault in report.faults]
    return "\n".join(lines), msgspec.to_builtins(report)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="troupe archive", description=(market_archive.__doc__ or "").partition("\n")[0]
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    now = verbs.add_parser("now", help="make partitions, and archive and remove what is no longer kept; a node may run")
    now.add_argument("--to", metavar="DIR", help="the archive (default: store.archive; without one, data is deleted)")
    now.add_argument("--keep", type=int, metavar="DAYS", help="keep so many days of whatever is not kept for ever")
    copy = verbs.add_parser("export", help="write all that is stored in the form of an archive, and remove nothing")
    copy.add_argument("to", metavar="DIR")
    check = verbs.add_parser("check", help="read the books of an archive, message by message")
    check.add_argument("folder", metavar="DIR")
    check.add_argument("--day", action="append", default=[], metavar="YYYYMMDD", help="only this day; may be repeated")
    check.add_argument("--market", action="append", default=[], metavar="M", help="only this market; may be repeated")
    return parser


async def _with_database(work: Work, plan: RetentionPlan, configuration: Configuration) -> CleanUpReport:
    """Do it on the server that runs, or on one that is started for it."""
    try:
        return await trio.to_thread.run_sync(_call, work, plan)
    except (FileNotFoundError, ConnectionRefusedError):
        if configuration.section(SECTION).url is not None:
            raise
    server = EmbeddedServer(server_folder(configuration), configuration.section(SECTION).user)
    async with server.running():
        return await trio.to_thread.run_sync(_call, work, plan)


def _call(work: Work, plan: RetentionPlan) -> CleanUpReport:
    return asyncio.run(work(plan))


def _check(folder: Path, days: Sequence[str], markets: Sequence[str]) -> tuple[str, dict[str, Any]]:
    report = ReadReport()
    books: dict[str, Book] = {}
    try:
        for update in read_books(folder, days, markets, report):
            book = books.get(update.market)
            if book is None:
                book = books[update.market] = Book(update.market)
                book.set_phase("auction")  # what was stored may cross, as the venue's auctions do
            book.apply(update)
    except FileNotFoundError as error:
        raise Refused("not_found", str(error)) from error
    except (BrokenChain, Gap) as error:
        raise Refused("damaged", str(error)) from error
    lines = [
        f"sessions  {report.books}",
        f"messages  {report.messages}",
        f"left out  {report.orphans} that belong to a whole book of an earlier day",
        *(f"{market:30} {count}" for market, count in report.markets.most_common(SHOWN)),
    ]
    if len(report.markets) > SHOWN:
        lines.append(f"and {len(report.markets) - SHOWN} more markets")
    return "\n".join(lines), msgspec.to_builtins(report)
