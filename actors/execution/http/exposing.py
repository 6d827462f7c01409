"""Exposure over all accounts, for people: net and gross, by market, by currency and in all."""

from __future__ import annotations

import msgspec

from actors.edge.call import Call
from actors.execution.all_accounts import exposure_of_all
from actors.execution.http.numbers import string
from actors.execution.risk.exposure import Exposed, ExposureLimits


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
    """Ask all accounts and sum up."""
    found, away = await exposure_of_all(call.ref, currency, limits)
    return ExposureAnswer(
        currency,
        tuple(map(_body, found.markets)),
        tuple(map(_body, found.currencies)),
        _body(msgspec.structs.replace(found.total, net=None, gross=None) if away else found.total),
        tuple(Breach(each.field, each.limit, each.value, each.scope) for each in found.breaches),
        found.unknown,
        away,
    )


def _body(found: Exposed) -> ExposedBody:
    return ExposedBody(found.scope, found.name, string(found.net), string(found.gross), found.accounts, found.unknown)
