from __future__ import annotations

import pytest

from actors.agents.environment.account import EpisodeAccount, TradingSettings
from actors.agents.environment.actions import SHARES, SIMPLE, signed
from actors.execution.matching.settings import FeeSettings, FillSettings, LatencySettings, LogNormal
from protocols.nanos import NANO
from tests.actors.agents.environment.kit import barred, quoted

SELL, HOLD, BUY = SIMPLE
FREE = TradingSettings(fills=FillSettings(fees=FeeSettings(model="none")))


def test_who_buys_pays_the_spread_and_the_fee() -> None:
    account = EpisodeAccount(TradingSettings(), quoted([(9.0, 10.0)] * 4), 0, seed=1)
    account.act(BUY)
    account.advance()
    # 1 % of the cash is kept back: 9900 buys 989 whole shares at 10 and the fee of 0.1 % on them.
    assert account.fills == 1
    assert account.fees == pytest.approx(9.89)
    assert account.equity == pytest.approx(10_000 - 989 * 1.0 - 9.89)
    assert account.exposure == pytest.approx(989 * 9.0 / account.equity)


def test_an_order_meets_the_price_that_stands_when_it_arrives_and_not_the_one_that_was_seen() -> None:
    slow = FillSettings(
        latency=LatencySettings(entry=LogNormal(median=1, sigma=0, minimum=2 * 3600 * NANO, maximum=3 * 3600 * NANO)),
        fees=FeeSettings(model="none"),
        beyond_quote="slip",
    )
    track = quoted([(9.9, 10.0), (10.9, 11.0), (11.9, 12.0), (12.9, 13.0)])
    account = EpisodeAccount(TradingSettings(fills=slow), track, 0, seed=1)
    account.act(BUY)
    account.advance()
    assert account.open_orders == 1
    assert account.fills == 0
    account.advance()
    account.advance()
    # Sent at 10.0, two hours on the way: 990 shares at 12.0, which makes the cash negative by what the price ran away.
    assert account.fills == 1
    assert account.equity == pytest.approx(10_000 + 990 * (12.9 - 12.0))


def test_where_bars_are_all_there_is_an_order_fills_at_the_next_open() -> None:
    account = EpisodeAccount(FREE, barred([10.0, 10.0, 12.0, 12.0]), 0, seed=1)
    account.act(BUY)
    account.advance()
    assert account.fills == 1
    account.advance()
    assert account.equity == pytest.approx(10_000 + 990 * 2.0)


def test_what_is_sold_is_held() -> None:
    account = EpisodeAccount(FREE, barred([10.0] * 4), 0, seed=1)
    assert account.act(SELL) is None
    account.advance()
    assert account.orders == 0
    assert account.equity == 10_000


@pytest.mark.parametrize("index", range(11))
def test_each_of_the_eleven_actions_does_what_its_name_says(index: int) -> None:
    action = SHARES[index]
    account = EpisodeAccount(FREE, barred([10.0] * 6), 0, seed=1)
    account.act(SHARES[3])
    account.advance()
    held = account.exposure
    assert held == pytest.approx(0.6 * 0.99, abs=0.001)
    account.act(action)
    account.advance()
    if index == 0:
        assert account.exposure == held
    elif 1 <= index <= 5:
        assert action.side == "BUY"
        assert action.share == pytest.approx(0.2 * index)
        assert account.exposure == pytest.approx(held + (1 - held) * 0.99 * action.share, abs=0.001)
    else:
        assert action.side == "SELL"
        assert action.share == pytest.approx(0.2 * (index - 5))
        assert account.exposure == pytest.approx(held * (1 - action.share), abs=0.001)


def test_the_sign_of_an_action_is_that_of_its_side() -> None:
    assert [signed(action) for action in SHARES] == [0, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1]
    assert [signed(action) for action in SIMPLE] == [-1, 0, 1]


def test_an_order_that_is_worth_next_to_nothing_is_not_given() -> None:
    account = EpisodeAccount(TradingSettings(capital="10000", minimum="3000"), barred([10.0] * 4), 0, seed=1)
    assert not account.possible(SHARES[1])
    assert account.possible(SHARES[2])
    account.act(SHARES[1])
    assert account.orders == 0


def test_a_settled_market_pays_and_takes_no_more_orders() -> None:
    account = EpisodeAccount(FREE, barred([10.0, 10.0, 10.0], settlement=15 * NANO), 0, seed=1)
    account.act(BUY)
    account.advance()
    account.advance()
    assert account.settled
    assert account.equity == pytest.approx(10_000 + 990 * 5.0)
    assert account.exposure == pytest.approx(0.0)
    assert not account.possible(BUY)


def test_a_position_that_nobody_bids_for_keeps_its_last_known_value() -> None:
    account = EpisodeAccount(FREE, quoted([(9.0, 10.0), (9.0, 10.0), (None, 10.0), (8.0, 9.0)]), 0, seed=1)
    account.act(BUY)
    account.advance()
    known = account.equity
    account.advance()
    assert account.equity == known
    account.advance()
    assert account.equity == pytest.approx(known - 990)


def test_settings_without_money_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^capital: expected above 0, got '0'$"):
        TradingSettings(capital="0")
