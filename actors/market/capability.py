"""Markets as a capability: its settings, its branch of the tree, its routes, its rows.

/market                 one for one; a feed that gives up ends alone
├── index               lists markets, answers the probe
├── venue               the simulated venue, where a feed needs it
├── decoder             decodes frames of megabytes in a process of its own
├── budgets/<venue>     the limits of a venue's account, shared by all who call it
├── store, retention    books, trades, bars and instruments in the database, and their clean-up
├── bars, derivatives   what is made of trades, and kept for questions
├── stream              books as they change, for WebSockets
├── instruments         definitions of what can be traded
├── providers           quotes and bars of whoever gives them best, where any are configured
└── <feed>              session and books (`feed_branch`), of one that is divided those of its shards
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from actors.edge.routing import Route
from actors.market import (
    bar_builder,
    derivatives,
    feed_routes,
    instrument_master,
    instrument_routes,
    large_frames,
    orderbook_stream,
    provider_settings,
)
from actors.market import store as market_store
from actors.market.bar_builder import BarSettings
from actors.market.derivatives import DerivativesSettings
from actors.market.feed_branch import Part, feed_spec, has_books, parts
from actors.market.feed_events import FeedEvent
from actors.market.feed_settings import FeedSettings, VenueSettings
from actors.market.importers.opening import recorded_markets
from actors.market.instrument_master import InstrumentSettings
from actors.market.provider_settings import ProviderSettings
from actors.market.recordings.entries import READ_FAULTS
from actors.market.routes import INDEX
from actors.market.routes import routes as market_routes
from actors.market.rows import ROWS as STORED_ROWS
from actors.market.store_settings import StoreSettings
from actors.market.venues import session_class
from actors.storage.location import database_url
from protocols.control import Row
from protocols.market_store import STORE
from protocols.paths import venue_budget
from protocols.providers import PROVIDERS
from runtime import ChildSpec, supervisor
from runtime.capability import Whole
from runtime.cluster.settings import without_cluster
from runtime.settings import Configuration, ConfigurationError, Issue

_SYMBOL: Final[dict[str, Callable[[str], str]]] = {
    "binance": lambda coin: f"{coin}USDT",
    "binance-usdm": lambda coin: f"{coin}USDT",
    "coinbase": lambda coin: f"{coin}-USD",
}
sections: Final[dict[str, Any]] = {
    "feeds": tuple[FeedSettings, ...],
    "venue": VenueSettings,
    "bars": BarSettings,
    "derivatives": DerivativesSettings,
    "store": StoreSettings,
    "instruments": InstrumentSettings,
    "providers": tuple[ProviderSettings, ...],
}


def children(configuration: Configuration, whole: Whole) -> list[ChildSpec]:
    """The branch `/market`. Raises ConfigurationError for feeds that cannot be together."""
    if issues := _placed_issues(configuration):
        raise ConfigurationError(issues)
    try:
        return [
            branch(
                configuration.section("feeds"),
                configuration.section("venue"),
                Path(configuration.section("node").data_dir),
                bars=configuration.section("bars"),
                views=configuration.section("derivatives"),
                store=configuration.section("store"),
                instruments=configuration.section("instruments"),
                providers=configuration.section("providers"),
                database=database_url(configuration),
            )
        ]
    except ValueError as error:
        raise ConfigurationError([Issue("invalid", f"feeds: {error}", "feeds")]) from None


def probes(configuration: Configuration) -> list[tuple[str, str]]:
    """Who answers for all feeds, for what is stored of them, and for the choice of providers."""
    known = [("market", INDEX)]
    if configuration.section("store").enabled:
        known.append(("market_store", STORE))
    if configuration.section("providers"):
        known.append(("providers", PROVIDERS))
    return known


def branch(
    feeds: Sequence[FeedSettings],
    venue: VenueSettings,
    data_dir: Path,
    *,
    bars: BarSettings | None = None,
    views: DerivativesSettings | None = None,
    store: StoreSettings | None = None,
    instruments: InstrumentSettings | None = None,
    providers: Sequence[ProviderSettings] = (),
    database: str = "",
) -> ChildSpec:
    """`/market` with these feeds, and of the rest what has settings.

    Raises ValueError, with the reason, for feeds that cannot be together.
    """
    for feed in feeds:
        _check_key(feed)
    markets = {feed.name: _markets(feed, venue) for feed in feeds}
    if len(markets) < len(feeds):
        raise ValueError("two feeds have the same name")
    # One market has one book: two feeds of it would publish two truths under one key.
    owner: dict[str, str] = {}
    for feed in filter(has_books, feeds):
        for market in markets[feed.name]:
            if owner.setdefault(market, feed.name) != feed.name:
                raise ValueError(f"the market {market!r} is in the feeds {owner[market]!r} and {feed.name!r}")
    # From here on a feed that is divided is its shards.
    own = [part for feed in feeds for part in parts(feed, markets[feed.name])]
    known = {part.name: part.markets for part in own}
    owners = {market: part.name for part in own if has_books(part.feed) for market in part.markets}
    specs = [
        ChildSpec(name="index", actor="actors.market.index:MarketIndex", arguments={"feeds": known, "owners": owners})
    ]
    if venue.serve or any(_own_venue(feed) for feed in feeds):
        specs.append(_venue(feeds, venue, data_dir))
    if any(feed.venue != "replay" for feed in feeds):
        specs += large_frames.specs()
        specs.append(_budgets(feeds))
    asked = _asked(feeds)
    sources = [_source(part) for part in own if part.feed in asked]
    # Whoever listens is there before the first word is said.
    if store is not None:
        urls = {part.name: _public_url(part.feed) for part in own}
        specs += market_store.specs(store, known, urls, database)
    if bars is not None:
        specs += bar_builder.specs(bars)
    if views is not None:
        specs += [*derivatives.specs(views), *orderbook_stream.specs()]
    if instruments is not None:
        specs += instrument_master.specs(instruments, sources)
    specs += provider_settings.specs(providers, [*_real(sources), *_made_up(own)])
    specs += [feed_spec(feed, markets[feed.name]) for feed in feeds]
    return supervisor("market", *specs)


def _public_url(feed: FeedSettings) -> str:
    """Where the feed's venue is; empty for a recording and for this node's own venue."""
    return feed.url or ("" if feed.venue in ("replay", "simulated") else session_class(feed.protocol).URL)


def _own_venue(feed: FeedSettings) -> bool:
    return feed.venue == "simulated" and not feed.url


def _asked(feeds: Sequence[FeedSettings]) -> list[FeedSettings]:
    """Feeds whose venue can be asked over REST: not a recording, nor a simulated venue of somebody else's."""
    live = (feed for feed in feeds if feed.venue != "replay")
    return [feed for feed in live if not feed.url or (feed.rest_url and feed.venue != "simulated")]


def _real(sources: Sequence[instrument_master.InstrumentSource]) -> list[instrument_master.InstrumentSource]:
    return [source for source in sources if not source.simulated]


def _made_up(own: Sequence[Part]) -> list[instrument_master.InstrumentSource]:
    """What a choice of providers has to know of simulated venues, here or elsewhere: whose markets are no real ones."""
    return [
        instrument_master.InstrumentSource(
            feed=part.name, venue=part.feed.protocol, markets=part.markets, simulated=True
        )
        for part in own
        if part.feed.venue == "simulated"
    ]


def _source(part: Part) -> instrument_master.InstrumentSource:
    feed = part.feed
    return instrument_master.InstrumentSource(
        feed=part.name,
        venue=feed.protocol,
        markets=part.markets,
        rest_url=feed.rest_url,
        key_id=feed.key_id,
        key_file=feed.key_file,
        budget=venue_budget(feed.protocol),
        simulated=_own_venue(feed),
    )


def _placed_issues(configuration: Configuration) -> list[Issue]:
    """What cannot be of feeds that are divided or live in workers."""
    issues: list[Issue] = []

    def wrong(index: int, field: str, message: str) -> None:
        key = f"feeds.{index}.{field}"
        issues.append(Issue("invalid", f"{key} ({configuration.source(key)}): {message}", key))

    for index, feed in enumerate(configuration.section("feeds")):
        places = (feed.placement,) if isinstance(feed.placement, str) else feed.placement
        if not places or ("local" in places and len(places) > 1):
            wrong(index, "placement", f"expected 'local', 'process', 'ray' or several of the last two, got {places}")
        elif not feed.sharded:
            continue
        elif feed.venue == "replay":
            field, got = ("shards", str(feed.shards)) if feed.shards > 1 else ("placement", repr(feed.placement))
            wrong(index, field, f"expected {'1' if field == 'shards' else repr('local')} of a replay, got {got}")
        elif feed.record:
            text = "expected none of a feed that is divided or in workers (a recording is what one session of the node"
            wrong(index, "record", f"{text} has heard), got {feed.record!r}")
        elif feed.key_file and "ray" in places:
            text = "expected none of a feed whose placement is 'ray' (a key does not leave this machine)"
            wrong(index, "key_file", f"{text}, got {feed.key_file!r}")
        else:
            issues += without_cluster(configuration, f"feeds.{index}.placement", feed.placement)
    return issues


def _check_key(feed: FeedSettings) -> None:
    if feed.venue in ("simulated", "replay"):
        return
    core = session_class(feed.protocol)
    if core.NEEDS_KEY and not (feed.key_id and feed.key_file):
        raise ValueError(f"the feed {feed.name!r} needs key_id and key_file: {core.VENUE} lets nobody in without")


def _markets(feed: FeedSettings, venue: VenueSettings) -> tuple[str, ...]:
    if feed.venue == "replay":
        if feed.markets:
            return tuple(dict.fromkeys(feed.markets))
        try:
            return recorded_markets(Path(feed.file))
        except READ_FAULTS as error:
            raise ValueError(f"the replay {feed.name!r} cannot read its file: {error}") from None
    names = feed.markets
    if not names and feed.venue == "simulated":
        names = venue.markets if feed.speaks == "kalshi" else tuple(_SYMBOL[feed.speaks](coin) for coin in venue.coins)
    return tuple(dict.fromkeys(session_class(feed.protocol).canonical(name) for name in names))


def _budgets(feeds: Sequence[FeedSettings]) -> ChildSpec:
    """One keeper for each venue's account."""
    venues = sorted({feed.protocol for feed in feeds if feed.venue != "replay"})
    keepers = (
        ChildSpec(
            name=name,
            actor="actors.market.budget_keeper:BudgetKeeper",
            arguments={"venue": name, "limits": [list(each) for each in session_class(name).BUDGETS]},
        )
        for name in venues
    )
    return supervisor("budgets", *keepers)


def _venue(feeds: Sequence[FeedSettings], venue: VenueSettings, data_dir: Path) -> ChildSpec:
    faces = sorted({feed.speaks for feed in feeds if _own_venue(feed)} - {"kalshi"})
    return ChildSpec(
        name="venue",
        actor="actors.market.simulated.venue:SimulatedVenue",
        arguments={
            "markets": venue.markets,
            "key_file": venue.key_file or str(data_dir / "market" / "venue-key.pem"),
            "seed": venue.seed,
            "rate": venue.rate,
            "port": venue.port,
            "warm_up": venue.warm_up,
            "backlog": venue.backlog,
            "ping_s": venue.ping_s,
            "faces": faces,
            "coins": venue.coins,
            "levels": venue.levels,
            "control": venue.control,
        },
    )


routes: list[Route] = [*market_routes, *feed_routes.routes, *instrument_routes.routes]
migrations: str | None = str(Path(__file__).parent / "migrations")
rows: tuple[type[Row], ...] = (FeedEvent, *STORED_ROWS)
commands: dict[str, str] = {
    "venue": "actors.market.simulated.commands:venue",
    "data": "actors.market.history_commands:data",
    "record": "actors.market.recordings.commands:record",
    "replay": "actors.market.recordings.commands:replay",
    "recording": "actors.market.recordings.commands:recording",
    "archive": "actors.market.archive_command:market_archive",
}
