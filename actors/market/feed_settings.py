"""`[[feeds]]` and `[venue]`: what a configuration says of market data's sources."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec

from actors.market.feed_tree import MarketName
from actors.market.session_core import SessionOptions
from actors.market.venues import VENUES, session_class
from protocols.market import MARKS
from runtime import HostOptions
from runtime.settings import LocalPath

Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
Positive = Annotated[float, msgspec.Meta(gt=0)]
Channel = Literal["book", "trades", "ticker", "bars", "lifecycle", "funding", "liquidations"]
Placement = Literal["local", "process", "ray"]
MOST_SHARDS: Final = 64
SimulatedProtocol = Literal["kalshi", "binance", "binance-usdm", "coinbase"]
# Spoken by recordings alone.
_RECORDED: Final = frozenset({"kraken-v1"})
if TYPE_CHECKING:
    FeedVenue = str
else:
    # Registered once, in `venues`.
    FeedVenue = Literal[("simulated", *(name for name in VENUES if name not in _RECORDED), "replay")]
_TAKEN_NAMES: Final = frozenset(
    {"archive", "bars", "budgets", "decoder", "derivatives", "index", "instruments", "providers", "store", "stream"}
    | {"retention", "venue"}
)


class FeedSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[[feeds]]`: a stream of market data, or a recording of one. Times in seconds."""

    name: Name
    """Its place in the tree: `/market/<name>`."""
    venue: FeedVenue = "simulated"
    """Where it comes from. `simulated`: this node's own venue, unless `url` names another; `replay`: a recording."""
    speaks: SimulatedProtocol = "kalshi"
    """Of a simulated venue: whose protocol it speaks."""
    url: str = ""
    """Where the venue's WebSocket is: `wss://…`; empty: where the venue says."""
    rest_url: str = ""
    """Where the venue's REST interface is: `https://…`; empty: where the venue says."""
    markets: tuple[MarketName, ...] = ()
    """The markets to follow, in the venue's words or ours. Empty: all of the simulated venue's, or all of the
    recording's."""
    channels: tuple[Channel, ...] = ()
    """What to subscribe to; empty: what is usual at the venue (books and trades)."""
    depth: Annotated[int, msgspec.Meta(ge=1, le=10_000)] | None = None
    """Levels a side, where the venue lets one choose; unset: the most it offers."""
    bars: tuple[str, ...] = ()
    """Intervals of the venue's own bars to subscribe to, such as `1m`, with the channel `bars`."""
    discover: Annotated[int, msgspec.Meta(ge=0, le=100)] = 0
    """Kalshi: follow so many markets, those with the most volume; 0: only `markets`."""
    discover_status: Literal["unopened", "open", "paused", "closed", "settled"] = "open"
    """Kalshi: among markets of this status."""
    discover_s: Positive = 300.0
    """How often to look for markets anew, in seconds."""
    key_id: str = ""
    """The id of the API key that signs the connection."""
    key_file: LocalPath = ""
    """The private key (PEM) or secret of `key_id`."""
    use_yes_price: bool | None = None
    """Kalshi: whether NO levels come on the YES scale. Unset: a live feed asks for it, a recording says how it was
    made."""
    marks: tuple[str, ...] = ()
    """Marks put on all of its data: `synthetic`, `delayed`, `stale`, `demo`."""
    silence_s: Positive = 30.0
    """Without any frame for so long it asks for one, and after as long again it connects anew."""
    recovery_s: Positive = 5.0
    """How long the venue may take to answer a request for a snapshot."""
    backoff_s: Positive = 0.25
    """The longest wait before the first attempt to reconnect; it doubles each time."""
    backoff_most_s: Positive = 30.0
    """The longest wait between two attempts to reconnect."""
    sample_ms: Positive = 100.0
    """The interval of sampled quotes, in milliseconds; every quote goes out beside them."""
    record: LocalPath = ""
    """A folder that takes every frame as it came; what it holds already is kept."""
    file: LocalPath = ""
    """Of a replay: the recording."""
    speed: Annotated[float, msgspec.Meta(ge=0)] = 1.0
    """Of a replay: 1 as recorded, 10 ten times as fast, 0 flat out."""
    loop: bool = False
    """Of a replay: begin again at the end."""
    shards: Annotated[int, msgspec.Meta(ge=1, le=MOST_SHARDS)] = 1
    """How many sessions its markets are divided over, each with the books of its own."""
    placement: Placement | tuple[Placement, ...] = "local"
    """Where the sessions and books run: `local` (the node), `process` (a child process for each shard), `ray` (a
    worker of the cluster for each); several of the last two: the first that can be had."""
    host: HostOptions = HostOptions()
    """What the workers need; `spread = true`: on as many of the cluster's nodes as can be."""

    def __post_init__(self) -> None:
        if self.name in _TAKEN_NAMES:
            raise ValueError(f"a feed cannot be named {self.name!r}")
        if unknown := set(self.marks) - MARKS:
            raise ValueError(f"expected marks out of {', '.join(sorted(MARKS))}, got {', '.join(sorted(unknown))}")
        if self.venue == "replay":
            if not self.file:
                raise ValueError(f"the replay {self.name!r} needs a file")
            return
        try:
            # It knows best what it can do: which channels, together, at which depth.
            session_class(self.protocol)(self.name, (), self.channels or None, self.options)
        except ValueError as error:
            raise ValueError(f"the feed {self.name!r}: {error}") from None
        if self.discover and self.protocol != "kalshi":
            raise ValueError(f"the feed {self.name!r}: only Kalshi's markets can be discovered")
        if self.venue != "simulated" and not (self.markets or self.discover):
            raise ValueError(f"the feed {self.name!r} needs markets")

    @property
    def options(self) -> SessionOptions:
        """What of this is its session's."""
        return SessionOptions(
            recovery_s=self.recovery_s,
            depth=self.depth,
            bars=self.bars,
            use_yes_price=self.use_yes_price is not False,
        )

    @property
    def sharded(self) -> bool:
        """Whether its sessions and books are a level below `/market/<name>`, perhaps in workers."""
        return self.shards > 1 or self.placement != "local"

    @property
    def protocol(self) -> str:
        """The venue whose protocol it speaks."""
        return self.speaks if self.venue == "simulated" else self.venue


class VenueSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[venue]`: the simulated venue. It runs if a feed needs it, or if `serve` says so."""

    serve: bool = False
    """Run it though no feed of this node needs it."""
    markets: tuple[Annotated[str, msgspec.Meta(pattern=r"^[A-Z0-9][A-Z0-9.\-]*$")], ...] = (
        "SIM-ALPHA",
        "SIM-BETA",
    )
    """The markets that are traded."""
    seed: int = 7
    """What its traders draw from: the same seed makes the same market."""
    rate: Annotated[float, msgspec.Meta(ge=0, le=100_000)] = 50.0
    """Events a second over all markets."""
    port: Annotated[int, msgspec.Meta(ge=0, le=65_535)] = 0
    """Where it listens on loopback; 0: any free port."""
    key_file: LocalPath = ""
    """The key (PEM) that its clients sign with; empty: one is made in the data folder."""
    warm_up: Annotated[int, msgspec.Meta(ge=0, le=100_000)] = 200
    """Turns that each market's traders take before anybody sees it."""
    backlog: Annotated[int, msgspec.Meta(ge=1)] = 4096
    """Frames that may wait for a client that reads slowly; beyond, its subscription ends with error 25."""
    ping_s: Positive | None = None
    """How often it pings, in seconds; unset: as often as the venue whose protocol it speaks."""
    coins: tuple[Annotated[str, msgspec.Meta(pattern=r"^[A-Z0-9]+$")], ...] = ("BTC", "ETH")
    """What is traded where it speaks as Binance or Coinbase."""
    levels: Annotated[int, msgspec.Meta(ge=10, le=100_000)] = 4_000
    """Levels of a book there, both sides together."""
    control: bool = False
    """Whether faults can be ordered over HTTP (`bin/troupe venue inject`)."""
