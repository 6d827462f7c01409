from __future__ import annotations

import msgspec
import pytest

from protocols.instruments import Instrument, PriceRange
from protocols.market import (
    BookUpdate,
    BookView,
    Level,
    LevelChange,
    Quote,
    RequestSnapshot,
)

CENT = 10_000_000


def instrument() -> Instrument:
    return Instrument(
        market="M",
        symbol="M",
        kind="prediction",
        venue="kalshi",
        currency="USD",
        # Deci-cents at the ends, cents between: the venue's tapered form.
        price_ranges=(
            PriceRange(0, 10 * CENT, CENT // 10),
            PriceRange(10 * CENT, 90 * CENT, CENT),
            PriceRange(90 * CENT, 100 * CENT, CENT // 10),
        ),
        lot=CENT,
    )


def test_a_float_becomes_the_tick_it_stands_on() -> None:
    assert instrument().price(0.1 + 0.2) == 300_000_000
    assert instrument().price(0.057) == 57_000_000
    assert instrument().size(5.52) == 5_520_000_000


def test_a_float_between_two_ticks_or_lots_is_an_error_that_says_so() -> None:
    with pytest.raises(ValueError, match=r"^0\.305 is on no tick of M$"):
        instrument().price(0.305)
    with pytest.raises(ValueError, match=r"^1\.5 is on no tick of M$"):
        instrument().price(1.5)
    with pytest.raises(ValueError, match=r"^0\.005 is no multiple of the lot of M$"):
        instrument().size(0.005)


def test_messages_are_found_under_their_market_and_only_quotes_conflate() -> None:
    update = BookUpdate("M", (LevelChange("bid", CENT, 5),), "signed", False, "s", 7, 1, 2)
    quote = Quote("M", 1, 2, None, 0, "s", 7, 1, 2)
    assert update.topic_key() == quote.topic_key() == "M"
    assert update.conflate_key() is None
    assert quote.conflate_key() == "M"


def test_market_messages_travel_as_msgpack_and_come_back_equal() -> None:
    update = BookUpdate("M", (LevelChange("ask", CENT, -5),), "signed", False, "s", 7, 1, 2, ("synthetic",))
    view = BookView("M", (Level(1, 2),), (), "s", 1, 2, 3, "gap", ("stale",))
    for message in (update, view, RequestSnapshot("M", "gap")):
        raw = msgspec.msgpack.encode(message)
        assert msgspec.msgpack.decode(raw, type=type(message)) == message
