"""Orders of an earlier life that never had an answer: how they are looked for when there are many."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from actors.execution.gateways.core import MOST_FINDS, GatewayCore
from actors.execution.gateways.kalshi import KalshiVenue
from actors.execution.gateways.settings import GatewaySettings
from protocols.gateways import Adopted
from protocols.nanos import NANO
from protocols.orders import VenueAccepted, VenueRejected
from tests.actors.execution.gateways.kit import order

HOUR = 3600 * NANO
NOW = 1_790_000_000 * NANO
COUNT = 300


def core_of(venue: Any) -> GatewayCore:
    return GatewayCore(GatewaySettings(account="a", venue="kalshi", arrival_s=15.0, ask_s=0.5), venue)


def kalshi() -> KalshiVenue:
    settings = GatewaySettings(account="a", venue="kalshi")
    return KalshiVenue(settings, "http://127.0.0.1:1/trade-api/v2", None)  # type: ignore[arg-type]  # nothing is signed


def adopted(core: GatewayCore, ts: int, count: int = COUNT) -> None:
    lost = [Adopted(order=order(f"o{number}"), known=False, sent=ts - HOUR + number) for number in range(count)]
    core.adopt(lost, ts)


def answer(core: GatewayCore, call: Any, ts: int, **body: Any) -> None:
    core.answered(call, 200, json.dumps(body).encode(), ts, ts)


def row(name: str) -> dict[str, str]:
    return {
        "order_id": f"v-{name}",
        "client_order_id": name,
        "ticker": "SIM-ALPHA",
        "status": "resting",
        "book_side": "bid",
        "yes_price_dollars": "0.4000",
        "initial_count_fp": "10.00",
        "remaining_count_fp": "10.00",
        "created_time": when(NOW),
        "last_update_time": when(NOW),
    }


def when(ts: int) -> str:
    return datetime.fromtimestamp(ts // NANO, UTC).isoformat().replace("+00:00", "Z")


def test_hundreds_of_lost_orders_are_one_search_whose_pages_name_those_that_are_left() -> None:
    core = core_of(kalshi())
    adopted(core, NOW)
    (call,) = core.take_calls()
    assert (call.what, len(call.orders)) == ("find", COUNT)
    for moment in range(1, 10):
        core.tick(NOW + moment * NANO)
        assert core.take_calls() == []  # it is being asked
    later = NOW + 20 * NANO
    answer(core, call, later, as_of_time=when(later))
    (first,) = core.take_calls()
    assert dict(first.rest.query)["min_ts"] == str((NOW - HOUR) // NANO - 60)
    answer(core, first, later, orders=[row(f"o{number}") for number in range(200)], cursor="next")
    assert len([each for each in core.take_reports() if isinstance(each, VenueAccepted)]) == 200
    (second,) = core.take_calls()
    assert second.orders == tuple(f"o{number}" for number in range(200, COUNT))
    assert dict(second.rest.query)["cursor"] == "next"
    answer(core, second, later, orders=[row("o250")], cursor="")
    reports = core.take_reports()
    rejected = [each for each in reports if isinstance(each, VenueRejected)]
    assert len(rejected) == 99
    assert {each.code for each in rejected} == {"never_arrived"}
    assert "o250" not in {each.client_order_id for each in rejected}
    assert core.unknown == 0
    core.tick(later + NANO)
    assert core.take_calls() == []


def test_a_search_that_fails_is_made_again_and_not_before_its_time() -> None:
    core = core_of(kalshi())
    adopted(core, NOW, 3)
    for turn in range(3):
        now = NOW + turn * NANO
        (call,) = core.take_calls()
        assert call.orders == ("o0", "o1", "o2")
        core.failed(call, "no budget", None, now)
        core.tick(now + NANO // 10)
        assert core.take_calls() == []
        core.tick(now + NANO)


def test_where_a_venue_is_asked_for_one_order_at_a_time_only_some_searches_are_under_way() -> None:
    venue = kalshi()
    venue.most_find = 1
    core = core_of(venue)
    adopted(core, NOW, 10)
    left = {f"o{number}" for number in range(10)}
    under_way = core.take_calls()
    while under_way:
        assert len(under_way) == min(MOST_FINDS, len(left))
        call = under_way.pop(0)
        left.discard(call.orders[0])
        ts = NOW + 20 * NANO
        answer(core, call, ts, as_of_time=when(ts))
        (page,) = core.take_calls()
        answer(core, page, ts, orders=[row(call.orders[0])], cursor="")
        under_way += core.take_calls()
    assert left == set()
    assert core.unknown == 0


def test_only_fills_of_orders_that_nobody_can_name_are_questions_of_their_own() -> None:
    gathering = kalshi().gather(NOW, (), {"v-known": "known"})
    fills = [
        {
            "fill_id": f"f{number}",
            "order_id": order_id,
            "ticker": "SIM-ALPHA",
            "book_side": "bid",
            "yes_price_dollars": "0.4000",
            "count_fp": "1.00",
            "is_taker": True,
            "fee_cost": "0.0100",
            "created_time": when(NOW + number * NANO),
        }
        for number, order_id in enumerate(["v-known", "v-strange", "v-known", "v-strange"])
    ]
    answers: dict[str, dict[str, Any]] = {
        "/exchange/user_data_timestamp": {"as_of_time": when(NOW)},
        "/portfolio/orders": {"orders": [], "cursor": ""},
        "/portfolio/positions": {"market_positions": [], "cursor": ""},
        "/portfolio/balance": {"balance": 100, "balance_dollars": "1.0000"},
        "/portfolio/fills": {"fills": fills, "cursor": ""},
        "/portfolio/settlements": {"settlements": [], "cursor": ""},
        "/portfolio/orders/v-strange": {"order": row("strange") | {"order_id": "v-strange"}},
    }
    asked = []
    call = gathering.first()
    while call is not None:
        asked.append(call.rest.path)
        call = gathering.take(call, 200, json.dumps(answers[call.rest.path]).encode(), NOW)
    assert asked == list(answers)
    named = [fill.client_order_id for fill in gathering.state("a", {}).fills]
    assert named == ["known", "strange", "known", "strange"]
