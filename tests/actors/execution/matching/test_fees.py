from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from actors.execution.matching.fees import Fees
from actors.execution.matching.settings import FeeSettings, FeeTier, SlippageSettings
from actors.execution.matching.slippage import most_of, share_of, slipped
from actors.execution.matching.ticks import not_better, on_tick, worse_by
from protocols.instruments import Instrument, PriceRange
from protocols.nanos import NANO, exact_nanos
from protocols.orders import VenueRejected
from tests.actors.execution.matching.kit import first_fill, instrument, order, send, snapshot, tell, venue

DAY = 86_400 * NANO


def usd(text: str) -> int:
    return exact_nanos(text)


def test_makers_and_takers_pay_the_instruments_own_shares() -> None:
    fees = Fees(FeeSettings())
    spot = instrument(maker_fee="-0.0001", taker_fee="0.001")
    assert fees.charge("a", spot, "buy", usd("123.45"), 2 * NANO, "taker", 0) == usd("0.2469")
    assert fees.charge("b", spot, "sell", usd("123.45"), 2 * NANO, "maker", 0) == usd("-0.02469")


def test_an_override_goes_before_the_instrument_and_tiers_before_both() -> None:
    spot = instrument(maker_fee="0", taker_fee="0.001")
    assert Fees(FeeSettings(taker="0.002")).charge("a", spot, "buy", usd("100"), NANO, "taker", 0) == usd("0.2")
    tiers = (FeeTier(volume="0", maker="0.001", taker="0.002"), FeeTier(volume="1000", maker="0", taker="0.0005"))
    fees = Fees(FeeSettings(taker="0.9", tiers=tiers))
    assert fees.charge("a", spot, "buy", usd("100"), 10 * NANO, "taker", 0) == usd("2")
    assert fees.charge("b", spot, "buy", usd("100"), 10 * NANO, "taker", DAY) == usd("0.5")
    # 31 days later the first trade is forgotten, and the second alone reaches the tier.
    assert fees.charge("c", spot, "buy", usd("100"), NANO, "taker", 31 * DAY) == usd("0.05")
    assert fees.charge("d", spot, "buy", usd("100"), NANO, "taker", 62 * DAY) == usd("0.2")


def test_a_fee_is_rounded_once_to_the_digits_asked_for() -> None:
    spot = instrument(maker_fee="0", taker_fee="0.00123456789")
    assert Fees(FeeSettings(digits=2)).charge("a", spot, "buy", usd("12.5"), NANO, "taker", 0) == usd("0.02")
    assert Fees(FeeSettings()).charge("a", spot, "buy", usd("12.5"), NANO, "taker", 0) == usd("0.0154321")


def test_fees_for_each_contract_have_a_minimum_and_a_cap_for_the_whole_order() -> None:
    fees = Fees(
        FeeSettings(model="per_contract", maker="0.005", taker="0.005", minimum="1", maximum_share="0.005", digits=2)
    )
    stock = instrument(kind="equity")
    assert fees.charge("a", stock, "buy", usd("50"), 100 * NANO, "taker", 0) == usd("1")
    assert fees.charge("a", stock, "buy", usd("50"), 100 * NANO, "taker", 0) == 0
    assert fees.charge("a", stock, "buy", usd("50"), 200 * NANO, "taker", 0) == usd("1")
    assert fees.charge("b", stock, "buy", usd("0.1"), 100 * NANO, "taker", 0) == usd("0.05")


def test_a_multiplier_makes_the_value_that_is_charged() -> None:
    fees = Fees(FeeSettings(taker="0.001", maker="0"))
    assert fees.charge("a", instrument(multiplier=50 * NANO), "buy", usd("10"), NANO, "taker", 0) == usd("0.5")


def kalshi() -> Instrument:
    return instrument(
        kind="prediction",
        venue="kalshi",
        maker_fee=None,
        taker_fee=None,
        price_ranges=(PriceRange(0, NANO, NANO // 1000),),
    )


def test_kalshis_curve_is_rounded_up_to_a_hundredth_of_a_cent_and_the_balance_to_the_members_precision() -> None:
    # 0.07 · 100 · 0.5 · 0.5 = 1.75; 0.07 · 1 · 0.05 · 0.95 = 0.003325 → 0.0034.
    assert Fees(FeeSettings()).charge("a", kalshi(), "buy", usd("0.5"), 100 * NANO, "taker", 0) == usd("1.75")
    direct = Fees(FeeSettings(member_digits=4))
    assert direct.charge("a", kalshi(), "buy", usd("0.05"), NANO, "taker", 0) == usd("0.0034")
    # The balance changes by −0.0534, floored to −0.06: a rounding fee of 0.0066.
    assert Fees(FeeSettings()).charge("a", kalshi(), "buy", usd("0.05"), NANO, "taker", 0) == usd("0.01")
    # A seller's +0.95 − 0.0034 = 0.9466 is floored to 0.94.
    assert Fees(FeeSettings()).charge("a", kalshi(), "sell", usd("0.95"), NANO, "taker", 0) == usd("0.01")
    assert Fees(FeeSettings()).charge("a", kalshi(), "buy", usd("0.5"), NANO, "maker", 0) == 0
    charged = Fees(FeeSettings(kalshi_maker="0.0175", member_digits=4))
    assert charged.charge("a", kalshi(), "buy", usd("0.5"), NANO, "maker", 0) == usd("0.0044")


def test_kalshi_gives_a_cent_back_once_an_orders_roundings_exceed_it() -> None:
    fees = Fees(FeeSettings())
    charged = [fees.charge("a", kalshi(), "buy", usd("0.05"), NANO, "taker", 0) for _ in range(3)]
    assert charged == [usd("0.01"), 0, usd("0.01")]
    assert fees.orders["a"].overpaid == 3 * usd("0.0066") - usd("0.01")


@given(st.lists(st.tuples(st.integers(1, 999), st.integers(1, 500)), min_size=1, max_size=30), st.sampled_from([2, 4]))
def test_a_kalshi_balance_stays_on_its_precision_and_fees_stay_near_the_curve(
    trades: list[tuple[int, int]], digits: int
) -> None:
    fees = Fees(FeeSettings(member_digits=digits))
    exact, paid = Fraction(0), 0
    precision = 10 ** (9 - digits)
    for price, count in trades:
        nanos = price * NANO // 1000
        fee = fees.charge("a", kalshi(), "buy", nanos, count * NANO, "taker", 0)
        assert fee >= 0
        assert (nanos * count + fee) % precision == 0
        exact += Fraction(7, 100) * count * nanos * (NANO - nanos) / NANO
        paid += fee
    assert paid >= exact - NANO // 100
    assert paid <= exact + len(trades) * (NANO // 10_000 + precision)


def test_an_instrument_without_fees_takes_no_orders_until_the_settings_name_them() -> None:
    made = venue(instrument(taker_fee=None))
    tell(made, snapshot(1, ("ask", 100, 5)))
    (told,) = send(made, order("a", "buy", 1), ts=15)
    assert isinstance(told, VenueRejected)
    assert told.code == "no_fee"
    made = venue(instrument(taker_fee=None), fees=FeeSettings(taker="0.01"))
    tell(made, snapshot(1, ("ask", 100, 5)))
    filled = first_fill(send(made, order("a", "buy", 1), ts=15))
    assert (filled.fee, filled.fee_currency) == (usd("0.01"), "USD")


def test_slippage_of_bars_is_leans_formula_a_share_or_ticks_rounded_against_the_owner() -> None:
    spot = instrument()
    hundred = usd("100")
    assert slipped(SlippageSettings(), spot, "buy", hundred, NANO, 0) == hundred
    assert slipped(SlippageSettings(model="ticks", ticks=3), spot, "sell", hundred, NANO, 0) == usd("99.97")
    share = SlippageSettings(model="share", share="0.000101")
    assert slipped(share, spot, "buy", hundred, NANO, 0) == usd("100.02")
    assert slipped(share, spot, "sell", hundred, NANO, 0) == usd("99.98")
    volume = SlippageSettings(model="volume_share")
    # 100 · 0.1 · min(10 / 1000, 0.025)² = 0.001, and 100 · 0.1 · 0.025² = 0.00625: a tick both.
    assert slipped(volume, spot, "buy", hundred, 10 * NANO, 1000 * NANO) == usd("100.01")
    fine = instrument(price_ranges=(PriceRange(0, 10**15, 1),))
    assert slipped(volume, fine, "buy", hundred, 10 * NANO, 1000 * NANO) == usd("100.001")
    assert slipped(volume, fine, "sell", hundred, 100 * NANO, 1000 * NANO) == usd("99.99375")
    assert slipped(volume, fine, "sell", hundred, 100 * NANO, 0) == usd("99.99375")


def test_slippage_of_a_negative_price_is_worse_too() -> None:
    oil = instrument(price_ranges=(PriceRange(-1000 * NANO, 1000 * NANO, NANO // 100),))
    share = SlippageSettings(model="share", share="0.01")
    assert slipped(share, oil, "buy", usd("-37"), NANO, 0) == usd("-36.63")
    assert slipped(share, oil, "sell", usd("-37"), NANO, 0) == usd("-37.37")
    assert share_of("buy", usd("-36.63"), usd("-37")) == usd("0.01")
    assert share_of("sell", usd("99"), usd("100")) == usd("0.01")
    assert share_of("buy", usd("99"), usd("100")) == usd("-0.01")


def test_a_share_of_the_volume_is_whole_lots() -> None:
    assert most_of(SlippageSettings(participation="0.1"), 55 * NANO, NANO) == 5 * NANO
    assert most_of(SlippageSettings(participation="0.1"), 0, NANO) is None
    assert most_of(SlippageSettings(), 55 * NANO, NANO) is None


RANGES = (PriceRange(0, 100, 1), PriceRange(100, 900, 10), PriceRange(900, 1000, 1))


@given(st.integers(-50, 1050))
def test_the_tick_that_is_not_better_is_a_tick_and_the_nearest_one(price: int) -> None:
    tapered = instrument(price_ranges=RANGES)
    up, down = not_better(tapered, "buy", price), not_better(tapered, "sell", price)
    assert on_tick(tapered, up)
    assert on_tick(tapered, down)
    if 0 <= price <= 1000:
        assert down <= price <= up
        assert not any(on_tick(tapered, between) for between in range(down + 1, price + 1))
        assert not any(on_tick(tapered, between) for between in range(price, up))


def test_ticks_change_where_ranges_meet_and_end_where_they_end() -> None:
    tapered = instrument(price_ranges=RANGES)
    assert worse_by(tapered, "buy", 99, 2) == 110
    assert worse_by(tapered, "sell", 110, 2) == 99
    assert worse_by(tapered, "buy", 999, 5) == 1000
