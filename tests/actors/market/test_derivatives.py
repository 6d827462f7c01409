"""Funding, liquidations and large trades: windows, sums, and what is missing."""

from __future__ import annotations

from actors.market.bars_intervals import SECOND
from actors.market.derivatives import Derivatives, notional_text
from protocols.market import Funding, Liquidation, Trade
from protocols.nanos import NANO

HOUR = 3600 * SECOND
NOW = 1_790_000_000 * SECOND


def known(kept: int = 10) -> Derivatives:
    return Derivatives(1000 * NANO, kept)


def funding(marks: tuple[str, ...] = (), ts: int = NOW) -> Funding:
    return Funding("M", "-0.00012", ts + HOUR, NANO, None, ts, ts, marks)


def forced(ago: int, side: str = "sell", marks: tuple[str, ...] = ()) -> Liquidation:
    return Liquidation("M", side, 100 * NANO, 2 * NANO, NOW - ago, NOW - ago, marks)  # type: ignore[arg-type]


def trade(ago: int, size: int, taker: str | None = "buy") -> Trade:
    return Trade("M", 100 * NANO, size * NANO, taker, "", "s", 1, NOW - ago, NOW - ago)  # type: ignore[arg-type]


def test_what_nobody_tells_is_missing_and_what_did_not_happen_is_zero() -> None:
    derivatives = known()
    view = derivatives.view("M", HOUR, HOUR, NOW)
    assert (view.funding, view.liquidations, view.large_trades) == (None, None, None)
    assert [name for name, _ in view.missing] == ["funding", "liquidations", "large_trades"]
    derivatives.fund(funding(), NOW)
    derivatives.trade(trade(5, 1), NOW)
    view = derivatives.view("M", HOUR, HOUR, NOW)
    assert view.missing == ()
    assert view.funding is not None
    assert view.funding.rate == "-0.00012"
    assert view.liquidations is not None
    assert (view.liquidations.count, view.liquidations.longs, view.liquidations.last) == (0, "0", None)
    assert view.large_trades is not None
    assert (view.large_trades.count, view.large_trades.largest) == (0, None)
    assert view.watched_from == NOW


def test_sums_are_of_the_window_and_by_side() -> None:
    derivatives = known()
    for liquidation in (forced(2 * HOUR), forced(HOUR - 1), forced(5, "buy"), forced(3, "buy")):
        derivatives.liquidate(liquidation, NOW)
    for each in (trade(2 * HOUR, 50), trade(9, 10), trade(8, 9), trade(7, 20, "sell"), trade(6, 30, None)):
        derivatives.trade(each, NOW)
    view = derivatives.view("M", HOUR, HOUR, NOW)
    assert view.liquidations is not None
    assert (view.liquidations.count, view.liquidations.longs, view.liquidations.shorts) == (3, "200", "400")
    assert view.large_trades is not None
    found = view.large_trades
    assert (found.count, found.bought, found.sold, found.unknown) == (3, "1000", "2000", "3000")
    assert found.largest == trade(6, 30, None)


def test_a_replays_window_is_in_its_own_time() -> None:
    derivatives = known()
    derivatives.liquidate(forced(HOUR + 5, marks=("delayed",)), NOW + 1000 * HOUR)
    derivatives.liquidate(forced(5, marks=("delayed",)), NOW + 1000 * HOUR)
    view = derivatives.view("M", HOUR, HOUR, NOW + 1000 * HOUR)
    assert view.liquidations is not None
    assert view.liquidations.count == 2
    assert view.watched_from == NOW - HOUR - 5


def test_after_a_loss_sums_begin_anew_and_say_from_when() -> None:
    derivatives = known()
    derivatives.liquidate(forced(5), NOW - 5)
    derivatives.trade(trade(5, 100), NOW - 5)
    derivatives.lose(NOW)
    view = derivatives.view("M", HOUR, HOUR, NOW)
    assert view.liquidations is not None
    assert view.liquidations.count == 0
    assert view.large_trades is not None
    assert view.large_trades.count == 0
    assert view.watched_from == NOW


def test_what_is_kept_is_bounded_and_sums_outgrow_int64() -> None:
    derivatives = known(kept=2)
    for _ in range(5):
        derivatives.liquidate(Liquidation("M", "buy", 9 * 10**18, 9 * 10**18, NOW, NOW), NOW)
    view = derivatives.view("M", HOUR, HOUR, NOW)
    assert view.liquidations is not None
    assert (view.liquidations.count, view.liquidations.shorts) == (2, "162000000000000000000")
    assert notional_text(-15 * NANO * NANO // 10) == "-1.5"
