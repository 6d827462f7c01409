"""The specs of a feed's books: made once for the configuration, and again for markets that are added while it runs."""

from __future__ import annotations

from protocols.paths import feed_session
from runtime import ChildSpec


def keeper_spec(feed: str, market: str, sample_ms: float) -> ChildSpec:
    """The keeper of one market's book. `sample_ms`: the interval of its sampled quotes."""
    return ChildSpec(
        name=market,
        actor="actors.market.keeper:BookKeeper",
        arguments={"market": market, "feed": feed, "session": feed_session(feed), "sample_ms": sample_ms},
    )
