"""Exposure over all accounts: net and gross, for each market, each currency and in all, held against limits.

A position is worth its quantity at the price given, a short in a prediction market its collateral. Net counts longs
against shorts of the same market at the same price. What has no price, no definition or no rate is named, and the
figures that it would be part of are unknown (None), never less.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from actors.execution.risk.limits import Denial
from actors.execution.risk.notional import worth
from protocols.instruments import Instrument
from protocols.nanos import decimal_text, exact_nanos


class ExposureLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Over all accounts together, money as decimal text in the reporting currency; None: no limit."""

    max_gross: str | None = None
    max_net: str | None = None
    max_market_gross: str | None = None
    max_market_net: str | None = None
    max_currency_gross: str | None = None

    def __post_init__(self) -> None:
        for field in ExposureLimits.__struct_fields__:
            text = getattr(self, field)
            if text is None:
                continue
            try:
                negative = exact_nanos(text) < 0
            except ValueError as error:
                raise ValueError(f"{field}: expected a decimal number as text, {error}") from None
            if negative:
                raise ValueError(f"{field}: expected at least 0, got {text}")

    def nanos(self, field: str) -> int | None:
        """A limit in nanos; None: no limit."""
        text = getattr(self, field)
        return None if text is None else exact_nanos(text)


class Holding(msgspec.Struct, frozen=True, gc=False):
    """A position of an account: signed quantity, nanos."""

    account: str
    market: str
    quantity: int


class Exposed(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Exposure of one market, one currency or all. Nanos of the reporting currency; None: not known.

    `net` is signed. `accounts`: who has part in it. `unknown`: the markets without a price, a definition or a rate.
    """

    scope: Literal["market", "currency", "total"]
    name: str
    net: int | None
    gross: int | None
    accounts: tuple[str, ...]
    unknown: tuple[str, ...] = ()


class Exposure(msgspec.Struct, frozen=True, kw_only=True):
    """All of it, sorted by name. `breaches`: which limits are passed; what is unknown passes none and is named."""

    markets: tuple[Exposed, ...]
    currencies: tuple[Exposed, ...]
    total: Exposed
    breaches: tuple[Denial, ...]
    unknown: tuple[str, ...]


def exposure(
    holdings: Iterable[Holding],
    instruments: Mapping[str, Instrument],
    prices: Mapping[str, int],
    rates: Mapping[str, int],
    limits: ExposureLimits | None = None,
) -> Exposure:
    """Sum up positions of any number of accounts.

    `prices`: nanos, by market. `rates`: one unit of a currency in the reporting one, nanos, by currency. A market
    without a definition has an unknown currency, named "".
    """
    by_market: dict[str, list[Holding]] = {}
    for each in holdings:
        if each.quantity:
            by_market.setdefault(each.market, []).append(each)
    markets = [
        _of_market(market, by_market[market], instruments.get(market), prices.get(market), rates)
        for market in sorted(by_market)
    ]
    by_currency: dict[str, list[Exposed]] = {}
    for found in markets:
        instrument = instruments.get(found.name)
        by_currency.setdefault("" if instrument is None else instrument.currency, []).append(found)
    currencies = tuple(_sum("currency", name, by_currency[name]) for name in sorted(by_currency))
    total = _sum("total", "", markets)
    breaches = _breaches(limits or ExposureLimits(), markets, currencies, total)
    return Exposure(
        markets=tuple(markets), currencies=currencies, total=total, breaches=breaches, unknown=total.unknown
    )


def _of_market(
    market: str, held: list[Holding], instrument: Instrument | None, price: int | None, rates: Mapping[str, int]
) -> Exposed:
    accounts = tuple(sorted({each.account for each in held}))
    rate = None if instrument is None else rates.get(instrument.currency)
    if instrument is None or price is None or rate is None:
        return Exposed(scope="market", name=market, net=None, gross=None, accounts=accounts, unknown=(market,))
    gross = sum(worth(instrument, each.quantity, price, rate) for each in held)
    # One YES and one short of it are worth their payout whatever happens: net is the quantity's, not the money's.
    net_quantity = sum(each.quantity for each in held)
    net = worth(instrument, net_quantity, price, rate)
    signed = -net if net_quantity < 0 else net
    return Exposed(scope="market", name=market, net=signed, gross=gross, accounts=accounts)


def _sum(scope: Literal["currency", "total"], name: str, parts: list[Exposed]) -> Exposed:
    unknown = tuple(sorted({market for each in parts for market in each.unknown}))
    return Exposed(
        scope=scope,
        name=name,
        net=None if unknown else sum(each.net or 0 for each in parts),
        gross=None if unknown else sum(each.gross or 0 for each in parts),
        accounts=tuple(sorted({account for each in parts for account in each.accounts})),
        unknown=unknown,
    )


def _breaches(
    limits: ExposureLimits, markets: Iterable[Exposed], currencies: Iterable[Exposed], total: Exposed
) -> tuple[Denial, ...]:
    found = []
    for parts, gross_field, net_field in (
        (markets, "max_market_gross", "max_market_net"),
        (currencies, "max_currency_gross", ""),
        ((total,), "max_gross", "max_net"),
    ):
        for each in parts:
            for field, value in ((gross_field, each.gross), (net_field, each.net)):
                limit = limits.nanos(field) if field else None
                if limit is None or value is None or abs(value) <= limit:
                    continue
                shown, most = decimal_text(value), decimal_text(limit)
                name = each.name or "all accounts"
                found.append(Denial("exposure", f"{name}: {shown}, {most} is allowed", field, most, shown, each.name))
    return tuple(found)


def known_gross(found: Exposure) -> int:
    """The sum of the markets that have a price: what it is at least."""
    return sum(each.gross for each in found.markets if each.gross is not None)
