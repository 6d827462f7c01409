"""The actor that finds the markets worth following, and lets a feed follow them.

Kalshi has thousands of markets, most of them empty. The busiest of a status are followed, and left again when others
have taken their place; markets that the configuration names stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

import trio

from actors.market.access import Account, find
from actors.market.connection import NotConnected
from actors.market.rest import kalshi as kalshi_rest
from actors.market.rest_client import CallFailed, RestClient, meter_of
from actors.market.venue_clock import VenueClock
from protocols.control import Message, Probe, ProbeReport, Refused, Unknown
from protocols.market import FollowMarkets, GetFeedMarkets, UnfollowMarkets
from protocols.paths import MARKET_INDEX, feed_session, venue_budget
from protocols.venues.errors import VenueError
from protocols.venues.rest import RestCall
from runtime import Actor, receive

Status = Literal["unopened", "open", "paused", "closed", "settled"]
_ASK_S: Final = 30.0
_FIRST_RETRY_S: Final = 1.0


class _Found(Message, frozen=True, gc=False, tag="discovery_found"):
    markets: tuple[str, ...]
    read: int


class _Failed(Message, frozen=True, gc=False, tag="discovery_failed"):
    why: str


class MarketDiscovery(Actor):
    """Follows the `most` markets with the most volume among those of `status`, looking again every `every_s`."""

    def __init__(
        self,
        feed: str,
        account: dict[str, Any],
        most: int = 100,
        status: Status = "open",
        every_s: float = 300.0,
        configured: Sequence[str] = (),
    ) -> None:
        self.feed = feed
        self.account = Account(**account)
        self.most = most
        self.status = status
        self.every_s = every_s
        self.configured = frozenset(configured)
        self.rounds = 0
        self.read = 0
        self.fault = ""
        self.refused: set[str] = set()
        self.venue_clock = VenueClock()

    def on_start(self) -> None:
        """Begin to look. The start waits for no network."""
        self.spawn(self._look_for_ever, name="discovery")

    async def _look_for_ever(self) -> None:
        wait_s = _FIRST_RETRY_S
        while True:
            try:
                markets, read = await self._most_traded()
            except (NotConnected, CallFailed, VenueError, ValueError) as error:
                await self.ref.send(_Failed(f"{type(error).__name__}: {error}"))
                await trio.sleep(wait_s)
                wait_s = min(2 * wait_s, self.every_s)
            else:
                await self.ref.send(_Found(markets, read))
                wait_s = _FIRST_RETRY_S
                await trio.sleep(self.every_s)

    async def _most_traded(self) -> tuple[tuple[str, ...], int]:
        access = await find(self, self.account)
        venue = kalshi_rest.KalshiRest(access.credentials)
        client = RestClient(
            access.rest_url, self.clock, self.venue_clock, self.lookup(venue_budget(self.account.venue))
        )
        client.meter = meter_of(self.node.metrics, self.account.venue)
        best = kalshi_rest.Discovery(self.most)
        try:
            call: RestCall | None = kalshi_rest.discovery_call(self.status)
            while call is not None:
                answer = await client.perform(call, _signed(venue, call))
                found, call = kalshi_rest.read_discovery(call, answer.status, answer.body)
                best.take(found)
        finally:
            with trio.move_on_after(1.0, shield=True):
                await client.aclose()
        return tuple(each.market for each in best.markets()), best.read

    @receive
    async def found(self, message: _Found) -> None:
        """Follow what is new, leave what others have replaced."""
        self.rounds += 1
        self.read = message.read
        self.fault = ""
        wanted = frozenset(message.markets)
        session = self.lookup(feed_session(self.feed))
        try:
            followed = frozenset(
                (await self.lookup(MARKET_INDEX).ask(GetFeedMarkets(self.feed), timeout=_ASK_S)).markets
            )
            left = followed - wanted - self.configured
            if left:
                await session.ask(UnfollowMarkets(tuple(sorted(left))), timeout=_ASK_S)
        except (Refused, Unknown) as error:
            self.fault = str(error)
            self.logger.warning("markets were not left", feed=self.feed, why=self.fault)
            return
        self.refused.clear()
        for market in sorted(wanted - followed):
            # One by one: another feed may have one of them.
            try:
                await session.ask(FollowMarkets((market,)), timeout=_ASK_S)
            except (Refused, Unknown) as error:
                self.refused.add(market)
                self.logger.warning("a market is not followed", market=market, why=str(error))
        self.remark = f"{len(wanted)} of {message.read} markets"
        self.logger.info("markets discovered", feed=self.feed, wanted=len(wanted), read=message.read, left=len(left))

    @receive
    def failed(self, message: _Failed) -> None:
        """Keep why."""
        self.fault = message.why
        self.remark = message.why
        self.logger.warning("no markets discovered", feed=self.feed, why=message.why)

    @receive
    def probe(self, request: Probe) -> ProbeReport:
        """How the last look went."""
        figures = (("rounds", self.rounds), ("markets read", self.read), ("refused", ", ".join(sorted(self.refused))))
        return ProbeReport("degraded" if self.fault else "ok", self.fault, self.rounds > 0, figures)


def _signed(venue: kalshi_rest.KalshiRest, call: RestCall) -> Any:
    return lambda ts: venue.headers(call, ts)
