"""The venue's side of Kalshi's WebSocket protocol for one client: commands in, frames out. No socket, no clock.

Every frame of a subscription takes its next number, acknowledgements too; only tickers and private messages have none.
"""

from __future__ import annotations

import functools
import re
import uuid
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from actors.market.simulated.flow import FlowEvent, OrderFlow, PhaseChanged, Traded
from actors.market.simulated.ledger import Best, Told
from protocols.market import SYNTHETIC, LevelChange
from protocols.nanos import NANO, decimal_text
from protocols.venues import kalshi
from protocols.venues.kalshi import (
    DeltaBody,
    ErrorBody,
    ErrorFrame,
    LifecycleBody,
    OkBody,
    OkFrame,
    SnapshotBody,
    SnapshotFrame,
    SubscribedBody,
    SubscribedFrame,
    TickerBody,
    TradeBody,
    UnsubscribedFrame,
)
from protocols.venues.kalshi_commands import (
    ACTIONS,
    MARKET_CHANNELS,
    Command,
    ErrorCode,
    Params,
    decode_command,
)
from protocols.venues.kalshi_orders import MARKET_POSITIONS, USER_ORDERS
from protocols.venues.rfc3339 import rfc3339_text

PRIVATE: Final = frozenset({kalshi.FILL, USER_ORDERS, MARKET_POSITIONS})
CHANNELS: Final = (kalshi.ORDERBOOK, kalshi.TRADE, kalshi.TICKER, kalshi.LIFECYCLE, *PRIVATE)
TICKER_FORM: Final = re.compile(r"[A-Z0-9][A-Z0-9.\-]*")
_MILLISECOND: Final = 1_000_000
_body = msgspec.json.Encoder()

_TEXTS: Final = {
    ErrorCode.UNABLE_TO_PROCESS: "Unable to process message",
    ErrorCode.PARAMS_REQUIRED: "Params required",
    ErrorCode.CHANNELS_REQUIRED: "Channels required",
    ErrorCode.SIDS_REQUIRED: "Subscription IDs required",
    ErrorCode.UNKNOWN_COMMAND: "Unknown command",
    ErrorCode.UNKNOWN_SID: "Unknown subscription ID",
    ErrorCode.UNKNOWN_CHANNEL: "Unknown channel name",
    ErrorCode.CHANNEL_ERROR: "Channel error",
    ErrorCode.INVALID_PARAMETER: "Invalid parameter",
    ErrorCode.EXACTLY_ONE_SID: "Exactly one subscription ID is required",
    ErrorCode.UNSUPPORTED_ACTION: "Unsupported action",
    ErrorCode.MARKET_REQUIRED: "Market Ticker required",
    ErrorCode.ACTION_REQUIRED: "Action required",
    ErrorCode.BUFFER_OVERFLOW: "Subscription buffer overflow",
    ErrorCode.MARKET_LIMIT: "Subscription market limit exceeded",
}


@functools.cache
def market_id(market: str) -> str:
    """The venue's id of a market. It begins with `synthetic`, so that even a bare frame says what it is."""
    return f"{SYNTHETIC}-{uuid.uuid5(uuid.NAMESPACE_URL, market)}"


class PublicEvent(msgspec.Struct, frozen=True, gc=False):
    """One event as it goes to every subscriber of `channel`: the `msg` of its frames, encoded once.

    `body` gives NO levels in NO prices, `yes_body` on the YES scale. `version`: of the market's book after it.
    """

    channel: str
    type: bytes
    market: str
    body: bytes
    yes_body: bytes
    version: int = 0


def public_event(market: str, event: FlowEvent, ts: int, version: int = 0) -> PublicEvent:
    """Encode one event of the order flow; `ts` is when it is sent, in nanoseconds."""
    ts_ms = ts // _MILLISECOND
    if isinstance(event, LevelChange):
        text = rfc3339_text(ts, 6)
        yes_body = _delta(market, event, event.price, text, ts_ms)
        body = yes_body if event.side == "bid" else _delta(market, event, NANO - event.price, text, ts_ms)
        return PublicEvent(kalshi.ORDERBOOK, b"orderbook_delta", market, body, yes_body, version)
    if isinstance(event, Traded):
        outcome: kalshi.Outcome = "yes" if event.taker_side == "bid" else "no"
        trade = TradeBody(
            market_ticker=market,
            trade_id=str(uuid.uuid5(uuid.NAMESPACE_URL, f"{market}/{event.trade_id}")),
            yes_price_dollars=_price(event.price),
            no_price_dollars=_price(NANO - event.price),
            count_fp=_count(event.size),
            taker_side=outcome,
            taker_outcome_side=outcome,
            taker_book_side=event.taker_side,
            ts=ts // NANO,
            ts_ms=ts_ms,
        )
        body = _body.encode(trade)
        return PublicEvent(kalshi.TRADE, b"trade", market, body, body)
    body = _body.encode(_lifecycle(market, event, ts // NANO))
    return PublicEvent(kalshi.LIFECYCLE, b"market_lifecycle_v2", market, body, body)


def ticker_event(market: str, best: Best, last: int, volume: int, ts: int) -> PublicEvent:
    """Encode the display prices; `last` and `volume` in nanos, 0 before the first trade."""
    body = _body.encode(
        TickerBody(
            market_ticker=market,
            market_id=market_id(market),
            price_dollars=_price(last),
            yes_bid_dollars=_price(best.bid or 0),
            yes_ask_dollars=_price(NANO if best.ask is None else best.ask),
            yes_bid_size_fp=_count(best.bid_size),
            yes_ask_size_fp=_count(best.ask_size),
            volume_fp=_count(volume),
            open_interest_fp=_count(volume),
            ts_ms=ts // _MILLISECOND,
        )
    )
    return PublicEvent(kalshi.TICKER, b"ticker", market, body, body)


def _delta(market: str, change: LevelChange, price: int, ts: str, ts_ms: int) -> bytes:
    return _body.encode(
        DeltaBody(
            market_ticker=market,
            market_id=market_id(market),
            price_dollars=_price(price),
            delta_fp=_count(change.size),
            side="yes" if change.side == "bid" else "no",
            ts=ts,
            ts_ms=ts_ms,
        )
    )


def _lifecycle(market: str, event: PhaseChanged, seconds: int) -> LifecycleBody:
    if event.phase == "paused":
        return LifecycleBody(market_ticker=market, event_type="deactivated", is_deactivated=True)
    if event.phase == "active":
        return LifecycleBody(market_ticker=market, event_type="activated", is_deactivated=False)
    value = event.settlement or 0
    body = LifecycleBody(market_ticker=market, event_type=event.phase, settlement_value=decimal_text(value, 4))
    body.result = "yes" if value == NANO else "no" if value == 0 else "scalar"
    if event.phase == "settled":
        body.settled_ts = seconds
    else:
        body.determination_ts = seconds
    return body


def _price(nanos: int) -> str:
    return decimal_text(nanos, 4)


def _count(nanos: int) -> str:
    return decimal_text(nanos, 2)


class _Subscription:
    __slots__ = ("channel", "markets", "seq", "short", "sid", "yes_price")

    def __init__(self, sid: int, channel: str, markets: set[str], yes_price: bool, short: bool) -> None:
        self.sid = sid
        self.channel = channel
        self.markets = markets
        self.yes_price = yes_price
        self.short = short
        self.seq = 0

    def next(self) -> int:
        self.seq += 1
        return self.seq


class _CommandError(Exception):
    def __init__(self, code: ErrorCode, market: str | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.market = market


class Desk:
    """One client of the venue. `flows` are the venue's markets, shared by all desks; `version` that of a market."""

    # The venue has a limit and does not publish it.
    MOST_MARKETS: Final = 10_000

    def __init__(self, flows: Mapping[str, OrderFlow], version: Callable[[str], int] = lambda _: 0) -> None:
        self._flows = flows
        self._version = version
        self._subscriptions: dict[int, _Subscription] = {}
        self._sids_made = 0
        self.told = Told()
        self.withhold = 0
        """How many of the next frames of events take their number and are not sent."""

    @property
    def positions(self) -> tuple[tuple[int, str, int], ...]:
        """(sid, channel, last number) of every subscription."""
        return tuple((each.sid, each.channel, each.seq) for each in self._subscriptions.values())

    def wants(self, market: str) -> bool:
        """Whether any subscription has this market."""
        return any(not each.markets or market in each.markets for each in self._subscriptions.values())

    @property
    def channels(self) -> set[str]:
        """What is subscribed."""
        return {each.channel for each in self._subscriptions.values()}

    def publish(self, event: PublicEvent) -> list[bytes]:
        """The frames that carry this event to this client."""
        frames: list[bytes] = []
        for each in self._subscriptions.values():
            if each.channel != event.channel or (each.markets and event.market not in each.markets):
                continue
            body = event.yes_body if each.yes_price else event.body
            if event.channel == kalshi.TICKER:
                frames.append(b'{"type":"ticker","sid":%d,"msg":%b}' % (each.sid, body))
                continue
            seq = each.next()
            if event.version:
                self.told.add(str(each.sid), seq, event.market, event.version)
            if self.withhold > 0:
                self.withhold -= 1
                continue
            frames.append(b'{"type":"%b","sid":%d,"seq":%d,"msg":%b}' % (event.type, each.sid, seq, body))
        return frames

    def private(self, channel: str, type: bytes, market: str, body: bytes) -> list[bytes]:
        """The frame that tells this client of its own account, if it wants to know."""
        return [
            b'{"type":"%b","sid":%d,"msg":%b}' % (type, each.sid, body)
            for each in self._subscriptions.values()
            if each.channel == channel and (not each.markets or market in each.markets)
        ]

    def fail(self, code: ErrorCode) -> list[bytes]:
        """End every subscription with a terminal error (10 or 25), as for a client that reads too slowly."""
        frames = []
        for each in self._subscriptions.values():
            body = ErrorBody(code=code, msg=_TEXTS[code])
            frames.append(kalshi.encode(ErrorFrame(sid=each.sid, seq=each.next(), msg=body)))
        self._subscriptions.clear()
        return frames

    def command(self, raw: bytes | str) -> list[bytes]:
        """Perform a client's command: the frames that answer it, an error frame for a bad one."""
        try:
            command = decode_command(raw)
        except msgspec.DecodeError:
            return [_error(0, ErrorCode.UNABLE_TO_PROCESS)]
        try:
            return self._perform(command)
        except _CommandError as error:
            return [_error(command.id, error.code, error.market)]

    def _perform(self, command: Command) -> list[bytes]:
        if command.cmd == "list_subscriptions":
            listed = tuple(SubscribedBody(each.channel, each.sid) for each in self._subscriptions.values())
            return [kalshi.encode(OkFrame(id=command.id, msg=listed))]
        if command.cmd not in ("subscribe", "unsubscribe", "update_subscription"):
            raise _CommandError(ErrorCode.UNKNOWN_COMMAND)
        if command.params is None:
            raise _CommandError(ErrorCode.PARAMS_REQUIRED)
        if command.cmd == "subscribe":
            return self._subscribe(command.id, command.params)
        if command.cmd == "unsubscribe":
            return self._unsubscribe(command.id, command.params)
        return self._update(command.id, command.params)

    def _subscribe(self, id: int, params: Params) -> list[bytes]:
        if not params.channels:
            raise _CommandError(ErrorCode.CHANNELS_REQUIRED)
        if any(channel not in CHANNELS for channel in params.channels):
            raise _CommandError(ErrorCode.UNKNOWN_CHANNEL)
        markets = self._known(params.markets())
        if not markets and kalshi.ORDERBOOK in params.channels:
            raise _CommandError(ErrorCode.MARKET_REQUIRED)
        if len(markets) > self.MOST_MARKETS:
            raise _CommandError(ErrorCode.MARKET_LIMIT)
        frames: list[bytes] = []
        for channel in params.channels:
            each = self._of_channel(channel)
            if each is None:
                self._sids_made += 1
                each = _Subscription(
                    self._sids_made,
                    channel,
                    set(markets) if channel in MARKET_CHANNELS else set(),
                    # The venue's default today is NO levels in NO prices.
                    bool(params.use_yes_price),
                    params.skip_ticker_ack,
                )
                self._subscriptions[each.sid] = each
            elif channel in MARKET_CHANNELS:
                each.markets |= set(markets)
            frames.append(kalshi.encode(SubscribedFrame(id=id, msg=SubscribedBody(channel, each.sid))))
            if channel == kalshi.ORDERBOOK:
                frames += [self._snapshot(each, market) for market in markets]
        return frames

    def _unsubscribe(self, id: int, params: Params) -> list[bytes]:
        if not params.sids:
            raise _CommandError(ErrorCode.SIDS_REQUIRED)
        if any(sid not in self._subscriptions for sid in params.sids):
            raise _CommandError(ErrorCode.UNKNOWN_SID)
        ended = [self._subscriptions.pop(sid) for sid in params.sids]
        return [kalshi.encode(UnsubscribedFrame(id=id, sid=each.sid, seq=each.next())) for each in ended]

    def _update(self, id: int, params: Params) -> list[bytes]:
        sids = params.sids if params.sids is not None else () if params.sid is None else (params.sid,)
        if len(sids) != 1 or (params.sid is not None and params.sids is not None):
            raise _CommandError(ErrorCode.EXACTLY_ONE_SID)
        each = self._subscriptions.get(sids[0])
        if each is None:
            raise _CommandError(ErrorCode.UNKNOWN_SID)
        if params.action is None:
            raise _CommandError(ErrorCode.ACTION_REQUIRED)
        if params.action not in ACTIONS:
            raise _CommandError(ErrorCode.UNSUPPORTED_ACTION)
        markets = self._known(params.markets())
        if not markets:
            raise _CommandError(ErrorCode.MARKET_REQUIRED)
        if params.action == "get_snapshot":
            return [self._snapshot(each, market, id) for market in markets]
        if params.action == "delete_markets":
            each.markets -= set(markets)
            return [self._ok(each, id)]
        added = [market for market in markets if market not in each.markets]
        each.markets |= set(added)
        frames = [self._ok(each, id)]
        if each.channel == kalshi.ORDERBOOK:
            frames += [self._snapshot(each, market) for market in added]
        return frames

    def _ok(self, each: _Subscription, id: int) -> bytes:
        body = OkBody() if each.short else OkBody(market_tickers=tuple(sorted(each.markets)))
        return kalshi.encode(OkFrame(id=id, sid=each.sid, seq=each.next(), msg=body))

    def _snapshot(self, each: _Subscription, market: str, id: int = 0) -> bytes:
        view = self._flows[market].engine.view()
        yes = tuple((_price(level.price), _count(level.size)) for level in reversed(view.bids))
        no = tuple(
            (_price(level.price if each.yes_price else NANO - level.price), _count(level.size))
            for level in reversed(view.asks)
        )
        body = SnapshotBody(
            market_ticker=market,
            market_id=market_id(market),
            # A side without levels has no key.
            yes_dollars_fp=yes or None,
            no_dollars_fp=no or None,
        )
        seq = each.next()
        self.told.add(str(each.sid), seq, market, self._version(market))
        return kalshi.encode(SnapshotFrame(id=id, sid=each.sid, seq=seq, msg=body))

    def _known(self, markets: tuple[str, ...]) -> list[str]:
        for market in markets:
            if market not in self._flows:
                raise _CommandError(ErrorCode.INVALID_PARAMETER, market)
        return list(dict.fromkeys(markets))

    def _of_channel(self, channel: str) -> _Subscription | None:
        return next((each for each in self._subscriptions.values() if each.channel == channel), None)


def _error(id: int, code: ErrorCode, market: str | None = None) -> bytes:
    return kalshi.encode(ErrorFrame(id=id, msg=ErrorBody(code=code, msg=_TEXTS[code], market_ticker=market)))
