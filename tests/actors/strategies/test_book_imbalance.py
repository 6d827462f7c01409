from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.strategies.book_imbalance import BookImbalance, ImbalanceParameters
from actors.strategies.evidence import Evidence
from actors.strategies.strategy import Draft
from protocols.market import Quote
from tests.actors.strategies.quotes import NOW, SECOND, quote


def strategy(**parameters: Any) -> BookImbalance:
    return BookImbalance(ImbalanceParameters(**{"min_evidence": 1, "min_confidence": 0.0, **parameters}), ("A",))


def drafts(of: BookImbalance, quotes: Iterable[Quote]) -> list[Draft]:
    return [draft for each in quotes for draft in of.on_quote(each)]


def actions(of: BookImbalance, quotes: Iterable[Quote]) -> list[str]:
    return [draft.action for draft in drafts(of, quotes)]


def taught(**parameters: Any) -> BookImbalance:
    """A strategy whose market has moved once the way of a strong imbalance, either way."""
    made = strategy(**parameters)
    for number, strength in enumerate((0.7, -0.7, 0.9, -0.9)):
        made.on_quote(quote(number * 100 - 1_000, strength, 50))
        made.on_quote(quote(number * 100 - 950, 0.0, 50 + (1 if strength > 0 else -1)))
        made.on_gap("A")
    for market in made._markets.values():
        market.position, market.entered_at = 0, None
    return made


def moving(count: int, right: float, seed: int, market: str = "A") -> Iterator[Quote]:
    """A market that moves one cent the way of a strong imbalance with probability `right`."""
    chance = random.Random(seed)
    mid = 50.0
    for number in range(count):
        strength = 0.8 * chance.choice((1, -1))
        yield quote(number * 20.0, strength, mid, market=market)
        way = 1 if (strength > 0) == (chance.random() < right) else -1
        mid = mid + way if 10 < mid + way < 90 else mid - way
        yield quote(number * 20.0 + 10.0, 0.0, mid, market=market)


def test_without_evidence_nothing_is_said() -> None:
    quiet = BookImbalance(ImbalanceParameters(), ("A",))
    assert drafts(quiet, (quote(at, 0.95) for at in range(100))) == []


def test_a_strong_lean_to_the_bid_is_a_buy_and_its_end_closes_it() -> None:
    found = actions(taught(), [quote(0, 0.9), quote(5, 0.9), quote(10, 0.0), quote(20, 0.0)])
    assert found == ["BUY", "CLOSE_LONG"]


def test_a_strong_lean_to_the_ask_is_a_sell_and_its_end_closes_it() -> None:
    found = actions(taught(), [quote(0, -0.9), quote(5, -0.9), quote(10, 0.0), quote(20, 0.0)])
    assert found == ["SELL", "CLOSE_SHORT"]


def test_noise_about_the_threshold_signals_once() -> None:
    wobble = [quote(at, 0.62 if at % 2 else 0.5) for at in range(60)]
    assert actions(taught(cooldown_s=0, half_life_s=0.1), wobble).count("BUY") == 1


def test_the_mean_over_event_time_decides_and_not_one_short_quote() -> None:
    steady = [quote(0, 0.0), quote(10, 0.0), quote(10.01, 0.95), quote(10.02, 0.0), quote(20, 0.0)]
    assert actions(taught(), steady) == []


def test_a_quote_that_goes_back_in_time_does_no_harm() -> None:
    assert actions(taught(), [quote(10, 0.9), quote(5, 0.9), quote(20, 0.9)]) == ["BUY"]


@pytest.mark.parametrize("change", [{"bid": None, "bid_size": 0}, {"ask": None, "ask_size": 0}, {"marks": ("stale",)}])
def test_a_quote_with_one_side_or_of_a_stale_book_says_nothing(change: dict[str, Any]) -> None:
    made = taught()
    assert drafts(made, [msgspec.structs.replace(quote(at, 0.95), **change) for at in range(20)]) == []
    before = made.evidence.outcomes
    made.on_quote(quote(30, 0.0, 70))
    assert made.evidence.outcomes == before, "a move over the break is no evidence"


def test_confidence_is_the_rate_at_which_the_market_has_moved_the_way_of_the_imbalance() -> None:
    made = strategy(min_evidence=50, min_confidence=0.55)
    found = drafts(made, moving(2_000, 0.8, seed=1))
    entries = [draft for draft in found if draft.action in ("BUY", "SELL")]
    assert len(entries) > 100
    assert entries[-1].confidence == pytest.approx(0.8, abs=0.04)
    exits = [draft for draft in found if draft.action.startswith("CLOSE")]
    assert all(0 <= draft.confidence <= 1 for draft in exits)


def test_a_market_whose_imbalance_predicts_nothing_is_left_alone() -> None:
    made = strategy(min_evidence=200, min_confidence=0.6)
    assert drafts(made, moving(2_000, 0.5, seed=2)) == []


def test_a_draft_carries_its_evidence_and_exact_prices() -> None:
    [draft] = drafts(taught(), [quote(0, 0.5), quote(1, 0.9), quote(5, 0.9)])
    assert draft.current_price == 500_000_000
    assert draft.execution_params.price_target == 509_000_000
    assert draft.execution_params.quantity == SECOND
    seen = msgspec.json.decode(draft.metadata)
    assert (seen["microprice"], seen["spread"]) == ("0.509", "0.02")
    assert draft.confidence == pytest.approx((seen["evidence"]["hits"] + 1) / (seen["evidence"]["outcomes"] + 2))
    assert draft.market_conditions is not None
    assert draft.market_conditions.volatility == pytest.approx(0.01)
    assert draft.risk_score == pytest.approx(0.02 / 0.03)


steps = st.lists(
    st.tuples(st.floats(0, 30), st.floats(-1, 1), st.integers(20, 80), st.sampled_from("AB")), min_size=1, max_size=60
)


def walk(path: list[tuple[float, float, int, str]], mirrored: bool = False) -> Iterator[Quote]:
    at = 0.0
    for wait, imbalance, mid, market in path:
        at += wait
        # The mirror image of a quote swaps the sides and turns the price about 50 cents.
        yield quote(at, -imbalance if mirrored else imbalance, 100 - mid if mirrored else mid, market=market)


@settings(max_examples=150, deadline=None)
@given(steps)
def test_equal_quotes_give_equal_drafts_and_mirrored_quotes_mirrored_ones(
    path: list[tuple[float, float, int, str]],
) -> None:
    made = drafts(strategy(), walk(path))
    assert made == drafts(strategy(), walk(path))
    mirror = {"BUY": "SELL", "SELL": "BUY", "CLOSE_LONG": "CLOSE_SHORT", "CLOSE_SHORT": "CLOSE_LONG"}
    turned = drafts(strategy(), walk(path, mirrored=True))
    assert [mirror[draft.action] for draft in turned] == [draft.action for draft in made]
    assert [draft.confidence for draft in turned] == pytest.approx([draft.confidence for draft in made])


@settings(max_examples=150, deadline=None)
@given(steps, st.floats(0, 60))
def test_entries_and_exits_take_turns_and_entries_keep_their_distance(
    path: list[tuple[float, float, int, str]], cooldown_s: float
) -> None:
    made = strategy(cooldown_s=cooldown_s)
    position = {"A": 0, "B": 0}
    entered: dict[str, int] = {}
    for each in walk(path):
        for draft in made.on_quote(each):
            assert 0 <= draft.confidence <= 1
            assert 0 <= draft.risk_score <= 1
            if draft.action in ("BUY", "SELL"):
                assert position[draft.market] == 0
                position[draft.market] = 1 if draft.action == "BUY" else -1
                if draft.market in entered:
                    assert each.ts_event - entered[draft.market] >= int(cooldown_s * SECOND)
                entered[draft.market] = each.ts_event
            else:
                assert position[draft.market] == (1 if draft.action == "CLOSE_LONG" else -1)
                position[draft.market] = 0
    assert all(at >= NOW for at in entered.values())


@given(st.lists(st.booleans(), max_size=200), st.integers(2, 50))
def test_evidence_is_laplaces_rule_until_old_outcomes_fade(outcomes: list[bool], memory: int) -> None:
    evidence = Evidence(5, memory)
    for hit in outcomes:
        evidence.add(0.5, hit)
    tally = evidence.tally(0.5)
    assert tally.outcomes == pytest.approx(min(len(outcomes), memory))
    assert 0 < tally.rate() < 1
    if len(outcomes) <= memory:
        assert tally.rate() == pytest.approx((sum(outcomes) + 1) / (len(outcomes) + 2))
    assert evidence.tally(0.1).outcomes == 0
    assert evidence.bin(1.0) == 4
