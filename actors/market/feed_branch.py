"""A feed's branch of the tree, whole or divided.

/market/<feed>          transient; one for one: a book or a session that crashes is repaired by itself
├── books               one for one, started first so that no snapshot finds nobody
│   └── <MARKET>        a book keeper; restarted, it asks the session for a snapshot
├── session             restarted, it says that no book is current, and connects anew
└── discovery           where markets are to be found

A feed that is divided, or lives in workers, has the same once for each shard:

/market/<feed>
├── session             stands for the sessions of the shards; says what has become of one whose worker is gone
├── <number>            transient; in a worker of its own, if the feed is placed there
│   ├── decoder         where the venue sends frames of megabytes
│   ├── books
│   │   └── <MARKET>
│   └── session
└── discovery

A market's shard is drawn by its name (rendezvous hashing), so a market stays where it is while others come and go, and
with one shard more about one market in n moves, to the new one. To everybody else a shard is a feed by the name
`<feed>/<number>`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from actors.market import large_frames
from actors.market.feed_settings import FeedSettings
from actors.market.feed_tree import keeper_spec
from actors.market.session_core import BOOK
from actors.market.venues import session_class
from protocols.market import SYNTHETIC
from protocols.paths import LARGE_FRAMES, MARKET, feed_book, feed_session, feed_shard
from runtime import Backoff, ChildSpec, Restart, RestartLimit, supervisor
from runtime.hashing import assign

LIMIT: Final = RestartLimit(count=5, seconds=10.0)
# A shard that never comes up again is tried for ever, about once in a second: it takes no other with it.
_BACKOFF: Final = Backoff(first_s=0.1, most_s=1.0)
_SHARD_RESTARTS: Final = 6


class Part(NamedTuple):
    """What of a feed has one session: all of it, or a shard. `name`: what the session calls itself."""

    name: str
    feed: FeedSettings
    markets: tuple[str, ...]


def parts(feed: FeedSettings, markets: Sequence[str]) -> list[Part]:
    """A feed's parts: itself, or its shards."""
    if not feed.sharded:
        return [Part(feed.name, feed, tuple(markets))]
    return [Part(name, feed, owned) for name, owned in divided(shard_names(feed.name, feed.shards), markets).items()]


def shard_names(feed: str, shards: int) -> tuple[str, ...]:
    """What a feed's shards are called."""
    return tuple(feed_shard(feed, number) for number in range(shards))


def divided(shards: Iterable[str], markets: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Each shard with its markets, in their order."""
    return assign(markets, tuple(shards))


def feed_spec(feed: FeedSettings, markets: Sequence[str]) -> ChildSpec:
    """The branch of a feed with these markets."""
    own = parts(feed, markets)
    if not feed.sharded:
        return supervisor(
            feed.name,
            *_members(own[0]),
            *_discovery(feed, own[0].markets),
            limit=LIMIT,
            restart=Restart.TRANSIENT,
        )
    # All workers of a machine end together, and each is one restart.
    limit = RestartLimit(count=_SHARD_RESTARTS * len(own), seconds=LIMIT.seconds / 2 * len(own))
    stand_in = ChildSpec(
        name="session",
        actor="actors.market.sharded_feed:ShardedFeed",
        arguments={"feed": feed.name, "venue": feed.protocol, "shards": {part.name: part.markets for part in own}},
    )
    members = (stand_in, *(_shard(part) for part in own), *_discovery(feed, tuple(markets)))
    members = tuple(msgspec.structs.replace(member, backoff=_BACKOFF) for member in members)
    return supervisor(feed.name, *members, limit=limit, restart=Restart.TRANSIENT)


def has_books(feed: FeedSettings) -> bool:
    """Whether a feed keeps books of its markets."""
    if feed.venue == "replay":
        return True
    core = session_class(feed.protocol)
    return BOOK in (feed.channels or core.CHANNELS)


def _shard(part: Part) -> ChildSpec:
    feed = part.feed
    decoder = large_frames.specs() if session_class(feed.protocol).LARGE and feed.placement != "local" else ()
    spec = supervisor(
        part.name.rpartition("/")[2],
        *decoder,
        *_members(part),
        limit=LIMIT,
        restart=Restart.TRANSIENT,
    )
    return msgspec.structs.replace(spec, placement=feed.placement, host=feed.host)


def _members(part: Part) -> tuple[ChildSpec, ChildSpec]:
    feed = part.feed
    keepers = (keeper_spec(part.name, market, feed.sample_ms) for market in part.markets if has_books(feed))
    return supervisor("books", *keepers, limit=LIMIT), _session(part)


def _discovery(feed: FeedSettings, markets: tuple[str, ...]) -> list[ChildSpec]:
    if not feed.discover:
        return []
    account = {
        "venue": feed.protocol,
        "url": feed.url,
        "rest_url": feed.rest_url,
        "simulated": feed.venue == "simulated" and not feed.url,
        "key_id": feed.key_id,
        "key_file": feed.key_file,
    }
    return [
        ChildSpec(
            name="discovery",
            actor="actors.market.discovery:MarketDiscovery",
            arguments={
                "feed": feed.name,
                "account": account,
                "most": feed.discover,
                "status": feed.discover_status,
                "every_s": feed.discover_s,
                "configured": markets,
            },
        )
    ]


def _session(part: Part) -> ChildSpec:
    feed = part.feed
    if feed.venue == "replay":
        return ChildSpec(
            name="session",
            actor="actors.market.replay:ReplaySession",
            arguments={
                "feed": part.name,
                "file": feed.file,
                "speed": feed.speed,
                "loop": feed.loop,
                "books": tuple(feed_book(part.name, market) for market in part.markets),
                "marks": feed.marks,
                "use_yes_price": feed.use_yes_price,
            },
        )
    placed = feed.placement != "local"
    return ChildSpec(
        name="session",
        actor="actors.market.session:VenueSession",
        arguments={
            "feed": part.name,
            "venue": feed.protocol,
            "url": feed.url,
            "rest_url": feed.rest_url,
            "simulated": feed.venue == "simulated" and not feed.url,
            "markets": part.markets,
            "channels": feed.channels or None,
            "key_id": feed.key_id,
            "key_file": feed.key_file,
            # Whatever the venue's handshake and its frames say: one that is named simulated is synthetic.
            "marks": (*feed.marks, SYNTHETIC) if feed.venue == "simulated" else feed.marks,
            "silence_s": feed.silence_s,
            "backoff_s": feed.backoff_s,
            "backoff_most_s": feed.backoff_most_s,
            "sample_ms": feed.sample_ms,
            "record": feed.record,
            "options": msgspec.to_builtins(feed.options),
            # A worker decodes by itself: megabytes shall not go over its link and back.
            "decoder": f"{MARKET}/{part.name}/{LARGE_FRAMES.rpartition('/')[2]}" if placed else LARGE_FRAMES,
            "events": feed_session(feed.name) if placed else "",
        },
    )
