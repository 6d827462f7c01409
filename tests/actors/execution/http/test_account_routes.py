"""Accounts over HTTP: how they stand, what is stored of them, money, limits, the kill switch, why an order."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tests.actors.execution.http.conftest import Client

MARKET = "SIM-ALPHA"
BASE = "/api/v1/accounts"
MAX_SIZE = "limits.max_order_size"


def account(client: Client, **fields: Any) -> str:
    known = {"kind": "cash", "initial_capital": "1000", **fields}
    return str(client("POST", BASE, 201, account=known)["account_id"])


def order(client: Client, name: str, expected: int = 201, **fields: Any) -> Any:
    known = {"symbol": MARKET, "side": "buy", "quantity": "2", "time_in_force": "GTC", **fields}
    return client("POST", f"{BASE}/{name}/orders", expected, **known)


def test_an_account_is_opened_and_moves_money_once(client: Client) -> None:
    name = account(client, user="ada", currency="EUR")
    one = f"{BASE}/{name}"
    assert [each["account_id"] for each in client.get(f"{BASE}?user=ada")["accounts"]] >= [name]
    shown = client.get(one)
    assert (shown["cash"], shown["equity"], shown["currency"], shown["state"]) == ("1000", "1000", "EUR", "trading")
    for _ in range(2):
        assert client("POST", f"{one}/deposit", amount="0.5", reference="r1")["cash"] == "1000.5"
    assert client("POST", f"{one}/withdraw", amount=100)["cash"] == "900.5"
    refused = client("POST", f"{one}/withdraw", 400, amount=5000)["error"]
    assert (refused["field"], refused["message"]) == ("amount", "expected at most 900.5, what is not bound, got 5000")
    assert client("POST", f"{one}/deposit", 400, amount=-1)["error"]["field"] == "amount"
    ledger = client.get(f"{one}/ledger")["postings"]
    assert [each["kind"] for each in ledger if each["ledger_account"] == "cash"] == ["withdrawal", "deposit", "deposit"]
    assert sum(Decimal(each["amount"]) for each in ledger) == 0
    unknown = client("POST", f"{one}/deposit", amount=1, currency="CHF")
    assert (unknown["equity"], unknown["missing"]) == (None, ["CHF"])


def test_what_no_account_can_be_is_one_error_with_the_field(client: Client) -> None:
    for fields, status, field in (
        ({"account": {"account_id": "a b"}}, 400, "account.account_id"),
        ({"account": {"leverage": "0"}}, 400, "account"),
        ({"account": {}, "engine": {"limits": {"max_drawdown": "2"}}}, 400, "limits.max_drawdown"),
        ({"account": {"account_id": "configured"}}, 409, "account_id"),
    ):
        assert client("POST", BASE, status, **fields)["error"]["field"] == field, fields
    for path in ("", "/orders", "/fills", "/ledger", "/equity", "/trades", "/verdicts", "/settings", "/positions"):
        assert client.get(f"{BASE}/nobody{path}", 404)["error"]["code"] == "not_found", path


def test_limits_are_set_shown_and_act(client: Client) -> None:
    name = account(client)
    one = f"{BASE}/{name}"
    assert order(client, name)["order"]["state"] == "filled"
    said = client("PUT", f"{one}/limits", limits={"max_order_size": "1.5"})
    assert said["limits"]["max_order_size"] == "1.5"
    denied = order(client, name)["order"]
    assert (denied["state"], denied["reason_code"]) == ("denied", "order_size")
    assert client.get(f"{one}/settings")["denied"] == {"order_size": 1}
    assert client("PUT", f"{one}/limits", 400, limits={"max_order_size": "-1"})["error"]["field"] == MAX_SIZE
    client("PUT", f"{one}/limits", 404, limits={}, deployment_id="nobody")
    assert client("POST", f"{one}/trading", state="reducing", reason="a test")["trading"] == "reducing"
    held = order(client, name, quantity=1)["order"]
    assert (held["state"], held["reason_code"], held["reason"]) == ("denied", "reducing_only", "a test")
    assert order(client, name, side="sell", quantity=1)["order"]["state"] == "filled"


def test_the_breaker_locks_and_open_orders_are_in_somebodys_hand(client: Client) -> None:
    name = account(client)
    one = f"{BASE}/{name}"
    for number in range(3):
        order(client, name, order_type="limit", price="0.01", client_order_id=f"rests{number}")
    assert client("POST", f"{one}/breaker", open=True, reason="a test")["breaker"] == "open"
    assert order(client, name)["order"]["reason_code"] == "breaker_open"
    assert client("POST", f"{one}/breaker", open=False)["breaker"] == "closed"
    assert client("DELETE", f"{one}/locks")["locks"] == []
    assert client("DELETE", f"{one}/locks?deployment_id=nobody", 404)["error"]["field"] == "deployment_id"
    assert client("DELETE", f"{one}/orders?market=NONE", 400)["error"]["field"] == "market"
    client("DELETE", f"{one}/orders?symbol=NONE")
    assert client.get(one)["open_orders"] == 3
    client("DELETE", f"{one}/orders")
    client.until(one, lambda shown: shown["open_orders"] == 0)
    client("DELETE", f"{BASE}/nobody/orders", 404)


def test_everything_that_is_stored_is_read_page_by_page(client: Client) -> None:
    name = account(client)
    for number in range(3):
        order(client, name, client_order_id=f"b{number}")
        order(client, name, side="sell", client_order_id=f"s{number}")
    for path, rows, key, count in (
        ("orders", "orders", "client_order_id", 6),
        ("fills", "fills", "fill_id", 6),
        ("trades", "trades", "seq", 3),
        ("equity", "samples", "seq", None),
        ("ledger", "postings", "seq", None),
    ):
        seen: list[Any] = []
        before = ""
        while True:
            page = client.get(f"{BASE}/{name}/{path}?limit=2{before}")
            assert len(page[rows]) <= 2
            assert page["behind"] == 0
            seen += [each[key] for each in page[rows]]
            if page["next"] is None:
                break
            before = f"&before={page['next']}"
        assert len(set(seen)) == len(seen)
        assert count is None or len(seen) == count, (path, seen)
    newest = client.get(f"{BASE}/{name}/fills?limit=1")["fills"][0]
    assert newest["client_order_id"] == "s2"
    assert newest["why"]["model"] == "book_walk"
    assert newest["why"]["session"]
    assert newest["why"]["seq"] > 0
    assert [each["client_order_id"] for each in client.get(f"{BASE}/{name}/fills?client_order_id=b1")["fills"]] == [
        "b1"
    ]
    assert client.get(f"{BASE}/{name}/orders?state=denied")["orders"] == []
    client.get(f"{BASE}/{name}/orders?limit=0", 400)
    for path, field in (
        (f"{BASE}/{name}/orders?state=flled", "state"),
        (f"{BASE}?mode=papr", "mode"),
        ("/api/v1/execution/deployments?state=on", "state"),
        ("/api/live-execution/deployments?status=on", "status"),
        ("/api/paper-trading/sessions?status=on", "status"),
        (f"/api/paper-trading/sessions/{name}/orders?status=open", "status"),
        (f"/api/paper-trading/sessions/{name}/risk/alerts?severity=bad", "severity"),
    ):
        error = client.get(path, 400)["error"]
        assert (error["field"], "Expected one of" in error["message"]) == (field, True), error


def test_an_orders_chain_is_explained_from_signal_to_outcome(client: Client) -> None:
    page = client.until(f"{BASE}/configured/trades?limit=1", lambda answer: answer["trades"])
    [trade] = page["trades"]
    [verdict] = client.get(f"{BASE}/configured/verdicts?signal_id={trade['signal_id']}")["verdicts"]
    name = next(each for each in verdict["orders"] if each.endswith("e"))
    path = f"/api/v1/orders/{name}/explain"
    found = client.get(path)
    assert found["signal"]["signal_id"] == trade["signal_id"] == found["order"]["signal_id"]
    assert found["signal"]["strategy_id"] == "every"
    assert found["verdict"]["orders"] == verdict["orders"]
    assert [each["kind"] for each in found["events"]][:2] == ["submitted", "accepted"]
    assert found["fills"]
    assert all(each["why"]["model"] and each["why"]["session"] for each in found["fills"]), found["fills"]
    assert {each["reference"] for each in found["postings"]} == {each["fill_id"] for each in found["fills"]}
    assert sum(Decimal(each["amount"]) for each in found["postings"]) == 0
    assert any(each["seq"] == trade["seq"] for each in found["trades"])
    assert found["summary"][0].startswith(f"signal {trade['signal_id']}: every said")
    client.get("/api/v1/orders/nothing/explain", 404)


def test_the_kill_switch_flattens_one_account_and_leaves_the_others(client: Client) -> None:
    name, other = account(client), account(client)
    for each in (name, other):
        order(client, each)
        order(client, each, order_type="limit", price="0.01", client_order_id="rests")
    assert client("POST", "/api/v1/execution/kill-switch", 400, reason="")["error"]["field"] == "reason"
    client("POST", "/api/v1/execution/kill-switch", 404, reason="x", account_id="nobody")
    # A field that nobody knows is never ignored: without it the switch would mean all accounts.
    misspelt = client("POST", "/api/v1/execution/kill-switch", 400, reason="x", account=name)
    assert misspelt["error"]["field"] == "account"
    assert client.get(f"{BASE}/{name}")["trading"] == "active"
    [killed] = client("POST", "/api/v1/execution/kill-switch", reason="a test", account_id=name)["accounts"]
    assert (killed["account_id"], killed["open_orders"], killed["positions"]) == (name, 0, 0)
    shown = client.get(f"{BASE}/{name}")
    assert (shown["trading"], shown["trading_reason"], shown["positions"]) == ("halted", "a test", [])
    assert order(client, name)["order"]["reason_code"] == "kill_switch"
    untouched = client.get(f"{BASE}/{other}")
    assert (untouched["trading"], untouched["open_orders"], len(untouched["positions"])) == ("active", 1, 1)
    assert client("DELETE", f"{BASE}/{other}")["account_id"] == other
    client.get(f"{BASE}/{other}", 404)
    stored = client.get(f"{BASE}/{other}/orders?state=cancelled")["orders"]
    assert [each["client_order_id"] for each in stored] == ["rests"]
    client("DELETE", f"{BASE}/configured", 409)


def test_exposure_is_summed_over_accounts_and_held_against_limits(client: Client) -> None:
    names = [account(client), account(client)]
    for each in names:
        order(client, each)
    found = client.get("/api/v1/execution/exposure?max_market_gross=0.01")
    [market] = [each for each in found["markets"] if each["name"] == MARKET]
    assert set(names) <= set(market["accounts"])
    assert Decimal(market["gross"]) >= Decimal(market["net"])
    assert any(each["limit"] == "max_market_gross" and each["name"] == MARKET for each in found["breaches"])
    assert client.get("/api/v1/execution/exposure?max_gross=-1", 400)["error"]["field"] == "max_gross"
    assert client.get("/api/v1/execution/exposure?currency=XXX")["total"]["gross"] is None


def test_deployments_are_listed_with_their_settings(client: Client) -> None:
    [found] = client.get("/api/v1/execution/deployments?account_id=configured")["deployments"]
    assert (found["deployment_id"], found["settings"]["opposite"]) == ("d1", "flip")
    assert client.get("/api/v1/execution/deployments?strategy_id=nobody")["deployments"] == []
    client.get(f"{BASE}/configured/reconciliation")
    assert client("POST", f"{BASE}/configured/align", 409)["error"]["code"] == "not_supported"
