"""The actor that knows what can be traded: it asks the venues, hears the sessions, remembers, and tells of changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

import msgspec
import trio

from actors.market.access import Account, find
from actors.market.connection import NotConnected
from actors.market.history_client import HistoryClient, rest_of
from actors.market.instruments import InstrumentVersions
from actors.market.rest_client import CallFailed
from actors.market.venues import session_class
from protocols.control import Lagged, Message, Probe, ProbeReport, Refused, Unknown
from protocols.instruments import MOST_LISTED, GetInstrument, Instrument, InstrumentPage, ListInstruments
from protocols.market import FeedMarkets
from protocols.paths import QUERIES
from protocols.storage import PAGE, DatabaseReady, QueryResult, RunQuery
from protocols.venues.errors import VenueError
from runtime import Actor, ChildSpec, Mailbox, receive

WITHOUT_INSTRUMENTS: Final = frozenset({"alphavantage"})
"""Venues that offer a history and do not say what their symbols are."""
_LOAD_S: Final = 10.0
_COLUMNS: Final = ", ".join(f'"{name}"' for name in Instrument.__struct_fields__)


class InstrumentSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[instruments]`: where definitions of what can be traded come from. Times in seconds."""

    refresh: bool = True
    """Ask the venues of the feeds for the definitions of their markets. Without, only what sessions say is known."""
    refresh_s: Annotated[float, msgspec.Meta(gt=0)] = 3600.0
    """How often they are asked again."""
    retry_s: Annotated[float, msgspec.Meta(gt=0)] = 30.0
    """How soon a venue that could not be asked is asked again."""
    whole_lists: bool = False
    """Ask for all that a venue has, and not for the feeds' markets alone. Thousands, at some venues."""


class InstrumentSource(msgspec.Struct, frozen=True, kw_only=True):
    """A venue to be asked, for a feed: its word, the feed's markets, and where and with which key to ask.

    `rest_url` empty: the venue's own. `key_file`: the key or secret of `key_id`. `budget`: the path of the keeper of
    the account's limits; empty: the venue's usual limits are kept for these calls alone. `feed`: its name.
    `simulated`: this node's own venue, which has to be asked where it is.
    """

    venue: str
    markets: tuple[str, ...] = ()
    rest_url: str = ""
    key_id: str = ""
    key_file: str = ""
    budget: str = ""
    feed: str = ""
    simulated: bool = False


def specs(settings: InstrumentSettings, sources: Sequence[InstrumentSource] = ()) -> list[ChildSpec]:
    """The instrument master, at `/market/instruments`."""
    asked = [source for source in sources if settings.refresh and source.venue not in WITHOUT_INSTRUMENTS]
    asked = [source for source in asked if session_class(source.venue).REST]
    return [
        ChildSpec(
            name="instruments",
            actor="actors.market.instrument_master:InstrumentMaster",
            arguments={
                "sources": [msgspec.to_builtins(source) for source in asked],
                "refresh_s": settings.refresh_s,
                "retry_s": settings.retry_s,
                "whole_lists": settings.whole_lists,
            },
        )
    ]


class _Learned(Message, frozen=True, gc=False, tag="instruments_learned"):
    instruments: tuple[Instrument, ...]


class _Asked(Message, frozen=True, gc=False, tag="instruments_asked"):
    source: str
    trouble: str


class InstrumentMaster(Actor):
    """Publishes an `Instrument` when a definition changed; answers what a market was at any time.

    `sources`: fields of `InstrumentSource`. Each is asked at the start, every `refresh_s`, and `retry_s` after a
    failure. Restarted, it reads what it knew from the table `instruments`; without a database it begins empty, and
    the versions of before are known again when the database is there.
    """

    mailbox = Mailbox(capacity=8192)

    def __init__(
        self,
        sources: Sequence[Mapping[str, Any]] = (),
        refresh_s: float = 3600.0,
        retry_s: float = 30.0,
        whole_lists: bool = False,
    ) -> None:
        self.sources = tuple(msgspec.convert(source, InstrumentSource) for source in sources)
        self.refresh_s = refresh_s
        self.retry_s = retry_s
        self.whole_lists = whole_lists
        self.versions = InstrumentVersions()
        self.changes = 0
        self.lost = 0
        self.loaded = False
        self.troubles: dict[str, str] = {}
        self.followed: dict[str, frozenset[str]] = {}

    def on_start(self) -> None:
        """Hear what sessions say, and when the database comes."""
        self.subscribe(Instrument)
        self.subscribe(FeedMarkets)
        self.subscribe(DatabaseReady)

    async def on_continue(self) -> None:
        """Read what was known, then begin to ask."""
        await self._load()
        for source in self.sources:
            self.spawn(self._refresh_for_ever, source, name=f"refresh-{source.venue}")

    # -- what is asked ---------------------------------------------------------------------------------

    @receive
    def get(self, request: GetInstrument) -> Instrument:
        """What a market was at a time."""
        found = self.versions.at(request.market, request.at)
        if found is None:
            when = "" if request.at is None or not self.versions.versions(request.market) else " at that time"
            raise Refused("not_found", f"no definition of {request.market!r} is known{when}", "market")
        return found

    @receive
    def list(self, request: ListInstruments) -> InstrumentPage:
        """What can be traded now."""
        limit = max(1, min(request.limit, MOST_LISTED))
        found, more = self.versions.page(request.venue, request.kind, request.after, limit)
        return InstrumentPage(found, more)

    @receive
    def probe(self, request: Probe) -> ProbeReport:
        """Degraded while a venue cannot be asked."""
        troubles = [f"{venue}: {trouble}" for venue, trouble in sorted(self.troubles.items()) if trouble]
        return ProbeReport(
            status="degraded" if troubles else "ok",
            detail="; ".join(troubles),
            figures=(
                ("instruments", len(self.versions)),
                ("changes", self.changes),
                ("lost", self.lost),
                ("read from the database", self.loaded),
            ),
        )

    # -- what is learnt --------------------------------------------------------------------------------

    @receive
    def heard(self, message: Instrument) -> None:
        """From a session, or our own. Whoever subscribes has heard it, unless it lacked its time."""
        version = self.versions.learn(message, self.clock.now())
        if version is not None:
            self.changes += 1
            if version.valid_from != message.valid_from:
                self.publish(version)

    @receive
    def learned(self, message: _Learned) -> None:
        """From a venue's endpoint."""
        now = self.clock.now()
        for definition in message.instruments:
            version = self.versions.learn(definition, now)
            if version is not None:
                self.changes += 1
                self.publish(version)

    @receive
    def lagged(self, message: Lagged) -> None:
        """What a session said was lost; the next refresh says it again."""
        self.lost += 1

    @receive
    def feed_markets(self, message: FeedMarkets) -> None:
        """A feed follows other markets: ask what they are."""
        before = self.followed.get(message.feed, frozenset())
        self.followed[message.feed] = frozenset(message.markets)
        for source in self.sources:
            if source.feed == message.feed:
                new = self.followed[message.feed] - before - frozenset(source.markets)
                if new:
                    asked = msgspec.structs.replace(source, markets=tuple(sorted(new)))
                    self.spawn(self._refresh_once, asked, name=f"refresh-{source.venue}")

    @receive
    def asked(self, message: _Asked) -> None:
        """How asking a venue went."""
        self.troubles[message.source] = message.trouble
        if message.trouble:
            self.logger.warning("instruments cannot be read", venue=message.source, why=message.trouble)

    @receive
    async def database_ready(self, message: DatabaseReady) -> None:
        """Now it can be read, if it could not be before."""
        if not self.loaded:
            await self._load()

    async def _load(self) -> None:
        after, since = "", -1
        while True:
            try:
                answer = await self.lookup(QUERIES).ask(stored_page(after, since), timeout=_LOAD_S)
                found = stored_instruments(answer)
            except (Refused, Unknown, msgspec.ValidationError) as error:
                self.logger.info("no instruments were read from the database", why=str(error))
                return
            self.versions.load(found)
            if not answer.more:
                break
            after, since = found[-1].market, found[-1].valid_from
        self.loaded = True

    async def _refresh_for_ever(self, source: InstrumentSource) -> None:
        while True:
            more = self.followed.get(source.feed, frozenset()) - frozenset(source.markets)
            whole = msgspec.structs.replace(source, markets=(*source.markets, *sorted(more)))
            trouble = await self._refresh_once(whole)
            await trio.sleep(self.retry_s if trouble else self.refresh_s)

    async def _refresh_once(self, source: InstrumentSource) -> str:
        """Ask one venue; what went wrong, or nothing."""
        try:
            await self._refresh(source)
        except (NotConnected, CallFailed, VenueError, OSError, ValueError) as error:
            trouble = f"{type(error).__name__}: {error}"
        else:
            trouble = ""
        await self.ref.send(_Asked(source.venue, trouble), timeout=60.0)
        return trouble

    async def _refresh(self, source: InstrumentSource) -> None:
        """Ask one venue for all pages. Raises what the client and the venue raise."""
        if not self.whole_lists and not source.markets:
            return
        account = Account(source.venue, "", source.rest_url, source.simulated, source.key_id, source.key_file)
        access = await find(self, account)
        marks = tuple(sorted(access.marks))
        rest = rest_of(source.venue, access.credentials)
        call = rest.instruments(() if self.whole_lists else source.markets)
        budget = self.lookup(source.budget) if source.budget else None
        async with HistoryClient(rest, access.rest_url, self.clock, budget) as client:
            while True:
                found, following = await client.ask(call, rest.read_instruments)
                if marks:
                    found = tuple(msgspec.structs.replace(each, marks=marks) for each in found)
                await self.ref.send(_Learned(found), timeout=60.0)
                if following is None:
                    return
                call = following


def stored_page(market: str, valid_from: int) -> RunQuery:
    """Asks for the versions behind this one, by market and time."""
    return RunQuery(
        f"SELECT {_COLUMNS} FROM instruments WHERE (market, valid_from) > ($1, $2) "  # noqa: S608 - our names
        "ORDER BY market, valid_from, id",
        (market, valid_from),
        limit=PAGE,
        timeout_s=_LOAD_S,
    )


def stored_instruments(answer: QueryResult) -> tuple[Instrument, ...]:
    """Definitions out of rows of the table. Raises msgspec.ValidationError."""
    named = [dict(zip(answer.columns, fields, strict=True)) for fields in answer.rows]
    return msgspec.json.decode(
        msgspec.json.encode([{"type": "instrument", **each} for each in named]), type=tuple[Instrument, ...]
    )
