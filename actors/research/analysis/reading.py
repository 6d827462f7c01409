"""What a command's RUN, LIVE or ACCOUNT names, and the order log, prices and settings that it stands for.

a file      a journal (`troupe journal ACCOUNT export`), an order log (`troupe backtest --orders`), a report
a folder    of a backtest of a node: report.msgpack and orders.jsonl
a word      a backtest of the node's data folder by its id, else an account: of the running node over HTTP, of a
            node that does not run out of its database and log
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import quote

import httpx
import msgspec

from actors.research.analysis.account_record import AccountRecord, of_replay
from actors.research.analysis.data_clock import DataClock
from actors.research.analysis.journal_file import Journal, JournalFileError, is_journal, open_lines, read_journal
from actors.research.analysis.journal_replay import JournalBroken, Observer, Replayed, replay
from actors.research.analysis.market_track import Prices, Watcher
from actors.research.analysis.order_log import LogBroken, read_events
from actors.research.analysis.stored_rows import KINDS, STREAMS, Kind, Opened, RowsMissing, StoredAccount
from actors.research.backtest.job_lines import ORDERS, REPORT
from actors.research.backtest.jobs import FOLDER
from actors.research.backtest.report import Report, decode
from protocols.control import Refused
from protocols.orders import OrderEvent
from runtime.settings import Configuration

ASK_S: Final = 30.0
PAGE: Final = 200
READ_IN: Final[tuple[Kind, ...]] = ("orders", "fills", "trades", "verdicts", "equity", "ledger", "inputs")
RUN_KINDS: Final[tuple[Kind, ...]] = ("inputs", "orders", "fills")


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """What a name stands for. `events`: its order log. `report`: of a backtest; `stored`, `journal`: of an account."""

    name: str
    kind: Literal["backtest", "orders", "journal", "account"]
    events: tuple[OrderEvent, ...] = ()
    report: Report | None = None
    journal: Journal | None = None
    stored: StoredAccount | None = None

    @property
    def title(self) -> str:
        """How it is called in an answer."""
        return f"{self.kind} {self.name}"

    def replayed(self, *observers: Observer) -> tuple[Replayed, Prices] | None:
        """Its journal through a fresh engine, with the prices that it was given; None: it has no journal."""
        if self.journal is None:
            return None
        watcher = Watcher()
        try:
            found = replay(self.journal.head.engine, self.journal.rows, observers=(watcher, *observers))
        except JournalBroken as error:
            raise Refused("unreadable", str(error), self.kind) from None
        return found, watcher.prices

    def by_data(self) -> tuple[OrderEvent, ...]:
        """Its order log by the time of the data that it was given, where that is another (a replay)."""
        clock = DataClock()
        if self.replayed(clock) is None or not clock.apart:
            return self.events
        return tuple(clock.events(self.events))

    def record(self) -> AccountRecord:
        """An account's history. Raises Refused for what is none."""
        if self.stored is not None:
            return self.stored.record()
        if self.journal is None:
            raise Refused("invalid", f"{self.title} is no account: expected one, or its journal", "run")
        found = self.replayed()
        assert found is not None
        return of_replay(found[0], name=self.journal.head.name, mode=self.journal.head.mode)


def named(
    text: str, configuration: Configuration, *, field: str = "run", url: str = "", kinds: Iterable[Kind] = RUN_KINDS
) -> Named:
    """What a name stands for. Raises Refused `not_found`, `unreadable`, ConnectionError."""
    path = Path(text)
    try:
        if path.is_dir() and ("/" in text or any((path / name).is_file() for name in (REPORT, ORDERS))):
            return _backtest(path, text, field)
        if path.is_file():
            return _file(path, text)
        folder = Path(configuration.section("node").data_dir) / FOLDER / text
        if "/" not in text and folder.is_dir():
            return _backtest(folder, text, field)
        return _account(text, configuration, url, kinds)
    except (LogBroken, JournalFileError, RowsMissing, OSError, msgspec.DecodeError) as error:
        if isinstance(error, ConnectionError):
            raise
        raise Refused("unreadable", str(error), field) from None


def _backtest(folder: Path, text: str, field: str) -> Named:
    if not (folder / REPORT).is_file() and not (folder / ORDERS).is_file():
        raise Refused("not_found", f"{folder} holds neither {REPORT} nor {ORDERS}", field)
    report = decode((folder / REPORT).read_bytes()) if (folder / REPORT).is_file() else None
    return Named(name=text, kind="backtest", events=_events(folder / ORDERS), report=report)


def _file(path: Path, text: str) -> Named:
    if path.name == REPORT or path.suffix == ".msgpack":
        return Named(name=text, kind="backtest", report=decode(path.read_bytes()), events=_events(path.parent / ORDERS))
    if is_journal(path):
        journal = read_journal(path)
        return Named(name=text, kind="journal", journal=journal, events=journal.events)
    return Named(name=text, kind="orders", events=_events(path))


def _events(path: Path) -> tuple[OrderEvent, ...]:
    if not path.is_file():
        return ()
    with open_lines(path) as file:
        try:
            return tuple(read_events(file))
        except LogBroken as error:
            raise LogBroken(f"{path}: {error}") from None


# -- accounts ------------------------------------------------------------------------------------------------------


def _account(text: str, configuration: Configuration, url: str, kinds: Iterable[Kind]) -> Named:
    stored = stored_account(text, configuration, url=url, kinds=kinds)
    journal = stored.journal(time.time_ns()) if stored.inputs else None
    return Named(name=text, kind="account", events=stored.events(), stored=stored, journal=journal)


def stored_account(
    account: str, configuration: Configuration, *, url: str = "", kinds: Iterable[Kind] = KINDS
) -> StoredAccount:
    """An account's rows, from the node if one runs. Raises Refused, RowsMissing, ConnectionError."""
    # What comes of an input is written behind it: read the other way round, every event has its input.
    wanted = sorted(kinds, key=READ_IN.index)
    node = url or node_url(Path(configuration.section("node").data_dir))
    if node:
        return _over_http(node.rstrip("/"), account, wanted)
    from actors.research.analysis.offline_rows import read_offline

    return read_offline(configuration, account, wanted)


class _NodeFile(msgspec.Struct):
    url: str
    pid: int


def node_url(folder: Path) -> str:
    """The address of the node that runs on a data folder; empty: none does."""
    try:
        told = msgspec.json.decode((folder / "node.json").read_bytes(), type=_NodeFile)
    except (OSError, msgspec.DecodeError):
        return ""
    return told.url if Path(f"/proc/{told.pid}").exists() else ""


class _Page(msgspec.Struct):
    rows: tuple[msgspec.Raw, ...]
    next: int | None
    opened: Opened | None = None


def _over_http(url: str, account: str, kinds: Iterable[Kind]) -> StoredAccount:
    found: dict[str, Any] = {}
    opened: Opened | None = None
    with httpx.Client(base_url=url, timeout=ASK_S, trust_env=False) as client:
        for kind in kinds:
            rows: list[Any] = []
            after: int | None = 0
            while after is not None:
                page = _page(client, account, kind, after)
                rows += [msgspec.json.decode(row, type=STREAMS[kind].row) for row in page.rows]
                after = page.next
                opened = page.opened or opened
            found[kind] = rows
    assert opened is not None
    return StoredAccount(opened=opened, live=True, **found)


def _page(client: httpx.Client, account: str, kind: Kind, after: int) -> _Page:
    path = f"/api/v1/accounts/{quote(account, safe='')}/journal"
    try:
        answer = client.get(path, params={"kind": kind, "after": after, "limit": PAGE})
    except httpx.HTTPError as error:
        raise ConnectionError(f"the node at {client.base_url} does not answer: {error}") from error
    if answer.status_code >= 400:
        try:
            told = answer.json()["error"]
        except (ValueError, KeyError, TypeError):
            raise ConnectionError(f"{answer.url} answered {answer.status_code}") from None
        raise Refused(told["code"], told["message"], told.get("field"))
    return msgspec.json.decode(answer.content, type=_Page)
