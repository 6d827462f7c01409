"""What a fill costs. Positive is paid, negative earned; money in nanos, rounded once for each fill.

Kalshi's curve: rate · contracts · price · (1 − price), rounded up to $0.0001, and then as its page "Fee Rounding" says:
the change of the balance is floored to the member's precision, what that takes is a rounding fee, and once an order's
rounding fees together exceed a cent, a whole cent is given back. A real fill's own `fee_cost` goes before all this.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Final

import msgspec

from actors.execution.accounts.rounding import money, rounded
from actors.execution.matching.settings import FeeSettings
from protocols.instruments import Instrument
from protocols.nanos import NANO, exact_nanos
from protocols.orders import Liquidity, Side

_DAY: Final = 86_400 * NANO
_DAYS: Final = 30
_CENTICENT: Final = NANO // 10_000
_CENT: Final = NANO // 100


class OrderFees(msgspec.Struct):
    """What one order was charged: `charged` so far, `raw` without minimum and cap, `value` traded; Kalshi's
    `overpaid` roundings that were not given back."""

    charged: int = 0
    raw: int = 0
    value: int = 0
    overpaid: int = 0


class Fees:
    """The fees of one account at one venue. It remembers the volume of the last 30 days, and orders while they live."""

    def __init__(self, settings: FeeSettings) -> None:
        self.settings = settings
        self.orders: dict[str, OrderFees] = {}
        self.volumes: dict[int, int] = {}
        """Money traded by day number."""
        self._step = 10 ** (9 - settings.digits)
        self._volumes_of_tiers = [exact_nanos(tier.volume) for tier in settings.tiers]

    def missing(self, instrument: Instrument) -> str:
        """Why nothing can be charged for this instrument; empty where it can."""
        settings = self.settings
        if settings.model != "instrument" or settings.tiers or _is_kalshi(instrument):
            return ""
        for name in ("maker", "taker"):
            if getattr(settings, name) is None and getattr(instrument, f"{name}_fee") is None:
                return f"fees.{name}: expected a share, as the instrument {instrument.market} names none"
        return ""

    def charge(
        self,
        client_order_id: str,
        instrument: Instrument,
        side: Side,
        price: int,
        size: int,
        liquidity: Liquidity,
        ts: int,
    ) -> int:
        """The fee of one fill, which is booked here as the order's. Call it once for each fill, in their order."""
        settings = self.settings
        notional = abs(money(price, size, instrument.multiplier))
        order = self.orders.setdefault(client_order_id, OrderFees())
        if settings.model == "none":
            fee = 0
        elif settings.model == "kalshi" or (settings.model == "instrument" and _is_kalshi(instrument)):
            fee = self._kalshi(order, side, price, size, liquidity)
        elif settings.model == "per_contract":
            fee = self._per_contract(order, size, notional, liquidity)
        else:
            share = Fraction(self._share(instrument, liquidity, ts))
            raw = notional * share
            fee = rounded(raw.numerator, raw.denominator * self._step, "half_up") * self._step
        order.charged += fee
        order.value += notional
        day = ts // _DAY
        self.volumes[day] = self.volumes.get(day, 0) + notional
        return fee

    def forget(self, client_order_id: str) -> None:
        """The order is final."""
        self.orders.pop(client_order_id, None)

    def volume(self, ts: int) -> int:
        """Money traded in the 30 days before the day of `ts`, and on it."""
        first = ts // _DAY - _DAYS
        for day in [day for day in self.volumes if day < first]:
            del self.volumes[day]
        return sum(self.volumes.values())

    def _share(self, instrument: Instrument, liquidity: Liquidity, ts: int) -> str:
        settings = self.settings
        if settings.tiers:
            traded = self.volume(ts)
            tier = settings.tiers[sum(1 for least in self._volumes_of_tiers if least <= traded) - 1]
            return tier.maker if liquidity == "maker" else tier.taker
        own, theirs = (
            (settings.maker, instrument.maker_fee) if liquidity == "maker" else (settings.taker, instrument.taker_fee)
        )
        share = theirs if own is None else own
        if share is None:
            raise ValueError(self.missing(instrument))
        return share

    def _per_contract(self, order: OrderFees, size: int, notional: int, liquidity: Liquidity) -> int:
        settings = self.settings
        each = settings.maker if liquidity == "maker" else settings.taker
        if each is None:
            raise ValueError("per_contract: expected maker and taker, money for one unit of size")
        order.raw += rounded(exact_nanos(each) * size, NANO, "half_up")
        due: int = max(order.raw, exact_nanos(settings.minimum))
        if settings.maximum_share:
            cap = Fraction(Decimal(settings.maximum_share)) * (order.value + notional)
            due = min(due, int(cap))
        fee: int = rounded(due - order.charged, self._step, "half_up") * self._step
        return fee

    def _kalshi(self, order: OrderFees, side: Side, price: int, size: int, liquidity: Liquidity) -> int:
        settings = self.settings
        rate = Fraction(settings.kalshi_maker if liquidity == "maker" else settings.kalshi_taker)
        exact = rate * size * price * (NANO - price) / (NANO * NANO)
        trade_fee = rounded(exact.numerator, exact.denominator * _CENTICENT, "ceiling") * _CENTICENT
        revenue = Fraction(price * size, NANO) * (-1 if side == "buy" else 1)
        change = revenue - trade_fee
        precision = 10 ** (9 - settings.member_digits)
        floor = rounded(change.numerator, change.denominator * precision, "floor") * precision
        # A product finer than nanos of money has a rounding fee as fine; it is charged in whole nanos, rounded up.
        extra = change - floor
        rounding_fee = rounded(extra.numerator, extra.denominator, "ceiling")
        order.overpaid += rounding_fee
        fee: int = trade_fee + rounding_fee
        # A net fee is never negative: a cent that this fill cannot give back waits for the next one.
        if order.overpaid > _CENT and fee >= _CENT:
            order.overpaid -= _CENT
            fee -= _CENT
        return fee


def _is_kalshi(instrument: Instrument) -> bool:
    return (
        instrument.kind == "prediction"
        and instrument.venue.lower() == "kalshi"
        and instrument.maker_fee is None
        and instrument.taker_fee is None
    )
