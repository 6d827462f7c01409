"""Exposure over all accounts, for people: net and gross, by market, by currency and in all."""

from __future__ import annotations

import msgspec

from actors.edge.call import Call
from actors.execution.http.numbers import string
from actors.execution.risk.exposure import Exposed, ExposureLimits, Holding, exposure
from protocols.control import Refused, Unknown
from protocols.deployments import DEPLOYMENTS
from protocols.execution import GetRisk, ListAccounts, RiskShown, account_actor
from protocols.instruments import Instrument
from protocols.nanos import NANO

ASK_S = 10.0


class ExposedBody(msgspec.Struct, frozen=True):
    """Exposure of one market, one currency or all, in the reporting currency; null: not known."""

    scope: str
    name: str
    net: str | None
    gross: str | None
    accounts: tuple[str, ...]
    unknown: tuple[str, ...]


class Breach(msgspec.Struct, frozen=True):
    """A limit that is passed."""

    limit: str
    allowed: str
    value: str
    name: str


class ExposureAnswer(msgspec.Struct, frozen=True):
    """All of it. `unreachable`: accounts that did not answer and are not in it; the total is not known then."""

    currency: str
    markets: tuple[ExposedBody, ...]
    currencies: tuple[ExposedBody, ...]
    total: ExposedBody
    breaches: tuple[Breach, ...]
    unknown: tuple[str, ...]
    unreachable: tuple[str, ...]


async def exposed(call: Call, currency: str, limits: ExposureLimits) -> ExposureAnswer:
    """Ask all accounts and sum up. Rates are those of accounts whose own currency is the reporting one."""
    shown: list[RiskShown] = []
    away: list[str] = []
    for name, *_ in (await call.ref(DEPLOYMENTS).ask(ListAccounts(), ASK_S)).accounts:
        try:
            shown.append(await call.ref(account_actor(name)).ask(GetRisk(), ASK_S))
        except (Refused, Unknown):
            away.append(name)
    holdings: list[Holding] = []
    instruments: dict[str, Instrument] = {}
    prices: dict[str, int] = {}
    rates = {currency: NANO}
    for account in shown:
        for held in account.holdings:
            holdings.append(Holding(account.account, held.market, held.quantity))
            if held.instrument is not None:
                instruments[held.market] = held.instrument
                if account.currency == currency and held.rate is not None:
                    rates[held.instrument.currency] = held.rate
            if held.price is not None:
                prices[held.market] = held.price
    found = exposure(holdings, instruments, prices, rates, limits)
    return ExposureAnswer(
        currency,
        tuple(map(_body, found.markets)),
        tuple(map(_body, found.currencies)),
        _body(msgspec.structs.replace(found.total, net=None, gross=None) if away else found.total),
        tuple(Breach(each.field, each.limit, each.value, each.scope) for each in found.breaches),
        found.unknown,
        tuple(away),
    )


def _body(found: Exposed) -> ExposedBody:
    return ExposedBody(found.scope, found.name, string(found.net), string(found.gross), found.accounts, found.unknown)
