"""Kalshi's frames and REST order books as market messages.

Everything here is one YES book: a NO bid at q is an ask at 1 - q, unless the subscription asked for `use_yes_price`,
under which NO levels already stand on the YES scale.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from protocols.market import BookUpdate, LevelChange, MarketPhase, MarketStatus, Side, Ticker, Trade
from protocols.nanos import NANO, NumberFaults, price_nanos, size_nanos
from protocols.venues.errors import WireError
from protocols.venues.kalshi import (
    MILLISECOND,
    CentLevels,
    DeltaBody,
    DeltaFrame,
    Levels,
    LifecycleFrame,
    SnapshotFrame,
    TickerFrame,
    TradeBody,
    TradeFrame,
)
from protocols.venues.rfc3339 import rfc3339_nanos


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
