"""Which provider is believed: the first that is well, never one that is late in silence, back only after trials."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.market.providers import SECOND, ProviderChain, Source
from protocols.market import DELAYED, STALE, FeedState, Quote, Ticker

TS = 1_700_000_000 * SECOND


def quote(market: str, at: float, *marks: str, bid: int | None = 1) -> Quote:
    ts = TS + round(at * SECOND)
    return Quote(market, bid, 1, None if bid is None else bid + 1, 1, "s", 1, ts, ts, marks)


def ticker(market: str, at: float, *marks: str, last: int | None = 5) -> Ticker:
    return Ticker(market, None, None, None, None, last, "s", 1, 0, TS + round(at * SECOND), marks)


class Stage:
    """A chain of two providers, looked at each second. Monotonic and wall time go together."""

    def __init__(self, **options: Any) -> None:
        sources = [
            Source(market="A", feed="fa", max_age=10 * SECOND),
            Source(market="B", feed="fb", max_age=100 * SECOND),
        ]
        self.chain = ProviderChain("X", sources, 0, **options)
        self.at = 0.0
        self.switches: list[tuple[str, str, str]] = []

    def say(self, message: Quote | Ticker) -> None:
        self.chain.providers[message.market].take(message)

    def feed(self, market: str, state: FeedState) -> None:
        self.chain.providers[market].feed_is(state)

    def look(self) -> str:
        ts = TS + round(self.at * SECOND)
        self.chain.look(round(self.at * SECOND), ts)
        switched = self.chain.choose(ts)
        if switched is not None:
            self.switches.append(switched)
        return self.chain.chosen

    def until(self, at: float, *talkers: str) -> str:
        """Look each second; the talkers say something each time."""
        while self.at < at:
            self.at += 1
            for market in talkers:
                self.say(quote(market, self.at))
            self.look()
        return self.chain.chosen

    def value(self) -> Any:
        return self.chain.quote(TS + round(self.at * SECOND))


def test_the_first_that_has_spoken_is_believed_and_the_preferred_one_as_soon_as_it_has() -> None:
    stage = Stage()
    assert (stage.look(), stage.value()) == ("", None)
    stage.say(ticker("B", 0))
    assert stage.look() == "B"
    stage.say(quote("A", 0))
    assert stage.look() == "A"
    assert stage.switches == [("", "B", ""), ("B", "A", "")]
    value = stage.value()
    assert (value.provider, value.freshness, value.age, value.bid, value.passed_over) == ("A", "live", 0, 1, ())


def test_a_value_that_is_too_old_is_left_for_the_next_provider() -> None:
    stage = Stage()
    stage.say(quote("A", 0))
    assert stage.until(10, "B") == "A"
    assert stage.until(11, "B") == "B"
    value = stage.value()
    assert value.passed_over == (("A", "its value is 11.0 s old"),)
    assert stage.switches[-1] == ("A", "B", "its value is 11.0 s old")


def test_a_feed_that_is_down_is_left_at_once_and_comes_back_after_its_wait_and_its_trials() -> None:
    stage = Stage(open_s=15.0, trials=3)
    stage.until(5, "A", "B")
    stage.feed("A", "down")
    assert stage.look() == "B"
    stage.feed("A", "live")
    # It is well again, and still left alone.
    assert stage.until(19, "A", "B") == "B"
    assert stage.chain.providers["A"].quotes.state.value == "open"
    assert stage.value().passed_over == (("A", "it is on trial again"),)
    assert stage.until(21, "A", "B") == "B"
    assert stage.chain.providers["A"].quotes.state.value == "half_open"
    assert stage.until(22, "A", "B") == "A"
    assert stage.chain.providers["A"].quotes.state.value == "closed"


def test_one_that_fails_again_while_it_is_tried_is_left_alone_anew() -> None:
    stage = Stage(open_s=15.0, trials=3)
    stage.until(5, "A", "B")
    stage.feed("A", "down")
    stage.look()
    stage.feed("A", "live")
    stage.until(20, "A", "B")
    stage.feed("A", "down")
    stage.until(23, "A", "B")
    stage.feed("A", "live")
    assert stage.chain.providers["A"].quotes.state.value == "open"
    assert stage.until(36, "A", "B") == "B"
    assert stage.until(41, "A", "B") == "A"


def test_where_nobody_can_be_believed_the_youngest_value_is_given_as_stale() -> None:
    stage = Stage()
    stage.until(5, "A")
    stage.say(quote("B", 2))
    assert stage.until(200) == ""
    value = stage.value()
    assert (value.provider, value.freshness, value.age) == ("A", "stale", 195 * SECOND)
    assert STALE in value.marks
    assert len(value.passed_over) == 2


def test_a_book_that_is_stale_is_left_before_the_next_look() -> None:
    stage = Stage()
    stage.until(5, "A", "B")
    stage.chain.providers["A"].book_stale("gap")
    stage.chain.choose(TS + 5 * SECOND)
    assert stage.chain.chosen == "B"
    assert stage.value().passed_over == (("A", "its book is stale: gap"),)


def test_a_late_provider_is_believed_and_says_that_it_is_late() -> None:
    stage = Stage()
    stage.say(ticker("B", 0, DELAYED))
    stage.look()
    value = stage.value()
    assert (value.freshness, value.last, value.bid) == ("delayed", 5, None)


def test_what_a_venue_says_of_itself_counts_where_there_is_no_good_book() -> None:
    stage = Stage()
    stage.say(quote("A", 0))
    stage.say(ticker("A", 0))
    stage.look()
    assert stage.value().bid == 1
    stage.at = 15
    stage.say(ticker("A", 15))
    stage.look()
    assert (stage.value().last, stage.value().freshness) == (5, "live")


def test_a_quote_without_a_price_is_no_value() -> None:
    stage = Stage()
    stage.say(quote("A", 0, bid=None))
    stage.say(quote("B", 0))
    assert stage.look() == "B"
    assert stage.value().passed_over == (("A", "there is no price"),)


def test_bars_that_fail_often_are_asked_for_elsewhere_until_the_wait_is_over() -> None:
    provider = Stage(failures=3, open_s=15.0).chain.providers["A"]
    for now in range(3):
        assert provider.bars_admitted(now * SECOND)
        provider.bars_tried(now * SECOND, "no answer")
    assert not provider.bars_admitted(5 * SECOND)
    assert provider.bars_admitted(17 * SECOND + SECOND)
    provider.bars_tried(18 * SECOND, "")
    assert provider.bars.state.value == "closed"
    assert provider.quotes.state.value == "closed"


def test_a_chain_needs_providers_each_once() -> None:
    with pytest.raises(ValueError, match="X needs"):
        ProviderChain("X", [], 0)
    with pytest.raises(ValueError, match="X needs"):
        ProviderChain("X", [Source(market="A"), Source(market="A")], 0)


steps = st.lists(
    st.tuples(st.sampled_from(["A", "B"]), st.sampled_from(["quote", "stale", "down", "live", "wait", "late"])),
    max_size=60,
)


@given(steps)
def test_whatever_happens_no_value_is_called_live_that_is_old_or_known_to_be_wrong(actions: list[Any]) -> None:
    stage = Stage()
    wrong = {"A": False, "B": False}
    down = {"A": False, "B": False}
    for market, action in actions:
        if action == "quote":
            stage.say(quote(market, stage.at))
            wrong[market] = False
        elif action == "late":
            stage.say(quote(market, stage.at, DELAYED))
            wrong[market] = False
        elif action == "stale":
            stage.chain.providers[market].book_stale("gap")
            wrong[market] = True
        elif action == "wait":
            stage.at += 7
        else:
            stage.feed(market, action)
            down[market] = action == "down"
        stage.look()
        value = stage.value()
        if value is None or value.freshness == "stale":
            continue
        assert not wrong[value.provider]
        assert not down[value.provider]
        assert value.age <= stage.chain.providers[value.provider].source.max_age
        assert (value.freshness == "delayed") == (DELAYED in value.marks)
