from __future__ import annotations

import numpy as np
import pytest

from actors.thresholds.outcomes import Quoted, exit_side_return, resolves_at, usable
from actors.thresholds.pooling import DEFAULT_K, Estimate, Pool, empirical_k, pooled, weight


def users(between: float, within: float, count: int, seed: int) -> list[Estimate]:
    """Candidates that lie between^2 + within / n around a common one."""
    rng = np.random.default_rng(seed)
    found = []
    for n in rng.choice([50, 200, 1_000, 5_000], count).tolist():
        found.append(Estimate(0.4 + float(rng.normal(0, (between**2 + within / n) ** 0.5)), n))
    return found


@pytest.mark.parametrize(("between", "within"), [(0.3, 20.0), (0.1, 20.0), (0.3, 100.0)])
def test_k_is_found_from_how_users_differ(between: float, within: float) -> None:
    found = [empirical_k(users(between, within, 400, seed)) for seed in range(5)]
    assert np.median(found) == pytest.approx(within / between**2, rel=0.35)


def test_users_that_do_not_differ_weigh_as_one() -> None:
    assert np.median([empirical_k(users(0.0, 20.0, 200, seed)) for seed in range(9)]) > 10_000


def test_with_few_users_or_equal_numbers_k_cannot_be_told() -> None:
    assert empirical_k(users(0.3, 20.0, 7, 1)) == DEFAULT_K
    assert empirical_k([Estimate(0.1 * n, 100) for n in range(20)]) == DEFAULT_K
    assert empirical_k([]) == DEFAULT_K


def test_a_user_goes_from_the_default_over_the_symbol_to_the_own_as_decisions_come_in() -> None:
    pool = Pool(theta=1.0, n=9_000, trust=1.0, k_symbol=1_000, k_user=1_000)
    targets = [pooled(0.0, 2.0, n, 1.0, pool).theta for n in (0, 100, 1_000, 10**9)]
    assert targets[0] == pytest.approx(0.9)
    assert targets == sorted(targets)
    assert targets[2] == pytest.approx(0.9 + 0.5 * 1.1)
    assert targets[3] == pytest.approx(2.0)


def test_evidence_that_is_not_trusted_has_no_part_in_it() -> None:
    pool = Pool(theta=1.0, n=9_000, trust=0.0)
    assert pooled(0.0, 2.0, 500, 0.0, pool) == (0.0, 0.0, 0.0)
    assert pooled(0.0, 2.0, 500, 0.0, None).theta == 0.0
    assert pooled(0.1, 0.3, 500, 1.0, None).theta == 0.3
    assert weight(0, 0.0) == 0.0


def test_a_buy_goes_in_at_the_ask_and_out_at_the_bid_and_a_sell_the_other_way() -> None:
    opened, closed = Quoted(99.0, 100.0), Quoted(103.0, 104.0)
    assert exit_side_return("BUY", opened, closed) == pytest.approx(0.03)
    assert exit_side_return("SELL", opened, closed) == pytest.approx((99 - 104) / 99)
    assert exit_side_return("BUY", opened, closed, fee_rate=0.001) == pytest.approx(0.03 - 0.001 * 2.03)
    assert exit_side_return("BUY", opened, opened) == pytest.approx(-0.01)


def test_what_no_quote_tells_is_unknown_and_not_zero() -> None:
    both = Quoted(99.0, 100.0)
    assert exit_side_return("BUY", Quoted(99.0, None), both) is None
    assert exit_side_return("BUY", both, Quoted(None, 100.0)) is None
    assert exit_side_return("SELL", Quoted(0.0, 1.0), both) is None
    assert exit_side_return("BUY", both, Quoted(float("nan"), 1.0)) is None
    assert not usable(None)
    assert not usable(float("inf"))
    assert usable(0.0)


def test_a_declined_signal_resolves_at_its_expiry_and_else_after_the_horizon() -> None:
    assert resolves_at(100, 150, 1_000) == 150
    assert resolves_at(100, None, 1_000) == 1_100
    assert resolves_at(100, 90, 1_000) == 1_100  # an expiry before the signal is none
