"""What answers about markets have in common: exact digits, and where a value comes from, how old it is, its marks.

New fields carry prices and sizes as decimal strings; fields of the systems that this one replaces carry them as JSON
numbers, with exactly the same digits. Nanos never leave the node, times do: nanoseconds since the Unix epoch, UTC.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Final, Literal

import msgspec

from actors.edge.call import Call
from actors.edge.errors import HttpError
from actors.market.bars_intervals import Interval, parse_interval
from actors.market.stored_book import venue_of
from protocols.market import DELAYED, STALE, SYNTHETIC, Bar, ListMarkets, MarketSummary
from protocols.nanos import INT64_MAX, decimal_text
from protocols.paths import MARKET_INDEX

TAGS: Final = ("markets",)
MS: Final = 1_000_000
Number = Annotated[msgspec.Raw, msgspec.Meta(extra_json_schema={"type": "number"})]
"""A JSON number with exact digits."""
Freshness = Literal["live", "delayed", "stale", "missing"]
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Where a value comes from. `source`: the feed. `age_ms`: since it was received; null where nothing was.

    `freshness`: `live`, `delayed` (a replay or a late source), `stale` (known not to be current) or `missing`.
    """

    source: str
    venue: str
    freshness: Freshness
    age_ms: int | None
    synthetic: bool
    marks: tuple[str, ...]


def origin(source: str, market: str, marks: Iterable[str], ts_recv: int, now: int, *, stale: bool = False) -> Origin:
    """The origin of a value of `market` that `source` gave, received at `ts_recv` (0: never)."""
    found = tuple(marks)
    freshness: Freshness = (
        "missing" if not ts_recv else "stale" if stale or STALE in found else "delayed" if DELAYED in found else "live"
    )
    return Origin(
        source=source,
        venue=venue_name(market, found),
        freshness=freshness,
        age_ms=age_ms(ts_recv, now),
        synthetic=SYNTHETIC in found,
        marks=found,
    )


def origin_of_bars(source: str, market: str, bars: Sequence[Bar], marks: tuple[str, ...], now: int) -> Origin:
    """The origin of a row of bars: it is as fresh as its newest one. `marks`: what is known where there is none."""
    if not bars:
        return origin(source, market, marks, 0, now)
    newest = bars[-1]
    found = set(joined_marks(bar.marks for bar in bars))
    if STALE not in newest.marks:
        found.discard(STALE)
    return origin(source, market, sorted(found), newest.ts_recv, now)


def age_ms(ts_recv: int, now: int) -> int | None:
    """Milliseconds since `ts_recv`; None for 0, which is never."""
    return (now - ts_recv) // MS if ts_recv else None


def venue_name(market: str, marks: Iterable[str]) -> str:
    """The venue of a market: the end of its name; without one it is Kalshi's, or the simulated venue's."""
    return venue_of(market) or ("simulated" if SYNTHETIC in marks else "kalshi")


def joined_marks(marks: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """Every mark that any of them has, sorted."""
    return tuple(sorted({mark for each in marks for mark in each}))


def number(nanos: int | None) -> msgspec.Raw | None:
    """Nanos as a JSON number with exact digits."""
    return None if nanos is None else msgspec.Raw(decimal_text(nanos).encode())


def digits(text: str) -> msgspec.Raw | None:
    """Decimal text as a JSON number; empty text is null."""
    return msgspec.Raw(text.encode()) if text else None


def price_text(nanos: int | None) -> str | None:
    """A price with at least four decimals."""
    return None if nanos is None else decimal_text(nanos, 4)


def moment(text: str, field: str, default: int) -> int:
    """Nanoseconds of ISO 8601 (UTC where it does not say), or of digits, which are nanoseconds; empty: `default`.

    Raises HttpError 400 that names the field.
    """
    if not text:
        return default
    if text.isascii() and text.isdigit() and len(text) < 20:
        return min(int(text), INT64_MAX)
    try:
        parsed = datetime.fromisoformat(text)
        span = (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)) - _EPOCH
    except (ValueError, OverflowError):
        said = f"expected a time in ISO 8601, or in nanoseconds, got {text[:100]!r}"
        raise HttpError(400, "invalid", said, field) from None
    nanoseconds = ((span.days * 86_400 + span.seconds) * 1_000_000 + span.microseconds) * 1000
    return max(-INT64_MAX, min(INT64_MAX, nanoseconds))


def iso(ts: int) -> str:
    """A time in ISO 8601, to the microsecond, UTC."""
    return datetime.fromtimestamp(ts // 1_000_000_000, UTC).replace(microsecond=ts // 1000 % 1_000_000).isoformat()


async def known_market(market: str, call: Call) -> MarketSummary:
    """What the index has of a market. Raises Refused `not_found`."""
    return (await call.ref(MARKET_INDEX).ask(ListMarkets(market=market))).markets[0]


def known_interval(text: str, field: str = "interval") -> Interval:
    """The interval that a client names. Raises HttpError 400 that names the field."""
    try:
        return parse_interval(text)
    except ValueError as error:
        raise HttpError(400, "invalid", str(error), field) from None
