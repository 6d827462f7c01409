"""Protections: locks of a market, or of all, after losses."""

from __future__ import annotations

from typing import Literal

import msgspec

TradeSide = Literal["long", "short"]


class ClosedTrade(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A position from flat to flat. Money in nanos of the account's currency, fees taken off `profit`.

    `stake`: what was put in: entry price times size. `exit`: what closed it ("stop", "liquidation", "target",
    "signal" …).
    """

    market: str
    side: TradeSide
    ts_closed: int
    profit: int
    stake: int
    exit: str = ""
    deployment_id: str = ""


class Lock(msgspec.Struct, frozen=True, gc=False):
    """No new risk in `market` ("*": in any) on `side` ("*": either) before `until`."""

    market: str
    side: Literal["long", "short", "*"]
    reason: str
    until: int
    deployment_id: str = ""


class ProtectionSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One protection."""

    kind: Literal["CooldownPeriod", "StoplossGuard", "MaxDrawdown", "LowProfitPairs"]
