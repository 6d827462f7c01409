from __future__ import annotations

from typing import Any

import msgspec
import pytest

from actors.execution.risk.protections import (
    ClosedTrade,
    CooldownPeriod,
    Lock,
    LowProfitPairs,
    MaxDrawdown,
    Protections,
    ProtectionSettings,
    StoplossGuard,
    exit_of,
)
from protocols.nanos import NANO
from protocols.orders import NewOrder
from tests.actors.execution.risk.desk import NOW, n, order

MINUTE = 60 * NANO


def trade(minute: float = 0, percent: float = -1, market: str = "BTC", **changes: Any) -> ClosedTrade:
    """A long of 100 that was closed by a stop in this minute with this return."""
    fields: dict[str, Any] = {"side": "long", "exit": "stop", "stake": n(100)}
    closed = NOW + round(minute * MINUTE)
    return ClosedTrade(market=market, ts_closed=closed, profit=round(percent * NANO), **{**fields, **changes})


def after(protection: ProtectionSettings, *trades: ClosedTrade) -> tuple[Lock, ...]:
    """The locks that hold once these were closed, each told at its closing."""
    protections = Protections([protection])
    for each in trades:
        protections.on_trade(each, each.ts_closed)
    return protections.locks(trades[-1].ts_closed)


def test_a_cooldown_locks_the_market_of_a_closed_trade_whatever_it_earned() -> None:
    (lock,) = after(CooldownPeriod(stop_minutes=5), trade(percent=3, exit="target"))
    assert (lock.market, lock.side, lock.until) == ("BTC", "*", NOW + 5 * MINUTE)
    assert lock.reason == "CooldownPeriod: 5 min after a closed trade"
    assert lock.holds("BTC", "short", "a", NOW + 5 * MINUTE - 1)
    assert not lock.holds("BTC", "short", "a", NOW + 5 * MINUTE)
    assert not lock.holds("ETH", "long", "a", NOW)


def test_the_stop_loss_guard_counts_stops_within_its_look_back() -> None:
    guard = StoplossGuard(lookback_minutes=60, trade_limit=3, stop_minutes=10)
    assert after(guard, trade(0), trade(30), trade(60)) == ()
    (lock,) = after(guard, trade(1), trade(30, market="ETH"), trade(60))
    assert (lock.market, lock.side, lock.until) == ("*", "*", NOW + 70 * MINUTE)
    assert lock.reason == "StoplossGuard: 3 stops in 60 min"


@pytest.mark.parametrize(
    ("other", "counts"),
    [
        (trade(1, exit="trailing_stop"), True),
        (trade(1, exit="liquidation"), True),
        (trade(1, exit="signal"), False),
        (trade(1, percent=0), False),
        (trade(1, percent=1), False),
    ],
)
def test_only_a_losing_stop_counts_as_a_stop(other: ClosedTrade, counts: bool) -> None:
    guard = StoplossGuard(lookback_minutes=60, trade_limit=2, stop_minutes=10)
    assert bool(after(guard, trade(0), other)) == counts


@pytest.mark.parametrize(
    ("closing", "exit_"),
    [
        (order("sell", kind="stop", stop_price=n(90), source="bracket"), "stop"),
        (order("sell", 1, 89, kind="stop_limit", stop_price=n(90)), "stop"),
        (order("sell", kind="trailing_stop", trail=n(1)), "trailing_stop"),
        (order("sell", source="liquidation"), "liquidation"),
        (order("sell", 1, 110, source="bracket"), "bracket"),
        (order("sell"), "signal"),
    ],
)
def test_the_order_that_closes_a_trade_says_whether_it_was_stopped(closing: NewOrder, exit_: str) -> None:
    assert exit_of(closing) == exit_


def test_a_stop_counts_only_below_the_required_profit() -> None:
    guard = StoplossGuard(lookback_minutes=60, trade_limit=1, stop_minutes=10, required_profit=-0.05)
    assert after(guard, trade(percent=-5)) == ()
    assert after(guard, trade(percent=-5.000000001)) != ()


def test_a_guard_of_one_pair_and_side_locks_only_these() -> None:
    guard = StoplossGuard(lookback_minutes=60, trade_limit=2, stop_minutes=10, only_per_pair=True, only_per_side=True)
    assert after(guard, trade(0), trade(1, market="ETH"), trade(2, side="short")) == ()
    (lock,) = after(guard, trade(0, side="short"), trade(1, market="ETH"), trade(2, side="short"))
    assert (lock.market, lock.side, lock.until) == ("BTC", "short", NOW + 12 * MINUTE)
    assert not lock.holds("BTC", "long", "", NOW)


def test_a_drawdown_is_the_fall_of_the_summed_returns_from_their_highest() -> None:
    guard = MaxDrawdown(lookback_minutes=60, trade_limit=3, stop_minutes=10, max_allowed_drawdown=0.06)
    assert after(guard, trade(0, 10), trade(1, -4), trade(2, -2)) == ()
    (lock,) = after(guard, trade(0, 10), trade(1, -4), trade(2, -2.1))
    assert (lock.market, lock.side, lock.until) == ("*", "*", NOW + 12 * MINUTE)
    assert lock.reason == "MaxDrawdown: 0.0610 in 60 min, 0.06 allowed"
    # It begins at 0: losses alone are a drawdown; and it is no longer one with too few trades.
    assert after(guard, trade(0, -3), trade(1, -3), trade(2, -1)) != ()
    assert after(guard, trade(0, -3), trade(1, -30)) == ()


def test_a_pair_that_earns_too_little_is_locked() -> None:
    guard = LowProfitPairs(lookback_minutes=60, trade_limit=2, stop_minutes=10, required_profit=0.02)
    assert after(guard, trade(0, 5), trade(1, -3)) == ()
    (lock,) = after(guard, trade(0, 5), trade(1, -3.1))
    assert (lock.market, lock.side, lock.until) == ("BTC", "*", NOW + 11 * MINUTE)
    assert lock.reason == "LowProfitPairs: 0.0190 in 60 min, 0.02 required"
    assert after(guard, trade(0, 1), trade(1, 0, market="ETH")) == ()


def test_a_side_of_a_pair_that_earns_too_little_is_locked_alone() -> None:
    guard = LowProfitPairs(lookback_minutes=60, trade_limit=2, stop_minutes=10, only_per_side=True)
    assert after(guard, trade(0, -1), trade(1, -1, side="short")) == ()
    (lock,) = after(guard, trade(0, -1), trade(1, 50, side="short"), trade(2, -1))
    assert (lock.market, lock.side) == ("BTC", "long")


def test_of_the_same_lock_the_longest_stays() -> None:
    protections = Protections([CooldownPeriod(stop_minutes=5)])
    protections.on_trade(trade(0), NOW)
    protections.on_trade(trade(1), NOW + MINUTE)
    assert [each.until for each in protections.locks(NOW + MINUTE)] == [NOW + 6 * MINUTE]
    protections.lock(Lock("BTC", "*", "CooldownPeriod: by hand", NOW + 2 * MINUTE))
    assert [each.until for each in protections.locks(NOW + MINUTE)] == [NOW + 6 * MINUTE]
    protections.lock(Lock("BTC", "*", "by hand", NOW + 9 * MINUTE))
    held = protections.held("BTC", "long", "", NOW + MINUTE)
    assert held is not None
    assert held.reason == "by hand"
    assert protections.unlock() == 2
    assert protections.held("BTC", "long", "", NOW) is None


def test_a_trade_that_is_told_late_makes_no_lock_that_is_over() -> None:
    protections = Protections([CooldownPeriod(stop_minutes=5)])
    assert protections.on_trade(trade(0), NOW + 5 * MINUTE) == ()


def test_protections_go_on_from_their_snapshot() -> None:
    settings: list[ProtectionSettings] = [StoplossGuard(lookback_minutes=60, trade_limit=2, stop_minutes=10)]
    settings.append(CooldownPeriod(stop_minutes=1))
    before, after_ = Protections(settings), Protections(settings)
    before.on_trade(trade(0), NOW)
    after_.restore(before.snapshot())
    assert after_.locks(NOW) == before.locks(NOW) != ()
    assert after_.on_trade(trade(1), NOW + MINUTE) == before.on_trade(trade(1), NOW + MINUTE) != ()
    assert after_.snapshot() == before.snapshot()


def test_protections_are_named_in_configuration() -> None:
    found = msgspec.convert(
        [{"kind": "CooldownPeriod", "stop_minutes": 5}, {"kind": "MaxDrawdown", "lookback_minutes": 60,
          "trade_limit": 2, "stop_minutes": 5, "max_allowed_drawdown": 0.2}],
        tuple[ProtectionSettings, ...],
    )  # fmt: skip
    assert [type(each) for each in found] == [CooldownPeriod, MaxDrawdown]
    with pytest.raises(msgspec.ValidationError, match="Invalid value 'Cooldown'"):
        msgspec.convert({"kind": "Cooldown", "stop_minutes": 5}, ProtectionSettings)
    with pytest.raises(msgspec.ValidationError, match="stop_minutes"):
        msgspec.convert({"kind": "CooldownPeriod", "stop_minutes": 0}, ProtectionSettings)
