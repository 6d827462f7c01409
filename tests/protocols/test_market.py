from __future__ import annotations

import msgspec
import pytest

from protocols.instruments import Instrument, PriceRange
from protocols.market import (
    BookUpdate,
    BookView,
    Level,
    LevelChange,
    OrderUpdate,
    Quote,
    RequestSnapshot,
    level_changes,
    pack_levels,
    unpack_levels,
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


def test_the_levels_of_an_update_read_the_same_packed_or_not() -> None:
    bids, asks = [(30 * CENT, 5), (-CENT, 2**63 - 1)], [(31 * CENT, 7)]
    changes = tuple(LevelChange("bid", *level) for level in bids) + tuple(LevelChange("ask", *level) for level in asks)
    plain = BookUpdate("M", changes, "absolute", True, "s", 7, 1, 2)
    packed = BookUpdate("M", (), "absolute", True, "s", 7, 1, 2, (), pack_levels(bids), pack_levels(asks))
    assert list(level_changes(packed)) == list(level_changes(plain)) == list(changes)
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(packed), type=BookUpdate)
    assert again == packed


def test_packed_levels_are_little_endian_pairs_and_a_torn_one_is_an_error() -> None:
    packed = pack_levels([(1, 2), (-3, 4)])
    assert packed == b"".join(number.to_bytes(8, "little", signed=True) for number in (1, 2, -3, 4))
    prices, sizes = unpack_levels(packed)
    assert (prices.tolist(), sizes.tolist()) == ([1, -3], [2, 4])
    with pytest.raises(ValueError, match="no whole number of levels"):
        unpack_levels(packed[:-1])
    with pytest.raises(OverflowError):
        pack_levels([(2**63, 1)])


def test_an_order_update_travels_as_msgpack_and_is_found_under_its_market() -> None:
    update = OrderUpdate("M", "add", 2**63 - 1, "bid", 30 * CENT, 5, True, "s", 7, 1, 2)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(update), type=OrderUpdate) == update
    assert update.topic_key() == "M"
