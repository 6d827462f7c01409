"""Real orders played again: made-up ones whose answers are worked out by hand, and a real recording."""

from __future__ import annotations

import gzip
import json
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import pytest

from actors.execution.matching.settings import FillSettings
from actors.execution.matching.venue import SimulatedVenue
from actors.research.analysis.fill_model import (
    FREE,
    Calibration,
    ModelError,
    RealOrder,
    RealOrdersError,
    Trade,
    calibrate,
    play,
    read_real_orders,
    taken,
)
from actors.research.analysis.tca_command import tca
from actors.research.backtest.recording_source import RecordingSource
from actors.research.backtest.sources import Batch
from protocols.market import BookUpdate, LevelChange, Quote
from protocols.market import Trade as PublicTrade
from protocols.nanos import decimal_text
from protocols.orders import NewOrder
from tests.actors.execution.kit import SECOND, instrument, nanos
from tests.actors.research.analysis.kit import SYNTHETIC, configuration


def batch(*messages: Any) -> Batch:
    return Batch("mixed", [message.ts_recv for message in messages], list(messages))


def book(seconds: int, *levels: tuple[Any, float, float], snapshot: bool = False) -> BookUpdate:
    changes = tuple(LevelChange(side, nanos(price), nanos(size)) for side, price, size in levels)
    ts = seconds * SECOND
    return BookUpdate("X", changes, "absolute", snapshot, "s", seconds, ts, ts, SYNTHETIC)


def sold(seconds: int, price: float, size: float) -> PublicTrade:
    ts = seconds * SECOND
    return PublicTrade("X", nanos(price), nanos(size), "sell", f"t{seconds}", "s", seconds, ts, ts, marks=SYNTHETIC)


def market() -> Batch:
    """5 stand at the bid; 3 are sold to them, one is taken back, 2 are sold."""
    return batch(
        book(1, ("bid", 100, 5), ("ask", 101, 5), snapshot=True),
        sold(10, 100, 3),
        book(11, ("bid", 100, 2)),
        book(20, ("bid", 100, 1)),
        sold(30, 100, 2),
        book(31, ("bid", 100, 4)),
    )


def real(name: str, *fills: Trade, ts: int = 5, size: float = 1, price: float = 100, **fields: Any) -> RealOrder:
    order = NewOrder(client_order_id=name, market="X", side="buy", kind="limit", size=nanos(size), price=nanos(price))
    return RealOrder(order=order, ts=ts * SECOND, fills=fills, **fields)


def tried(*orders: RealOrder, queues: Any = ("none", "risk_averse")) -> Calibration:
    return calibrate(orders, [market()], {"X": instrument()}, queues=queues)


def by_name(found: Calibration) -> dict[str, ModelError]:
    return {each.model: each for each in found.models}


def test_the_model_that_waits_for_its_turn_fits_an_order_that_waited() -> None:
    found = tried(real("a", Trade(30 * SECOND, nanos(100), nanos(1))))
    errors = by_name(found)
    # Behind 5: 3 traded, 1 taken back leaves 1 ahead; the second trade of 2 fills it.
    assert (errors["risk_averse"].time_error, errors["risk_averse"].ratio_apart) == (0, 0)
    assert errors["none"].time_error == -20 * SECOND  # at the front the first trade fills it
    assert (errors["none"].price_error, errors["none"].both) == (0, 1)
    assert found.best == "risk_averse"


def test_an_order_that_never_filled_shows_who_fills_too_much() -> None:
    found = tried(real("a", size=2), real("b", size=2, cancel_ts=15 * SECOND))
    errors = by_name(found)
    # At the front `a` has 2 and `b` the third at 10 s; with a queue `a` has 1 of 2 at 30 s, `b` is cancelled by then.
    assert (errors["none"].model_ratio, errors["none"].wrongly_filled) == (0.75, 2)
    assert (errors["risk_averse"].model_ratio, errors["risk_averse"].wrongly_filled) == (0.25, 1)
    assert errors["risk_averse"].ratio_error == 0.25
    assert found.best == "risk_averse"


def test_prices_are_compared_by_what_is_worse_for_the_owner() -> None:
    order = NewOrder(client_order_id="m", market="X", side="buy", kind="market", size=nanos(1))
    found = calibrate(
        [RealOrder(order=order, ts=5 * SECOND, fills=(Trade(5 * SECOND, nanos(102), nanos(1)),))],
        [market()],
        {"X": instrument()},
        queues=("none",),
    )
    assert found.models[0].price_error == pytest.approx(-10_000 / 102)  # it got 101
    assert found.best == "none"


def test_orders_that_the_recording_does_not_cover_are_left_out() -> None:
    found = tried(real("early", ts=0), real("late", ts=40), real("a", Trade(99 * SECOND, nanos(100), nanos(1))))
    assert (found.outside, found.models[0].orders) == (2, 1)
    assert any("fewer than 30" in text for text in found.warnings)
    assert any("behind the end of the recording" in text for text in found.warnings)
    nothing = tried(real("early", ts=0))
    assert (nothing.models, nothing.best) == ((), None)


def test_models_that_make_no_difference_are_not_ranked() -> None:
    found = tried(real("low", price=90))
    assert found.best is None


def line(**fields: Any) -> bytes:
    known = {"client_order_id": "7", "market": "X", "side": "buy", "kind": "limit", "size": "1", "price": "100"}
    return json.dumps({**known, "ts": "1970-01-01T00:00:05Z", **fields}).encode()


def test_lines_of_real_orders_are_read_exactly() -> None:
    fills = [{"ts": 30_000_000_000, "price": "100", "size": "0.000000001"}]
    found = read_real_orders([line(fills=fills, cancel_ts=31_000_000_000), b"\n"])
    assert found[0].order.price == nanos(100)
    assert (found[0].ts, found[0].cancel_ts) == (5 * SECOND, 31 * SECOND)
    assert found[0].fills == (Trade(30 * SECOND, nanos(100), 1),)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"size": "x"}, "line 1: size: expected decimal text"),
        ({"size": "0"}, "line 1: size: expected above 0, got '0'"),
        ({"ts": "soon"}, "line 1: ts: expected nanoseconds or a time, got 'soon'"),
        ({"colour": "red"}, "line 1: .*colour"),
        ({"side": "long"}, r"line 1: .*\$\.side"),
    ],
)
def test_a_line_that_is_no_order_is_named(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(RealOrdersError, match=says):
        read_real_orders([line(**fields)])


def test_an_order_that_is_there_twice_is_refused() -> None:
    with pytest.raises(RealOrdersError, match="line 2: client_order_id: 7 is there twice"):
        read_real_orders([line(), line()])


# -- a real recording ------------------------------------------------------------------------------------------------

MARKET = "BTCUSDT.BINANCE"
NAME = "binance-spot-btcusdt-20240808.txt.gz"
SPAN = 40 * SECOND
FIRST = 1_723_161_254_087_896_568


@pytest.fixture(scope="module")
def recorded(recordings: Path) -> list[Batch]:
    """40 seconds of a real market."""
    return list(RecordingSource(recordings / NAME, content_hash="", until=FIRST + SPAN).batches())


def resting(recorded: list[Batch]) -> list[RealOrder]:
    """A buy at the best bid every half second, cancelled after ten; 0.01 each."""
    found: list[RealOrder] = []
    at = FIRST + 2 * SECOND
    for each in recorded:
        for ts, message in zip(each.ts, each.messages, strict=True):
            if isinstance(message, Quote) and message.bid is not None and ts >= at:
                order = NewOrder(
                    client_order_id=f"o{len(found)}",
                    market=MARKET,
                    side="buy",
                    kind="limit",
                    size=nanos(0.01),
                    price=message.bid,
                )
                found.append(RealOrder(order=order, ts=ts, cancel_ts=ts + 10 * SECOND))
                at = ts + SECOND // 2
    return found


def test_over_a_recorded_market_the_model_whose_fills_are_given_has_no_error(recorded: list[Batch]) -> None:
    """The market is real, the orders are made: `real` fills are those of one model, which is found again."""
    orders = resting(recorded)
    assert len(orders) >= 30
    defined = {MARKET: instrument(MARKET, lot=1)}
    venue = SimulatedVenue(FillSettings(queue="probability_power", fees=FREE))
    venue.define(defined[MARKET])
    play([(each.ts, 0, each) for each in orders], recorded, [venue])
    filled = {name: tuple(played.fills) for name, played in taken(venue).items()}
    given = [
        msgspec.structs.replace(each, cancel_ts=None, fills=filled.get(each.order.client_order_id, ()))
        for each in orders
    ]
    found = calibrate(given, recorded, defined, queues=("none", "risk_averse", "probability_power"))
    errors = by_name(found)
    exact = errors["probability_power"]
    assert (exact.ratio_apart, exact.time_apart, exact.price_apart, exact.both > 0) == (0, 0, 0, True)
    assert found.best == "probability_power"
    assert errors["none"].time_error is not None
    assert errors["none"].time_error <= 0 <= errors["risk_averse"].ratio_apart
    assert errors["none"].model_ratio >= exact.model_ratio >= errors["risk_averse"].model_ratio


def test_the_command_reads_orders_and_a_recording(recorded: list[Batch], recordings: Path, tmp_path: Path) -> None:
    orders = resting(recorded)[:3]
    path = tmp_path / "orders.jsonl"
    path.write_bytes(
        b"\n".join(
            line(
                client_order_id=each.order.client_order_id,
                market=MARKET,
                size="0.01",
                price=decimal_text(each.order.price or 0),
                ts=each.ts,
            )
            for each in orders
        )
    )
    cut = tmp_path / "cut.txt"
    with gzip.open(recordings / NAME) as file:
        cut.write_bytes(b"".join(islice(file, 3000)))
    text, data = tca(["--real", str(path), "--data", str(cut), "--queue", "none"], configuration(tmp_path))
    model = data["fill_model"]["models"][0]
    assert (model["model"], model["orders"]) == ("none", 3)
    assert "fewer than 30" in text
