from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.execution.risk.exposure import ExposureLimits, Holding, exposure, known_gross
from protocols.nanos import NANO
from tests.actors.execution.risk.desk import instrument, n, yes

INSTRUMENTS = {
    "BTC": instrument(),
    "DAX": instrument("DAX", currency="EUR", multiplier=n(5)),
    "RAIN": yes(),
}
PRICES = {"BTC": n(100), "DAX": n(20), "RAIN": n("0.3")}
RATES = {"USD": NANO, "EUR": n("1.1")}


def held(*parts: tuple[str, str, int]) -> list[Holding]:
    return [Holding(account, market, n(quantity)) for account, market, quantity in parts]


def test_net_and_gross_are_summed_over_accounts_by_market_currency_and_in_all() -> None:
    found = exposure(
        held(("a", "BTC", 3), ("b", "BTC", -1), ("b", "DAX", -2), ("a", "RAIN", 10), ("b", "RAIN", -10)),
        INSTRUMENTS, PRICES, RATES,
    )  # fmt: skip
    shown = {each.name: (each.net, each.gross, each.accounts) for each in found.markets}
    assert shown == {
        "BTC": (n(200), n(400), ("a", "b")),
        "DAX": (-n(220), n(220), ("b",)),
        # A contract and a short of it: 0.3 and 0.7 are in it, and it pays 1 whatever happens.
        "RAIN": (0, n(10), ("a", "b")),
    }
    assert {each.name: (each.net, each.gross) for each in found.currencies} == {
        "EUR": (-n(220), n(220)),
        "USD": (n(200), n(410)),
    }
    assert (found.total.net, found.total.gross, found.unknown) == (-n(20), n(630), ())


@pytest.mark.parametrize(
    ("instruments", "prices", "rates"),
    [
        ({"BTC": INSTRUMENTS["BTC"]}, PRICES, RATES),
        (INSTRUMENTS, {"BTC": n(100)}, RATES),
        (INSTRUMENTS, PRICES, {"USD": NANO}),
    ],
)
def test_what_cannot_be_valued_is_named_and_makes_its_sums_unknown(instruments: Any, prices: Any, rates: Any) -> None:
    found = exposure(held(("a", "BTC", 1), ("a", "DAX", 1)), instruments, prices, rates, ExposureLimits(max_gross="1"))
    by_name = {each.name: each for each in (*found.markets, *found.currencies)}
    assert (by_name["BTC"].gross, by_name["USD"].gross) == (n(100), n(100))
    assert (by_name["DAX"].net, by_name["DAX"].gross) == (None, None)
    assert (found.total.net, found.total.gross, found.unknown) == (None, None, ("DAX",))
    assert found.breaches == ()
    assert known_gross(found) == n(100)


@pytest.mark.parametrize(
    ("field", "limit", "names"),
    [
        ("max_gross", "0", ("",)),
        ("max_gross", "400", ()),
        ("max_gross", "399.999999999", ("",)),
        ("max_net", "200", ()),
        ("max_net", "199.9", ("",)),
        ("max_market_gross", "400", ()),
        ("max_market_gross", "399", ("BTC",)),
        ("max_market_net", "200", ()),
        ("max_market_net", "199", ("BTC",)),
        ("max_currency_gross", "400", ()),
        ("max_currency_gross", "399", ("USD",)),
    ],
)
def test_a_limit_over_all_accounts_names_what_passes_it(field: str, limit: str, names: tuple[str, ...]) -> None:
    limits = msgspec.convert({field: limit}, ExposureLimits)
    found = exposure(held(("a", "BTC", 3), ("b", "BTC", -1)), INSTRUMENTS, PRICES, RATES, limits)
    assert tuple(each.scope for each in found.breaches) == names
    assert all((each.code, each.field, each.limit) == ("exposure", field, limit) for each in found.breaches)


@pytest.mark.parametrize("given", [{"max_net": "-1"}, {"max_gross": "much"}])
def test_exposure_limits_are_decimal_text_from_0_on(given: dict[str, str]) -> None:
    with pytest.raises(msgspec.ValidationError, match=next(iter(given))):
        msgspec.convert(given, ExposureLimits)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(sorted(INSTRUMENTS)), st.integers(-5, 5)), max_size=8))
@settings(max_examples=60, deadline=None)
def test_net_is_never_more_than_gross_and_sums_agree(parts: list[tuple[str, str, int]]) -> None:
    found = exposure(held(*parts), INSTRUMENTS, PRICES, RATES)
    assert all(abs(each.net or 0) <= (each.gross or 0) for each in (*found.markets, *found.currencies, found.total))
    assert sum(each.gross or 0 for each in found.markets) == found.total.gross == known_gross(found)
    assert sum(each.net or 0 for each in found.currencies) == found.total.net
