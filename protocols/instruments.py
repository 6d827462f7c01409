"""What can be traded: its steps, its costs, its hours. One definition is true for a span of time.

Prices, sizes and money in nanos (10⁻⁹), times in nanoseconds since the Unix epoch, UTC. Fees are fractions of the
price times the size, as exact decimal text ("0.001"), because the venues' own digits are finer than nanos of money.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

import msgspec

from protocols.control import Message, Request
from protocols.nanos import NANO

OrderType = Literal["market", "limit", "stop", "stop_limit", "take_profit", "trailing_stop", "post_only"]
Kind = Literal["spot", "perpetual", "future", "equity", "prediction", "index"]
TradingStatus = Literal["pre_open", "open", "auction", "halted", "closed", "settled", "unknown"]


class PriceRange(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Prices from `start` to `end` inclusive are multiples of `step` above `start`. Nanos."""

    start: int
    end: int
    step: int


class Instrument(Message, frozen=True, gc=False, tag="instrument", kw_only=True):
    """What can be traded and in which steps, from `valid_from` (inclusive) on until the next version.

    `symbol` is the venue's own name, `market` ours. `currency` is that of the prices. `lot` is the step of sizes;
    `minimum_size` and `minimum_notional` are 0 where the venue names none, `maximum_size` then None. A venue that
    gives no fee has None, never zero. `data_only`: a tick or lot finer than 10⁻⁹, which no order can hold.
    `source`: the endpoint that said so.
    """

    market: str
    symbol: str
    venue: str
    kind: Kind
    currency: str
    price_ranges: tuple[PriceRange, ...]
    lot: int
    base: str = ""
    multiplier: int = NANO
    minimum_size: int = 0
    maximum_size: int | None = None
    minimum_notional: int = 0
    maker_fee: str | None = None
    taker_fee: str | None = None
    order_types: tuple[OrderType, ...] = ()
    calendar: str = ""
    """Name of the exchange calendar ("XNYS"); empty: open all the time."""
    status: TradingStatus = "unknown"
    opens: int | None = None
    closes: int | None = None
    title: str = ""
    data_only: bool = False
    valid_from: int = 0
    source: str = ""
    marks: tuple[str, ...] = ()

    def topic_key(self) -> str:
        """The market."""
        return self.market

    def price(self, value: float) -> int:
        """The tick nearest to `value`, in nanos.

        Raises ValueError where it is further from it than a millionth of the step.
        """
        for span in self.price_ranges:
            ticks = _whole(Fraction(value) * NANO - span.start, span.step)
            if ticks is not None and 0 <= ticks * span.step <= span.end - span.start:
                return span.start + ticks * span.step
        raise ValueError(f"{value} is on no tick of {self.market}")

    def size(self, value: float) -> int:
        """The multiple of the lot nearest to `value`, in nanos.

        Raises ValueError where it is further from it than a millionth of the lot.
        """
        lots = _whole(Fraction(value) * NANO, self.lot)
        if lots is None:
            raise ValueError(f"{value} is no multiple of the lot of {self.market}")
        return lots * self.lot


class GetInstrument(Request[Instrument], frozen=True, gc=False, tag="get_instrument"):
    """Asks the instrument master what `market` was at `at` (nanoseconds; None: what it is now).

    Refused `not_found` for a market that is not known, or was not then.
    """

    market: str
    at: int | None = None


class InstrumentPage(Message, frozen=True, gc=False, tag="instrument_page"):
    """Definitions sorted by market. `more`: there are further ones behind the last."""

    instruments: tuple[Instrument, ...]
    more: bool


MOST_LISTED = 1000
"""How many definitions one answer holds."""


class ListInstruments(Request[InstrumentPage], frozen=True, gc=False, tag="list_instruments"):
    """Asks the instrument master for the definitions that are true now, behind the market `after`.

    `venue` and `kind` empty: of all. At most `limit`, which is cut to 1000.
    """

    venue: str = ""
    kind: str = ""
    after: str = ""
    limit: int = 500


def _whole(amount: Fraction, step: int) -> int | None:
    count = round(amount / step)
    return count if abs(amount - count * step) * 1_000_000 <= step else None
