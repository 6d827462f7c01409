"""Trades that are told over HTTP, in the many ways in which clients write a return and a time."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Annotated

import msgspec

from actors.edge.errors import HttpError
from actors.thresholds.http.bodies import BATCH, Name, User
from actors.thresholds.http.evaluation_bodies import SignalBody


class TradeBody(msgspec.Struct, frozen=True, kw_only=True):
    """What a trade came to. Wanted is one of: `return` (a share after costs: 0.01 is 1 %); `pnl_percent`; `pnl` with
    `entry_price` and `quantity`; `entry_price` and `exit_price` with an `action`, and `fees` with a `quantity`."""

    return_: float | None = msgspec.field(default=None, name="return")
    pnl_percent: float | None = None
    pnl: float | None = None
    fees: float | None = None
    entry_price: float | None = None
    exit_price: float | None = None
    quantity: float | None = None
    action: str | None = None
    opened_at: int | float | str | None = None
    closed_at: int | float | str | None = None
    trade_id: Name = msgspec.field(default="", name="id")
    session_id: Name = ""


class ToldTrade(msgspec.Struct, frozen=True):
    """A closed trade. `signal` or `signal_id` (of an evaluated one): what it was traded upon; without either the
    thresholds cannot learn from it."""

    symbol: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    trade: TradeBody
    signal: SignalBody | None = None
    signal_id: Name = ""


class UpdatePerformance(ToldTrade, frozen=True, kw_only=True):
    """A closed trade of a user."""

    user_id: User


class UpdatePerformances(msgspec.Struct, frozen=True):
    """Closed trades of a user, at most 1000, the oldest first. With an `id` each, they may be told again."""

    user_id: User
    trades: Annotated[tuple[ToldTrade, ...], msgspec.Meta(min_length=1, max_length=BATCH)]


class TradeTakenBody(msgspec.Struct, frozen=True):
    """The trade is stored. `repeated`: it was already. `learning`: whether thresholds learn from it; `remark`: why
    not."""

    trade_id: str
    symbol: str
    pnl_percent: float
    repeated: bool
    learning: bool
    remark: str | None
    recorded_at: str


class TradesTakenBody(msgspec.Struct, frozen=True):
    """The trades are stored, in their order. `repeated`, `learning`: how many of them."""

    trades: tuple[TradeTakenBody, ...]
    total: int
    repeated: int
    learning: int


def share_of(trade: TradeBody) -> float:
    """The return of a trade. Raises HttpError 400 where it cannot be told."""
    if trade.return_ is not None:
        return trade.return_
    if trade.pnl_percent is not None:
        return trade.pnl_percent / 100
    stake = None
    if trade.entry_price is not None and trade.quantity is not None:
        stake = abs(trade.entry_price * trade.quantity)
    if trade.pnl is not None and stake:
        return trade.pnl / stake
    action = (trade.action or "").upper()
    entry, exit_price = trade.entry_price, trade.exit_price
    if entry and exit_price is not None and action in ("BUY", "SELL"):
        costs = trade.fees / stake if trade.fees is not None and stake else 0.0
        if trade.fees is None or stake:
            return (1 if action == "BUY" else -1) * (exit_price - entry) / entry - costs
    got = [name for name, value in msgspec.structs.asdict(trade).items() if value not in (None, "")]
    message = (
        "trade: expected return, pnl_percent, pnl with entry_price and quantity, or entry_price and exit_price with an "
        f"action (and a quantity where there are fees), got {', '.join(got) or 'nothing'}"
    )
    raise HttpError(400, "invalid", message, "trade")


def nanoseconds(given: float | str | None, field: str) -> int:
    """A time as clients write it (ISO 8601, or s, ms, µs, ns since 1970), in ns; 0: not said. Raises HttpError 400."""
    if given is None:
        return 0
    if isinstance(given, str):
        try:
            at = datetime.fromisoformat(given)
            at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
            return int(at.timestamp() * 1_000_000) * 1000
        except (ValueError, OverflowError):
            raise HttpError(400, "invalid", f"{field}: expected ISO 8601, or a number, got {given!r}", field) from None
    if not 0 <= given < 2**63 or not math.isfinite(given):
        raise HttpError(400, "invalid", f"{field}: expected a time since 1970, got {given}", field)
    for limit, factor in ((1e11, 10**9), (1e14, 10**6), (1e17, 10**3)):
        if given < limit:
            return int(given * factor)
    return int(given)
