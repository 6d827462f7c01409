"""Protections: after losses a market, or all of them, is locked for a while. Exits always pass.

The four that users of freqtrade know, by their names and as its documentation describes what they do:

* **CooldownPeriod**: a market in which a trade was closed is locked for `stop_minutes` from then on.
* **StoplossGuard**: `trade_limit` or more trades within the look-back were closed by a stop, each with a return below
  `required_profit`: everything is locked (with `only_per_pair` that market, with `only_per_side` that side).
* **MaxDrawdown**: with at least `trade_limit` trades within the look-back, the sum of their returns, which begins at 0,
  has fallen from its highest by more than `max_allowed_drawdown`: everything is locked.
* **LowProfitPairs**: with at least `trade_limit` trades of a market within the look-back, the sum of their returns is
  below `required_profit`: that market is locked (with `only_per_side` on that side).

The return of a trade is its profit, fees taken off, over what was put in. They are judged whenever a trade is closed;
a lock lasts `stop_minutes` from the closing of the newest trade that it counts. Times are integer nanoseconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from fractions import Fraction
from typing import Annotated, Final, Literal

import msgspec

from protocols.nanos import NANO
from protocols.orders import NewOrder

TradeSide = Literal["long", "short"]
LockSide = Literal["long", "short", "*"]
Minutes = Annotated[int, msgspec.Meta(ge=1, le=525_600)]
Limit = Annotated[int, msgspec.Meta(ge=1, le=100_000)]

STOPS: Final = frozenset({"stop", "trailing_stop", "liquidation"})
ALL: Final = "*"
MINUTE: Final = 60 * NANO


class ClosedTrade(msgspec.Struct, frozen=True, gc=False, kw_only=True, array_like=True):
    """A position from flat to flat. Money in nanos of the account's currency, fees taken off `profit`.

    `stake`: what was put in: entry price times size. `exit`: what closed it (`exit_of`): "stop", "trailing_stop" and
    "liquidation" count as stops, whatever else does not.
    """

    market: str
    side: TradeSide
    ts_closed: int
    profit: int
    stake: int
    exit: str = ""
    deployment_id: str = ""

    def part(self) -> Fraction:
        """Its return: profit over stake; 0 where nothing was put in."""
        return Fraction(self.profit, self.stake) if self.stake else Fraction(0)


def exit_of(order: NewOrder) -> str:
    """What closed a trade, by the order that did: "stop", "trailing_stop", "liquidation", else the order's source."""
    if order.source == "liquidation":
        return "liquidation"
    if order.kind == "trailing_stop":
        return "trailing_stop"
    return "stop" if order.kind in ("stop", "stop_limit") else order.source


class Lock(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """No new risk in `market` ("*": in any) on `side` ("*": either) while the time is before `until`.

    `deployment_id`: whose orders; empty: everybody's.
    """

    market: str
    side: LockSide
    reason: str
    until: int
    deployment_id: str = ""

    def holds(self, market: str, side: TradeSide, deployment_id: str, ts: int) -> bool:
        """Whether it keeps such an order from being sent."""
        return (
            ts < self.until
            and self.market in (ALL, market)
            and self.side in (ALL, side)
            and self.deployment_id in ("", deployment_id)
        )


class CooldownPeriod(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag=True):
    """No new trade in a market for a while after one was closed."""

    stop_minutes: Minutes

    @property
    def lookback_minutes(self) -> int:
        """How far back trades count."""
        return self.stop_minutes

    def judge(self, trades: Sequence[ClosedTrade], last: ClosedTrade) -> Lock | None:
        """The lock that follows from the trade that was closed last."""
        until = last.ts_closed + self.stop_minutes * MINUTE
        return Lock(last.market, ALL, f"CooldownPeriod: {self.stop_minutes} min after a closed trade", until)


class StoplossGuard(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag=True):
    """No new trade after several stops."""

    lookback_minutes: Minutes
    trade_limit: Limit
    stop_minutes: Minutes
    required_profit: float = 0.0
    """A stop counts with a return below it."""
    only_per_pair: bool = False
    only_per_side: bool = False

    def judge(self, trades: Sequence[ClosedTrade], last: ClosedTrade) -> Lock | None:
        """The lock that follows from the trades within the look-back, of which `last` is the newest."""
        least = _fraction(self.required_profit)
        counted = [
            each
            for each in trades
            if each.exit in STOPS
            and each.part() < least
            and (not self.only_per_pair or each.market == last.market)
            and (not self.only_per_side or each.side == last.side)
        ]
        if len(counted) < self.trade_limit:
            return None
        return Lock(
            last.market if self.only_per_pair else ALL,
            last.side if self.only_per_side else ALL,
            f"StoplossGuard: {len(counted)} stops in {self.lookback_minutes} min",
            _until(counted, self.stop_minutes),
        )


class MaxDrawdown(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag=True):
    """No new trade after the sum of returns has fallen too far."""

    lookback_minutes: Minutes
    trade_limit: Limit
    stop_minutes: Minutes
    max_allowed_drawdown: Annotated[float, msgspec.Meta(ge=0)]

    def judge(self, trades: Sequence[ClosedTrade], last: ClosedTrade) -> Lock | None:
        """The lock that follows from the trades within the look-back, in the order in which they were closed."""
        if len(trades) < self.trade_limit:
            return None
        total = highest = fallen = Fraction(0)
        for each in trades:
            total += each.part()
            highest = max(highest, total)
            fallen = max(fallen, highest - total)
        if fallen <= _fraction(self.max_allowed_drawdown):
            return None
        return Lock(
            ALL,
            ALL,
            f"MaxDrawdown: {float(fallen):.4f} in {self.lookback_minutes} min, {self.max_allowed_drawdown:g} allowed",
            _until(trades, self.stop_minutes),
        )


class LowProfitPairs(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind", tag=True):
    """No new trade in a market that has not earned enough."""

    lookback_minutes: Minutes
    trade_limit: Limit
    stop_minutes: Minutes
    required_profit: float = 0.0
    only_per_side: bool = False

    def judge(self, trades: Sequence[ClosedTrade], last: ClosedTrade) -> Lock | None:
        """The lock that follows from the market's trades within the look-back."""
        counted = [
            each for each in trades if each.market == last.market and (not self.only_per_side or each.side == last.side)
        ]
        if len(counted) < self.trade_limit:
            return None
        earned = sum((each.part() for each in counted), Fraction(0))
        if earned >= _fraction(self.required_profit):
            return None
        return Lock(
            last.market,
            last.side if self.only_per_side else ALL,
            f"LowProfitPairs: {float(earned):.4f} in {self.lookback_minutes} min, {self.required_profit:g} required",
            _until(counted, self.stop_minutes),
        )


ProtectionSettings = CooldownPeriod | StoplossGuard | MaxDrawdown | LowProfitPairs


class _State(msgspec.Struct, frozen=True, array_like=True):
    version: Literal[1]
    trades: list[ClosedTrade]
    locks: list[Lock]


class Protections:
    """The protections of an account, or of one deployment, with the trades that they look back on and their locks."""

    def __init__(self, settings: Sequence[ProtectionSettings] = (), deployment_id: str = "") -> None:
        self.settings = tuple(settings)
        self.deployment_id = deployment_id
        self._trades: deque[ClosedTrade] = deque()
        self._locks: list[Lock] = []

    def configure(self, settings: Sequence[ProtectionSettings]) -> None:
        """Go on with others; locks hold on."""
        self.settings = tuple(settings)

    def on_trade(self, trade: ClosedTrade, ts: int) -> tuple[Lock, ...]:
        """A trade was closed; the locks that follow from it. `ts` not before its closing."""
        self._trades.append(trade)
        longest = max((each.lookback_minutes for each in self.settings), default=0)
        while self._trades and self._trades[0].ts_closed <= ts - longest * MINUTE:
            self._trades.popleft()
        new = []
        for protection in self.settings:
            since = ts - protection.lookback_minutes * MINUTE
            lock = protection.judge([each for each in self._trades if each.ts_closed > since], trade)
            if lock is not None and lock.until > ts:
                new.append(msgspec.structs.replace(lock, deployment_id=self.deployment_id))
        for lock in new:
            self.lock(lock)
        return tuple(new)

    def lock(self, lock: Lock) -> None:
        """Add a lock, by hand too. Of one protection, market and side only the longest stays."""
        kind = _kind(lock)
        if not any(_kind(each) == kind and each.until >= lock.until for each in self._locks):
            self._locks = [each for each in self._locks if _kind(each) != kind]
            self._locks.append(lock)

    def unlock(self, market: str = ALL) -> int:
        """Take all locks of a market away ("*": every lock there is). How many there were."""
        kept = [] if market == ALL else [each for each in self._locks if each.market != market]
        removed = len(self._locks) - len(kept)
        self._locks = kept
        return removed

    def locks(self, ts: int) -> tuple[Lock, ...]:
        """Those that hold now; the others are forgotten."""
        if self._locks:
            self._locks = [each for each in self._locks if ts < each.until]
        return tuple(self._locks)

    def held(self, market: str, side: TradeSide, deployment_id: str, ts: int) -> Lock | None:
        """The lock that keeps an order from being sent, if any: the one that lasts longest."""
        found = [each for each in self._locks if each.holds(market, side, deployment_id, ts)]
        return max(found, key=lambda each: each.until, default=None)

    def snapshot(self) -> bytes:
        """Trades and locks, as msgpack."""
        return msgspec.msgpack.encode(_State(1, list(self._trades), self._locks))

    def restore(self, data: bytes) -> None:
        """Go on from a snapshot. Raises msgspec.ValidationError."""
        state = msgspec.msgpack.decode(data, type=_State)
        self._trades, self._locks = deque(state.trades), state.locks


def _kind(lock: Lock) -> tuple[str, str, str]:
    return lock.reason.partition(":")[0], lock.market, lock.side


def _until(trades: Sequence[ClosedTrade], minutes: int) -> int:
    return max(each.ts_closed for each in trades) + minutes * MINUTE


def _fraction(value: float) -> Fraction:
    # The digits that a person wrote: 0.1 as a float is a little more than a tenth.
    return Fraction(repr(value))
