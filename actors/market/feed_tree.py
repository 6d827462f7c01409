"""A feed's books in the tree: their specs for the configuration, and their start and end while it runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Final

import msgspec

from protocols.control import Refused
from protocols.paths import feed_books, feed_session
from runtime import Actor, ChildSpec, DeleteChild, StartChild, TerminateChild

MarketName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9./_-]{0,99}$")]
"""A market in the venue's words or in ours. What becomes of it is a name in the tree."""
_ASK_S: Final = 5.0


def keeper_spec(feed: str, market: str, sample_ms: float) -> ChildSpec:
    """The keeper of one market's book. `sample_ms`: the interval of its sampled quotes."""
    return ChildSpec(
        name=market,
        actor="actors.market.keeper:BookKeeper",
        arguments={"market": market, "feed": feed, "session": feed_session(feed), "sample_ms": sample_ms},
    )


async def start_books(actor: Actor, feed: str, markets: Iterable[str], sample_ms: float) -> None:
    """Start those that do not run. Raises Refused where one cannot start, Unknown where nobody answers."""
    books = actor.lookup(feed_books(feed))
    for market in sorted(markets):
        try:
            spec = keeper_spec(feed, market, sample_ms)
        except ValueError as error:
            raise Refused("invalid", f"{market!r} is no name of a market: {error}", "markets") from None
        try:
            await books.ask(StartChild(spec), timeout=_ASK_S)
        except Refused as refused:
            if refused.code != "already_started":
                raise


async def end_books(actor: Actor, feed: str, markets: Iterable[str]) -> None:
    """End those that run. Raises Unknown where nobody answers."""
    books = actor.lookup(feed_books(feed))
    for market in sorted(markets):
        for request in (TerminateChild(market), DeleteChild(market)):
            try:
                await books.ask(request, timeout=_ASK_S)
            except Refused as refused:
                actor.logger.info("a book had ended before", market=market, why=str(refused))
