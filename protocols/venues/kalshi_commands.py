"""Kalshi's WebSocket commands, both ways: what a client sends and what a stand-in for the venue reads.

Source: Kalshi's AsyncAPI 2.0.0. `use_yes_price` is always sent: its default is to flip one day, and a client
that relied on it would then read every NO level upside down.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Final

import msgspec

from protocols.venues.kalshi import FILL, LIFECYCLE, ORDERBOOK, TICKER, TRADE
from protocols.venues.kalshi_orders import MARKET_POSITIONS, USER_ORDERS

ACTIONS: Final = ("add_markets", "delete_markets", "get_snapshot")


class ErrorCode(enum.IntEnum):
    """Codes of error frames. 10 and 25 end the subscription and not the connection."""

    UNABLE_TO_PROCESS = 1
    PARAMS_REQUIRED = 2
    CHANNELS_REQUIRED = 3
    SIDS_REQUIRED = 4
    UNKNOWN_COMMAND = 5
    UNKNOWN_SID = 7
    UNKNOWN_CHANNEL = 8
    AUTHENTICATION_REQUIRED = 9
    CHANNEL_ERROR = 10
    INVALID_PARAMETER = 11
    EXACTLY_ONE_SID = 12
    UNSUPPORTED_ACTION = 13
    MARKET_REQUIRED = 14
    ACTION_REQUIRED = 15
    COMMAND_TIMEOUT = 18
    BUFFER_OVERFLOW = 25
    MARKET_LIMIT = 26
    TOO_MANY_REQUESTS = 27


TERMINAL: Final = frozenset({ErrorCode.CHANNEL_ERROR, ErrorCode.BUFFER_OVERFLOW})
"""After one of these the subscription is dead and must be made again."""

MARKET_CHANNELS: Final = frozenset({ORDERBOOK, TRADE, TICKER, FILL, USER_ORDERS, MARKET_POSITIONS})
"""Channels that take a list of markets."""
UNFILTERED_CHANNELS: Final = frozenset({LIFECYCLE})
"""Channels that refuse one and send all markets."""


class Params(msgspec.Struct, gc=False, omit_defaults=True, kw_only=True):
    """Parameters of a command; None where they were not sent."""

    channels: tuple[str, ...] | None = None
    market_ticker: str | None = None
    market_tickers: tuple[str, ...] | None = None
    use_yes_price: bool | None = None
    skip_ticker_ack: bool = False
    sid: int | None = None
    sids: tuple[int, ...] | None = None
    action: str | None = None

    def markets(self) -> tuple[str, ...]:
        """The markets named, one way or the other."""
        if self.market_tickers is not None:
            return self.market_tickers
        return () if self.market_ticker is None else (self.market_ticker,)


class Command(msgspec.Struct, gc=False, omit_defaults=True, kw_only=True):
    """A command as it travels. `id` is the client's, unique in a connection; 0 is none."""

    id: int = 0
    cmd: str
    params: Params | None = None


_decoder = msgspec.json.Decoder(Command)
_encoder = msgspec.json.Encoder()


def decode_command(raw: bytes | str) -> Command:
    """What the client sent. Raises msgspec.DecodeError where that is no command."""
    try:
        return _decoder.decode(raw)
    except UnicodeError as error:
        raise msgspec.DecodeError(str(error)) from None


def subscribe(id: int, channel: str, markets: Sequence[str] = (), *, use_yes_price: bool = True) -> bytes:
    """Subscribe to one channel.

    `markets` must be given for `orderbook_delta` and left out where unsupported.
    """
    params = Params(
        channels=(channel,),
        market_tickers=tuple(markets) or None,
        use_yes_price=use_yes_price if channel == ORDERBOOK else None,
    )
    return _encoder.encode(Command(id=id, cmd="subscribe", params=params))


def add_markets(id: int, sid: int, markets: Sequence[str]) -> bytes:
    """Add markets to a subscription; a snapshot of each follows."""
    return _update(id, sid, markets, "add_markets")


def delete_markets(id: int, sid: int, markets: Sequence[str]) -> bytes:
    """Take markets out of a subscription."""
    return _update(id, sid, markets, "delete_markets")


def get_snapshot(id: int, sid: int, markets: Sequence[str]) -> bytes:
    """Ask for fresh snapshots; each uses up a sequence number and carries `id`."""
    return _update(id, sid, markets, "get_snapshot")


def unsubscribe(id: int, sids: Sequence[int]) -> bytes:
    """End subscriptions."""
    return _encoder.encode(Command(id=id, cmd="unsubscribe", params=Params(sids=tuple(sids))))


def list_subscriptions(id: int) -> bytes:
    """Ask for all subscriptions of this connection."""
    return _encoder.encode(Command(id=id, cmd="list_subscriptions"))


def _update(id: int, sid: int, markets: Sequence[str], action: str) -> bytes:
    params = Params(sid=sid, market_tickers=tuple(markets), action=action)
    return _encoder.encode(Command(id=id, cmd="update_subscription", params=params))
