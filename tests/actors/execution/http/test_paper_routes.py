"""Paper trading over HTTP: sessions, orders of all kinds, what they hold and came to."""

from __future__ import annotations

import time
from typing import Any

from tests.actors.execution.http.conftest import Client

BASE = "/api/paper-trading"
MARKET = "SIM-ALPHA"


def order(client: Client, session: str, expected: int = 201, **fields: Any) -> Any:
    known = {"symbol": MARKET, "side": "buy", "quantity": 2, **fields}
    return client("POST", f"{BASE}/sessions/{session}/orders", expected, **known)


def test_a_session_is_an_account_of_its_own_and_is_stopped(client: Client) -> None:
    made = client("POST", f"{BASE}/sessions", 201, name="mine", description="to learn", initial_capital=50000.25,
                  commission_rate="0.002", slippage_rate=0.0005, symbols=[MARKET], user="ada")  # fmt: skip
    one = f"{BASE}/sessions/{made['session_id']}"
    assert client.get(one) == made
    expected = {"status": "active", "initial_capital": 50000.25, "commission_rate": 0.002, "slippage_rate": 0.0005,
                "description": "to learn", "strategy_id": None, "symbols": [MARKET]}  # fmt: skip
    assert {name: made[name] for name in expected} == expected
    assert made in client.get(f"{BASE}/sessions?user=ada")["sessions"]
    assert client.get(f"{BASE}/sessions?status=stopped&user=ada")["sessions"] == []
    assert client("POST", f"{one}/stop")["status"] == "stopped"
    late = order(client, made["session_id"])["order"]
    assert (late["status"], late["reason_code"]) == ("denied", "kill_switch")
    client.get(f"{BASE}/sessions/nobody", 404)


def test_what_no_session_can_be_is_one_error_with_the_field(client: Client) -> None:
    for fields, field in (
        ({"initial_capital": 0}, "initial_capital"),
        ({"initial_capital": 1e30}, "initial_capital"),
        ({"commission_rate": "0.0000000001"}, "commission_rate"),
        ({"commission_rate": 2}, "commission_rate"),
        ({"commission_rate": -0.1}, "commission_rate"),
        ({"commission_rate": "NaN"}, "commission_rate"),
        ({"slippage_rate": 2}, "slippage_rate"),
        ({"limits": {"max_drawdown": 3}}, "limits.max_drawdown"),
        ({"symbol": "x"}, "symbol"),
        ({"max_position_size": 0.01}, "max_position_size"),
        ({"position_mode": "both"}, "position_mode"),
    ):
        assert client("POST", f"{BASE}/sessions", 400, **fields)["error"]["field"] == field


def test_a_market_order_is_filled_and_moves_money(client: Client) -> None:
    session = client.session(initial_capital=1000)
    made = order(client, session, client_order_id="first", metadata={"why": "a test"})
    assert made["metadata"] == {"why": "a test"}
    filled = made["order"]
    assert (filled["status"], filled["filled_quantity"], filled["remaining_quantity"]) == ("filled", 2, 0)
    again = order(client, session, client_order_id="first")["order"]
    assert again == filled
    other = order(client, session, 409, client_order_id="first", side="sell")
    assert (other["error"]["code"], other["error"]["field"]) == ("id_taken", "client_order_id")
    held = client.get(f"{BASE}/sessions/{session}/portfolio")
    assert [(each["symbol"], each["side"], each["quantity"]) for each in held["positions"]] == [(MARKET, "long", 2)]
    spent = 2 * filled["average_fill_price"] + filled["commission"]
    assert held["cash"] == round(1000 - spent, 9)
    assert round(held["total_value"] - held["cash"] - held["positions_value"], 9) == 0
    fallen = client.get(f"{BASE}/sessions/{session}/performance")
    assert fallen["max_drawdown"] >= round(1000 - fallen["current_value"], 9) > 0
    assert client.get(f"{BASE}/accounts/{session}")["max_drawdown"] > 0
    sold = order(client, session, side="sell", reduce_only=True, quantity=5)["order"]
    assert (sold["quantity"], sold["status"]) == (2, "filled")
    done = client.get(f"{BASE}/sessions/{session}/performance")
    assert (done["total_trades"], done["winning_trades"] + done["losing_trades"]) == (1, 1)
    assert done["total_pnl"] == round(done["current_value"] - 1000, 9) < 0
    assert done["sharpe_ratio"] is None
    assert "30 are wanted" in done["unknown"]["sharpe_ratio"]
    [performance] = client.get(f"{BASE}/performance?session_id={session}")["accounts"]
    assert performance["total_pnl"] == done["total_pnl"]


def test_orders_wait_are_changed_and_cancelled(client: Client) -> None:
    session = client.session()
    path = f"{BASE}/sessions/{session}/orders"
    made = order(client, session, order_type="limit", price=0.02, client_order_id="low", time_in_force="GTC",
                 stop_loss=0.01, take_profit=0.98)  # fmt: skip
    assert made["order"]["status"] == "accepted"
    assert [(each["order_id"], each["status"], each["oco_group"]) for each in made["bracket"]] == [
        ("low-s", "held", "low"),
        ("low-t", "held", "low"),
    ]
    changed = client("PATCH", f"{path}/low", quantity=3, price=0.01)
    assert (changed["quantity"], changed["price"], changed["pending"]) == (3, 0.01, "")
    assert client("PATCH", f"{path}/low", 400, price=0.015)["error"]["field"] == "price"
    assert client("PATCH", f"{path}/low", 400)["error"]["field"] == "quantity"
    assert client("PATCH", f"{path}/low", 400, quantity=4, prize=0.02)["error"]["field"] == "prize"
    client("PATCH", f"{path}/none", 404, quantity=3)
    assert client("DELETE", f"{path}/low")["status"] == "cancelled"
    assert client("DELETE", f"{path}/low", 409)["error"]["code"] == "conflict"
    assert client("PATCH", f"{path}/low", 409, quantity=4)["error"]["code"] == "conflict"
    client("DELETE", f"{path}/none", 404)
    page = client.get(f"{path}?limit=2")
    rest = client.get(f"{path}?limit=2&before={page['next']}")
    ids = [each["order_id"] for each in page["orders"] + rest["orders"]]
    assert sorted(ids) == ["low", "low-s", "low-t"]
    assert rest["next"] is None
    assert len(client.get(f"{path}?status=cancelled&symbol={MARKET}")["orders"]) == 3
    assert client.get(f"{path}?symbol=X")["orders"] == []


def test_an_id_again_is_the_same_order_and_never_another_one(client: Client) -> None:
    session = client.session()
    path = f"{BASE}/sessions/{session}/orders"
    known = {"order_type": "limit", "price": 0.02, "quantity": 3, "client_order_id": "mine", "time_in_force": "GTC"}
    made = order(client, session, **known)["order"]
    assert order(client, session, **known)["order"] == made
    changed = client("PATCH", f"{path}/mine", quantity=2, price=0.01)
    assert order(client, session, **known)["order"] == changed
    for field, value, told in (
        ("price", 0.03, "price"),
        ("quantity", 4, "size"),
        ("side", "sell", "side"),
        ("time_in_force", "DAY", "time_in_force"),
        ("post_only", True, "post_only"),
    ):
        error = order(client, session, 409, **{**known, field: value})["error"]
        assert (error["code"], error["field"]) == ("id_taken", "client_order_id"), error
        assert told in error["message"], error
    order(client, session, quantity=2, stop_loss=0.01, client_order_id="held")
    error = order(client, session, 409, quantity=2, stop_loss=0.99, client_order_id="held")["error"]
    assert error["code"] == "id_taken", "the market may have passed the stop since: a repeat is judged as one"
    cut = order(client, session, side="sell", quantity=5, reduce_only=True, client_order_id="cut")["order"]
    again = order(client, session, side="sell", quantity=5, reduce_only=True, client_order_id="cut")["order"]
    assert (cut["quantity"], again) == (2, cut)


def test_every_kind_of_order_is_taken(client: Client) -> None:
    session = client.session()
    tomorrow = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 86_400))
    order(client, session, quantity=4)
    for fields in (
        {"order_type": "stop", "side": "sell", "stop_price": 0.01, "reduce_only": True},
        {"order_type": "stop_limit", "stop_price": 0.99, "price": 0.99},
        {"order_type": "trailing_stop", "side": "sell", "trail_amount": 0.4},
        {"order_type": "trailing_stop", "side": "sell", "trail_percent": 0.9},
        {"order_type": "limit", "price": 0.01, "post_only": True},
        {"order_type": "limit", "price": 0.01, "display_quantity": 1, "time_in_force": "GTC"},
        {"order_type": "limit", "price": 0.01, "time_in_force": "GTD", "expires_at": tomorrow},
        {"order_type": "limit", "price": 0.01, "oco_group": "pair"},
        {"order_type": "limit", "price": 0.02, "oco_group": "pair"},
        {"order_type": "limit", "price": 0.01, "leg": "NO"},
    ):
        made = order(client, session, **fields)["order"]
        assert made["status"] in ("accepted", "held", "submitted"), (fields, made)
    gone = order(client, session, order_type="limit", price=0.01, time_in_force="IOC")["order"]
    assert (gone["status"], gone["reason_code"]) == ("cancelled", "ioc")
    crossing = order(client, session, order_type="limit", price=0.99, post_only=True)["order"]
    assert crossing["status"] in ("cancelled", "rejected")
    assert crossing["reason_code"] == "post_only"


def test_no_at_a_price_is_the_other_side_of_yes(client: Client) -> None:
    session = client.session()
    made = order(client, session, order_type="limit", price=0.02, leg="NO", client_order_id="no")["order"]
    assert (made["side"], made["price"], made["leg"]) == ("sell", 0.98, "NO")
    native = client.get(f"/api/v1/accounts/{session}/orders/no")
    assert (native["price"], native["leg_price"], native["quantity"]) == ("0.98", "0.02", "2")


def test_what_is_no_order_is_one_error_with_the_field(client: Client) -> None:
    session = client.session()
    for fields, code, field in (
        ({"quantity": 0}, "invalid", "quantity"),
        ({"quantity": "1.00000000001"}, "invalid", "quantity"),
        ({"quantity": 0.001}, "precision_size", "quantity"),
        ({"order_type": "limit"}, "invalid_order", "price"),
        ({"price": 0.5}, "invalid_order", "price"),
        ({"order_type": "limit", "price": 0.505}, "precision_price", "price"),
        ({"order_type": "limit", "price": 7}, "price_range", "price"),
        ({"order_type": "stop"}, "invalid_order", "stop_price"),
        ({"order_type": "trailing_stop"}, "invalid_order", "trail_amount"),
        ({"stop_loss": 0.123}, "precision_price", "stop_loss"),
        ({"take_profit": 0.123}, "precision_price", "take_profit"),
        ({"stop_loss": 0.99}, "invalid_order", "stop_loss"),
        ({"take_profit": 0.01}, "invalid_order", "take_profit"),
        ({"side": "sell", "stop_loss": 0.01}, "invalid_order", "stop_loss"),
        ({"side": "sell", "take_profit": 0.99}, "invalid_order", "take_profit"),
        ({"leg": "NO", "stop_loss": 0.99}, "invalid_order", "stop_loss"),
        ({"order_type": "limit", "price": 0.02, "stop_loss": 0.05}, "invalid_order", "stop_loss"),
        ({"order_type": "limit", "price": 0.02, "take_profit": 0.01}, "invalid_order", "take_profit"),
        ({"order_type": "stop", "stop_price": 0.9, "stop_loss": 0.95}, "invalid_order", "stop_loss"),
        ({"time_in_force": "GTD", "expires_at": "soon"}, "invalid", "expires_at"),
        ({"time_in_force": "NOW"}, "invalid", "time_in_force"),
        ({"client_order_id": "a b"}, "invalid", "client_order_id"),
        ({"qantity": 3}, "invalid", "qantity"),
        ({"max_slippage": -1}, "invalid_order", "max_slippage"),
        ({"order_type": "trailing_stop", "trail_percent": 0}, "invalid_order", "trail_percent"),
        ({"order_type": "trailing_stop", "side": "sell", "trail_percent": 1}, "invalid_order", "trail_percent"),
    ):
        error = order(client, session, 400, **fields)["error"]
        assert (error["code"], error["field"]) == (code, field), (fields, error)
    told = order(client, session, 400, quantity="0.001")["error"]["message"]
    assert told == "quantity is no multiple of 0.01, got 0.001"
    order(client, session, 404, symbol="UNKNOWN")
    order(client, "nobody", 404)
    assert client.get(f"{BASE}/sessions/{session}/orders")["orders"] == []


def test_an_order_beyond_a_limit_is_an_order_that_was_denied(client: Client) -> None:
    session = client.session(initial_capital=100, limits={"max_order_size": "10"})
    denied = order(client, session, quantity=11, client_order_id="large")["order"]
    assert (denied["status"], denied["reason_code"]) == ("denied", "order_size")
    [alert] = client.get(f"{BASE}/sessions/{session}/risk/alerts")["alerts"]
    assert (alert["kind"], alert["metric"], alert["client_order_id"]) == ("denied", "order_size", "large")
    risk = client.get(f"{BASE}/sessions/{session}/risk")
    assert risk["recent_alerts"] == [alert]
    assert risk["overall_risk_level"] == "unknown"
    assert "volatility" in risk["unknown"]
    assert {each["name"] for each in risk["risk_metrics"]} >= {"position_size", "daily_loss", "drawdown"}


def test_a_position_is_sized_by_what_a_stop_would_lose(client: Client) -> None:
    session = client.session(initial_capital=1000)
    path = f"{BASE}/sessions/{session}/position-sizing"
    found = client("POST", path, symbol=MARKET, side="buy", stop_loss_price=0.01)
    lost = found["recommended_quantity"] * (found["current_price"] - 0.01)
    assert 9.5 < lost <= 10, found
    capped = client("POST", path, symbol=MARKET, side="buy", risk_percentage=0.5, stop_loss_pct=0.5)
    assert capped["recommended_quantity"] == capped["max_quantity"]
    assert "capped" in capped["rationale"]
    assert client("POST", path, 400, symbol=MARKET, side="buy", stop_loss_price=0.99)["error"]["field"] == (
        "stop_loss_pct"
    )
    assert client("POST", path, 400, symbol=MARKET, side="buy", risk_percentage=3)["error"]["field"] == (
        "risk_percentage"
    )


def test_a_strategy_is_deployed_to_paper_with_one_call(client: Client) -> None:
    made = client("POST", f"{BASE}/strategies/every/deploy", 201, initial_capital=2000)
    assert (made["status"], made["deployment"]["settings"]["markets"]) == ("active", ["SIM-BETA"])
    session = client.get(f"{BASE}/sessions/{made['account_id']}")
    assert (session["strategy_id"], session["initial_capital"]) == ("every", 2000)
    path = f"{BASE}/sessions/{made['account_id']}/orders"
    client.until(path, lambda answer: any(each["status"] == "filled" for each in answer["orders"]))
    catalogued = client("POST", f"{BASE}/sessions", 201, strategy_id="moving_average_cross", symbols=[MARKET])
    assert catalogued["strategy_id"] == "moving_average_cross"
    for one in (made["account_id"], catalogued["session_id"]):
        assert client("POST", f"{BASE}/sessions/{one}/stop")["status"] == "stopped"
    before = client.get("/api/v1/accounts")
    client("POST", f"{BASE}/strategies/nobody/deploy", 404, symbols=[MARKET])
    assert client.get("/api/v1/accounts") == before


def test_accounts_and_markets_in_the_old_words(client: Client) -> None:
    made = client("POST", f"{BASE}/accounts", 201, account_id="old", name="Old", initial_capital=77)
    assert (made["account_id"], made["current_capital"], made["max_positions"]) == ("old", 77, 20)
    assert client.get(f"{BASE}/accounts/old") == made
    assert "old" in [each["account_id"] for each in client.get(f"{BASE}/accounts")["accounts"]]
    assert client("POST", f"{BASE}/accounts", 409, account_id="old")["error"]["code"] == "exists"
    found = client.get(f"{BASE}/market-data/{MARKET}")
    assert found["bid"] < found["ask"]
    assert found["marks"] == ["synthetic"]
    assert client.get(f"{BASE}/market-data/{MARKET}/history")["timeframe"] == "1m"
    client.get(f"{BASE}/market-data/UNKNOWN", 404)
    history = client.get(f"{BASE}/sessions/old/portfolio/history?start_date=2020-01-01")
    assert [each["total_value"] for each in history["history"]] == [77]
    client.get(f"{BASE}/sessions/old/portfolio/history?start_date=yesterday", 400)
