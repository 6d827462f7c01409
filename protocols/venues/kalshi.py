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

import functools
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

import msgspec

from protocols.market import BookUpdate, LevelChange, MarketPhase, MarketStatus, Side, Ticker, Trade
from protocols.nanos import NANO, NumberFaults, price_nanos, size_nanos
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


class Codec:
    """Turns frames of one feed into market messages. Keeps the parsed prices and counts number faults.

    Methods raise ValueError for a frame whose numbers are missing or no numbers.
    """

    # A market has at most 10,000 prices (ticks of $0.0001); beyond this someone sends nonsense.
    _MOST_PRICES = 50_000
    _MOST_SIZES = 50_000

    def __init__(self, faults: NumberFaults | None = None) -> None:
        self.faults = NumberFaults() if faults is None else faults
        self._prices: dict[str, int] = {}
        self._complements: dict[str, int] = {}
        self._sizes: dict[str, int] = {}

    def delta(
        self, frame: DeltaFrame, session: str, ts_recv: int, marks: tuple[str, ...], yes_price: bool
    ) -> BookUpdate:
        """One level's signed change. `yes_price`: NO levels of this subscription stand on the YES scale."""
        # The hottest function of the whole feed: texts that were seen before are looked up, not parsed.
        body = frame.msg
        if body.side == "yes":
            side: Side = "bid"
            prices = self._prices
        else:
            side = "ask"
            prices = self._prices if yes_price else self._complements
        try:
            changes = (LevelChange(side, prices[body.price_dollars], self._sizes[body.delta_fp]),)  # type: ignore[index]
        except KeyError:
            changes = self._change(body, side, yes_price)  # type: ignore[assignment]
        ts, ts_ms = body.ts, body.ts_ms
        try:
            # "2026-07-01T02:31:45.308599Z": its milliseconds must be those of `ts_ms`.
            if ts[20:23] == _MILLISECONDS[ts_ms % 1000]:  # type: ignore[index, operator]
                ts_event = ts_ms * MILLISECOND + _MICROSECONDS[ts[23:]]  # type: ignore[index, operator]
            else:
                ts_event = event_time(ts_ms, ts)
        except (KeyError, TypeError):
            ts_event = event_time(ts_ms, ts)
        return BookUpdate(
            body.market_ticker, changes, "signed", False, session, frame.seq or 0, ts_event, ts_recv, marks
        )

    def _change(self, body: DeltaBody, side: Side, yes_price: bool) -> tuple[LevelChange, ...]:
        price = self._price(_digits(body.price_dollars, body.price), complement=side == "ask" and not yes_price)
        text = body.delta_fp
        if text is None:
            if body.delta is None:
                raise ValueError("a delta without delta_fp and delta")
            size = body.delta * NANO
        else:
            faults = self.faults.total
            size = size_nanos(text, self.faults)
            # What could not be kept exactly is counted each time, so it is not remembered.
            if faults == self.faults.total:
                if len(self._sizes) >= self._MOST_SIZES:
                    self._sizes.clear()
                self._sizes[text] = size
        return () if price is None else (LevelChange(side, price, size),)

    def snapshot(
        self, frame: SnapshotFrame, session: str, ts_recv: int, marks: tuple[str, ...], yes_price: bool
    ) -> BookUpdate:
        """The whole book. Its `ts_event` is 0: the venue dates deltas only."""
        body = frame.msg
        yes = _levels(body.yes_dollars_fp, body.yes_dollars, body.yes)
        no = _levels(body.no_dollars_fp, body.no_dollars, body.no)
        return BookUpdate(
            market=body.market_ticker,
            changes=self.levels(yes, no, yes_price),
            kind="absolute",
            snapshot=True,
            session=session,
            seq=frame.seq or 0,
            ts_event=0,
            ts_recv=ts_recv,
            marks=marks,
        )

    def levels(self, yes: Levels, no: Levels, yes_price: bool) -> tuple[LevelChange, ...]:
        """Both sides' levels as levels of the YES book. A textual zero is no level."""
        changes: list[LevelChange] = []
        for side, levels in (("bid", yes), ("ask", no)):
            for price_text, size_text in levels:
                price = self._price(price_text, complement=side == "ask" and not yes_price)
                size = size_nanos(str(size_text), self.faults)
                if price is not None and size != 0:
                    changes.append(LevelChange("bid" if side == "bid" else "ask", price, size))
        return tuple(changes)

    def trade(self, frame: TradeFrame, session: str, ts_recv: int, marks: tuple[str, ...]) -> Trade | None:
        """The trade, or None (and counted) where its price is out of range."""
        body = frame.msg
        complement = body.yes_price_dollars is None and body.yes_price is None
        text, cents = body.yes_price_dollars, body.yes_price
        if complement:
            text, cents = body.no_price_dollars, body.no_price
        price = self._price(_digits(text, cents), complement=complement)
        if price is None:
            return None
        count = body.count_fp if body.count_fp is not None else body.count
        if count is None:
            raise ValueError("a trade without count_fp and count")
        return Trade(
            market=body.market_ticker,
            price=price,
            size=size_nanos(str(count), self.faults),
            taker=_taker(body),
            trade_id=body.trade_id,
            session=session,
            seq=frame.seq or 0,
            ts_event=event_time(body.ts_ms, body.ts),
            ts_recv=ts_recv,
            block=body.is_block_trade,
            marks=marks,
        )

    def ticker(self, frame: TickerFrame, session: str, ts_recv: int, marks: tuple[str, ...]) -> Ticker:
        """The venue's display prices. An empty book shows a bid of 0 and an ask of 1: no level, as no size is there."""
        body = frame.msg
        bid_size = size_nanos(body.yes_bid_size_fp, self.faults) if body.yes_bid_size_fp else None
        ask_size = size_nanos(body.yes_ask_size_fp, self.faults) if body.yes_ask_size_fp else None
        bid = self._price(body.yes_bid_dollars, complement=False) if body.yes_bid_dollars else None
        ask = self._price(body.yes_ask_dollars, complement=False) if body.yes_ask_dollars else None
        return Ticker(
            market=body.market_ticker,
            bid=None if bid == 0 else bid,
            bid_size=bid_size,
            ask=None if ask == NANO else ask,
            ask_size=ask_size,
            last=self._price(body.price_dollars, complement=False) if body.price_dollars else None,
            session=session,
            seq=0,
            ts_event=event_time(body.ts_ms, None),
            ts_recv=ts_recv,
            marks=marks,
        )

    def status(self, frame: LifecycleFrame, session: str, ts_recv: int, marks: tuple[str, ...]) -> MarketStatus | None:
        """The market's new phase, or None where the event does not change it."""
        body = frame.msg
        phase = _PHASES.get(body.event_type)
        if phase is None:
            return None
        settlement: int | None = None
        if body.settlement_value:
            settlement = price_nanos(body.settlement_value, self.faults)
        elif body.result in ("yes", "no"):
            settlement = NANO if body.result == "yes" else 0
        seconds = body.settled_ts or body.determination_ts or 0
        return MarketStatus(
            market=body.market_ticker,
            phase=phase,
            session=session,
            ts_event=seconds * NANO,
            ts_recv=ts_recv,
            settlement=settlement,
            marks=marks,
        )

    def _price(self, digits: str, *, complement: bool) -> int | None:
        known = self._complements if complement else self._prices
        price = known.get(digits)
        if price is not None:
            return price
        parsed = price_nanos(digits, self.faults)
        if parsed is None:
            return None
        if not 0 <= parsed <= NANO:
            self.faults.dropped += 1
            return None
        price = NANO - parsed if complement else parsed
        if len(known) < self._MOST_PRICES:
            known[digits] = price
        return price


_PHASES: Final[dict[str, MarketPhase]] = {
    # It exists and is not traded yet.
    "created": "paused",
    "activated": "active",
    "deactivated": "paused",
    "determined": "determined",
    "settled": "settled",
}


def _taker(body: TradeBody) -> Literal["buy", "sell"] | None:
    if body.taker_book_side is not None:
        return "buy" if body.taker_book_side == "bid" else "sell"
    outcome = body.taker_outcome_side or body.taker_side
    if outcome is None:
        return None
    return "buy" if outcome == "yes" else "sell"


def _digits(dollars: str | None, cents: int | None) -> str:
    if dollars is not None:
        return dollars
    if cents is None:
        raise ValueError("neither a dollar price nor cents")
    if not 0 <= cents <= 100:
        raise ValueError(f"{cents} is no price in cents")
    return f"{cents // 100}.{cents % 100:02d}"


def _levels(fixed_point: Levels | None, dollars: Levels | None, cents: CentLevels | None) -> Levels:
    if fixed_point is not None:
        return fixed_point
    if dollars is not None:
        return dollars
    return tuple((_digits(None, price), size) for price, size in cents or ())


# Nanoseconds of the last three digits of a time to the microsecond, with the Z that must follow; and the three before.
_MICROSECONDS: Final = {f"{micros:03d}Z": micros * 1000 for micros in range(1000)}
_MILLISECONDS: Final = tuple(f"{millis:03d}" for millis in range(1000))


def event_time(ts_ms: int | None, ts: str | int | None) -> int:
    """Nanoseconds of the venue's time, 0 where it gave none.

    `ts_ms` is the venue's own choice. Where `ts` names the same millisecond to the microsecond, its last
    three digits are taken too.
    """
    if ts_ms is not None:
        time = ts_ms * MILLISECOND
        # "2026-07-01T02:31:45.308599Z"
        if type(ts) is str and len(ts) == 27 and ts[26] == "Z":
            micros = ts[20:26]
            if micros.isdigit() and int(micros[:3]) == ts_ms % 1000:
                time += int(micros[3:]) * 1000
        return time
    if ts is None:
        return 0
    if isinstance(ts, int):
        return ts * NANO
    return rfc3339_nanos(ts)


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def rfc3339_nanos(text: str) -> int:
    """Nanoseconds of an RFC 3339 time; without a zone it is UTC. Raises ValueError."""
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    return (time - _EPOCH) // timedelta(microseconds=1) * 1000


def rfc3339_text(nanos: int) -> str:
    """The time to the microsecond, as the venue writes it: `2026-07-01T02:31:45.308599Z`."""
    seconds, rest = divmod(nanos, NANO)
    return f"{_second_text(seconds)}.{rest // 1000:06d}Z"


@functools.lru_cache(maxsize=8)
def _second_text(seconds: int) -> str:
    return f"{(_EPOCH + timedelta(seconds=seconds)):%Y-%m-%dT%H:%M:%S}"


class _RestSides(msgspec.Struct, gc=False):
    yes_dollars: Levels | None = None
    no_dollars: Levels | None = None
    yes: CentLevels | None = None
    no: CentLevels | None = None


class _RestBook(msgspec.Struct, gc=False):
    orderbook_fp: _RestSides | None = None
    orderbook: _RestSides | None = None


_rest_book = msgspec.json.Decoder(_RestBook)


def decode_orderbook(body: bytes | str, codec: Codec) -> tuple[LevelChange, ...]:
    """The levels of a REST `GET /markets/{ticker}/orderbook` answer.

    It has no sequence number, so a REST book cannot be joined to deltas. Raises WireError.
    """
    try:
        book = _rest_book.decode(body)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise WireError(str(error)) from None
    sides = book.orderbook_fp or book.orderbook
    if sides is None:
        raise WireError("neither orderbook_fp nor orderbook")
    yes = _levels(None, sides.yes_dollars, sides.yes)
    no = _levels(None, sides.no_dollars, sides.no)
    return codec.levels(yes, no, yes_price=False)
