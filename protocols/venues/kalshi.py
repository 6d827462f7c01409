"""Kalshi's WebSocket frames and REST order books: bytes to typed frames, typed frames to market messages.

Source: Kalshi's AsyncAPI 2.0.0 and OpenAPI 3.x texts. Two forms are read. The current one carries decimal
strings (`price_dollars`, `delta_fp`, `yes_dollars_fp`). The one before 2026-03-12 carried integer cents and
whole contracts (`price`, `delta`, `yes`), for a while beside strings, which then win; it is needed for old
recordings only.

The venue sends bids alone, for YES and for NO. Here everything is one YES book: a NO bid at q is an ask at 1
- q, unless the subscription asked for `use_yes_price`, under which NO levels already stand on the YES scale.

The same structs encode (`encode`), for a stand-in that speaks the venue's side.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from protocols.market import Side
from protocols.nanos import NANO
from protocols.venues.errors import WireError

CENT: Final = NANO // 100
MILLISECOND: Final = 1_000_000
MAX_FRAME_BYTES: Final = 64 * 1024 * 1024
"""The longest frame that the venue may send (AsyncAPI 2.0.0)."""

ORDERBOOK: Final = "orderbook_delta"
TRADE: Final = "trade"
TICKER: Final = "ticker"
FILL: Final = "fill"
LIFECYCLE: Final = "market_lifecycle_v2"

Outcome = Literal["yes", "no"]
Levels = tuple[tuple[str, str | int], ...]
CentLevels = tuple[tuple[int, int], ...]


class _Body(msgspec.Struct, gc=False, omit_defaults=True, kw_only=True):
    """The `msg` of a frame."""


class _Frame(msgspec.Struct, gc=False, omit_defaults=True, kw_only=True, tag_field="type"):
    """`sid` 0 and `seq` None: the frame has none. `id` 0: it answers no command."""

    id: int = 0
    sid: int = 0
    seq: int | None = None


class SubscribedBody(_Body):
    """One channel and the subscription id that it got. The id holds for this connection only."""

    channel: str
    sid: int


class SubscribedFrame(_Frame, tag="subscribed"):
    """Answers a subscribe command, once for each channel."""

    msg: SubscribedBody


class UnsubscribedFrame(_Frame, tag="unsubscribed"):
    """A subscription has ended."""


class OkBody(_Body):
    """The subscription's whole list of markets after the change, unless acknowledgements were asked short."""

    market_tickers: tuple[str, ...] | None = None


class OkFrame(_Frame, tag="ok"):
    """Answers an update (it uses up a sequence number) or lists the subscriptions (it does not)."""

    msg: OkBody | tuple[SubscribedBody, ...] | None = None


class ErrorBody(_Body):
    """`code` as in `protocols.venues.kalshi_commands.ErrorCode`."""

    code: int
    msg: str = ""
    market_ticker: str | None = None
    market_tickers: tuple[str, ...] | None = None


class ErrorFrame(_Frame, tag="error"):
    """A command was refused, or a subscription failed."""

    msg: ErrorBody


class SnapshotBody(_Body):
    """A side without levels has no key. Cents in `yes`/`no`; there a side could also be null."""

    market_ticker: str
    market_id: str = ""
    yes_dollars_fp: Levels | None = None
    no_dollars_fp: Levels | None = None
    yes_dollars: Levels | None = None
    no_dollars: Levels | None = None
    yes: CentLevels | None = None
    no: CentLevels | None = None


class SnapshotFrame(_Frame, tag="orderbook_snapshot"):
    """The whole book of one market. With an `id` where it answers `get_snapshot`."""

    msg: SnapshotBody


class DeltaBody(_Body):
    """A signed change of one level. `ts` is deprecated by the venue but finer than `ts_ms`."""

    market_ticker: str
    side: Outcome
    market_id: str = ""
    price_dollars: str | None = None
    delta_fp: str | None = None
    ts: str | int | None = None
    ts_ms: int | None = None
    price: int | None = None
    delta: int | None = None


class DeltaFrame(_Frame, tag="orderbook_delta"):
    """One level of one market has changed."""

    msg: DeltaBody


class TradeBody(_Body):
    """A public trade, off the book where `is_block_trade`."""

    market_ticker: str
    trade_id: str = ""
    yes_price_dollars: str | None = None
    no_price_dollars: str | None = None
    count_fp: str | None = None
    taker_side: Outcome | None = None
    taker_outcome_side: Outcome | None = None
    taker_book_side: Side | None = None
    is_block_trade: bool = False
    ts: str | int | None = None
    ts_ms: int | None = None
    yes_price: int | None = None
    no_price: int | None = None
    count: int | None = None


class TradeFrame(_Frame, tag="trade"):
    """A public trade."""

    msg: TradeBody


class TickerBody(_Body):
    """Display prices; never mixed into a book."""

    market_ticker: str
    market_id: str = ""
    price_dollars: str = ""
    yes_bid_dollars: str = ""
    yes_ask_dollars: str = ""
    yes_bid_size_fp: str = ""
    yes_ask_size_fp: str = ""
    last_trade_size_fp: str = ""
    volume_fp: str = ""
    open_interest_fp: str = ""
    ts_ms: int | None = None


class TickerFrame(_Frame, tag="ticker"):
    """A display price has changed. Carries no sequence number."""

    msg: TickerBody


class FillBody(_Body):
    """A fill of one's own order, in YES prices. Prices are not turned by direction; `book_side` says it."""

    trade_id: str
    order_id: str
    market_ticker: str
    is_taker: bool
    client_order_id: str = ""
    side: str = ""
    yes_price_dollars: str = ""
    count_fp: str = ""
    fee_cost: str = ""
    action: str = ""
    post_position_fp: str = ""
    outcome_side: Outcome | None = None
    book_side: Side | None = None
    ts: str | int | None = None
    ts_ms: int | None = None


class FillFrame(_Frame, tag="fill"):
    """A fill of one's own order. Carries no sequence number."""

    msg: FillBody


class LifecycleBody(_Body):
    """`result`: yes, no, or another word where void. `settlement_value`: dollars for one YES contract.

    `price_level_structure`: the label of the market's ticks, with `price_level_structure_updated`; the ticks
    themselves stand in the market's `price_ranges` over REST.
    """

    market_ticker: str
    event_type: str
    result: str = ""
    settlement_value: str = ""
    price_level_structure: str = ""
    is_deactivated: bool | None = None
    open_ts: int | None = None
    close_ts: int | None = None
    determination_ts: int | None = None
    settled_ts: int | None = None


class LifecycleFrame(_Frame, tag="market_lifecycle_v2"):
    """A market was created, (de)activated, determined, settled or changed.

    All markets come on one subscription.
    """

    msg: LifecycleBody


class OtherFrame(msgspec.Struct, gc=False, kw_only=True):
    """A frame of a type that is not read here, or (`fault`) a known one that did not fit its form.

    It still uses up a sequence number.
    """

    type: str
    id: int = 0
    sid: int = 0
    seq: int | None = None
    fault: str = ""


_Known = (
    DeltaFrame
    | SnapshotFrame
    | TradeFrame
    | TickerFrame
    | FillFrame
    | LifecycleFrame
    | SubscribedFrame
    | UnsubscribedFrame
    | OkFrame
    | ErrorFrame
)
Frame = _Known | OtherFrame

KNOWN_TYPES: Final = frozenset(str(kind.__struct_config__.tag) for kind in _Known.__args__)

_known: msgspec.json.Decoder[_Known] = msgspec.json.Decoder(_Known)
decode_known = _known.decode
"""A frame of a known type in its form; anything else raises msgspec.DecodeError, and is for `decode`."""
_other = msgspec.json.Decoder(OtherFrame)
_encoder = msgspec.json.Encoder()


def decode(raw: bytes | str) -> Frame:
    """The typed frame.

    Raises WireError for what is no frame at all; an unfit known frame comes as OtherFrame.
    """
    try:
        return decode_known(raw)
    except msgspec.ValidationError as error:
        fault = str(error)
    except (msgspec.DecodeError, UnicodeError) as error:
        # A text within a frame that is no UTF-8 raises UnicodeError, which msgspec does not make its own.
        raise WireError(str(error)) from None
    try:
        other = _other.decode(raw)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise WireError(str(error)) from None
    other.fault = fault if other.type in KNOWN_TYPES else ""
    return other


def encode(frame: Frame) -> bytes:
    """The frame as the venue would send it; fields at their defaults are left out."""
    return _encoder.encode(frame)
