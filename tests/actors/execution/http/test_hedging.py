"""An account with hedging over HTTP: a long and a short position of one market at once, and what they cost."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tests.actors.execution.http.conftest import Client

MARKET = "SIM-ALPHA"
BASE = "/api/v1/accounts"
HALF_A_NANO = Decimal("0.5e-9")


def hedged(client: Client) -> str:
    fields = {"initial_capital": "1000", "position_mode": "hedging"}
    return str(client("POST", BASE, 201, account=fields)["account_id"])


def order(client: Client, name: str, side: str, position: str, quantity: str, **fields: Any) -> Any:
    known = {"symbol": MARKET, "side": side, "position_side": position, "quantity": quantity, **fields}
    return client("POST", f"{BASE}/{name}/orders", 201, **known)["order"]


def positions(client: Client, name: str) -> dict[str, Any]:
    return {each["side"]: each for each in client.get(f"{BASE}/{name}/positions")["positions"]}


def quantities(client: Client, name: str) -> dict[str, str]:
    return {side: each["quantity"] for side, each in positions(client, name).items()}


def balanced(client: Client, name: str) -> None:
    """The ledger adds up to nothing, its cash is the account's, and equity is cash and what is in the positions."""
    shown = client.get(f"{BASE}/{name}")
    postings = client.get(f"{BASE}/{name}/ledger?limit=499")["postings"]
    assert sum(Decimal(each["amount"]) for each in postings) == 0
    cash = sum(Decimal(each["amount"]) for each in postings if each["ledger_account"] == "cash")
    assert cash == Decimal(shown["cash"])
    assert sum(Decimal(each["unrealized"]) for each in shown["positions"]) == Decimal(shown["unrealized"])
    held = sum(Decimal(each["invested"]) + Decimal(each["unrealized"]) for each in shown["positions"])
    assert cash + held == Decimal(shown["equity"])
    earned = Decimal(shown["realized"]) + Decimal(shown["unrealized"]) - Decimal(shown["fees"])
    assert 1000 + earned == Decimal(shown["equity"])


def test_a_long_and_a_short_position_of_one_market_are_held_reduced_and_closed_apart(client: Client) -> None:
    name = hedged(client)
    long, short = order(client, name, "buy", "long", "10"), order(client, name, "sell", "short", "7")
    assert (long["state"], short["state"], short["position_side"]) == ("filled", "filled", "short")
    held = positions(client, name)
    assert (held["long"]["quantity"], held["short"]["quantity"]) == ("10", "7")
    assert held["long"]["average_price"] == long["average_price"]
    assert held["short"]["average_price"] == short["average_price"]
    # Each leg pays for what it may lose: the long one its price, the short one what is missing to 1. An order that
    # filled at several prices tells their average to the nearest nano.
    paid, missing = 10 * Decimal(long["average_price"]), 7 * (1 - Decimal(short["average_price"]))
    assert abs(Decimal(held["long"]["invested"]) - paid) <= 10 * HALF_A_NANO
    assert abs(Decimal(held["short"]["invested"]) - missing) <= 7 * HALF_A_NANO
    balanced(client, name)
    order(client, name, "sell", "long", "4", reduce_only=True)
    assert quantities(client, name) == {"long": "6", "short": "7"}
    order(client, name, "buy", "short", "3", reduce_only=True)
    assert quantities(client, name) == {"long": "6", "short": "4"}
    balanced(client, name)
    cut = order(client, name, "buy", "short", "100", reduce_only=True)
    assert (cut["state"], cut["quantity"]) == ("filled", "4")
    assert quantities(client, name) == {"long": "6"}
    nothing = order(client, name, "buy", "short", "1", reduce_only=True)
    assert (nothing["state"], nothing["reason_code"]) == ("denied", "reduce_only")
    balanced(client, name)


def test_a_bracket_protects_its_own_leg_and_the_kill_switch_closes_both(client: Client) -> None:
    name = hedged(client)
    order(client, name, "buy", "long", "5", stop_loss="0.01", client_order_id="l")
    order(client, name, "sell", "short", "3", stop_loss="0.99", client_order_id="s")
    exits = {each: client.get(f"{BASE}/{name}/orders/{each}-s") for each in ("l", "s")}
    assert {each: (exit["side"], exit["position_side"]) for each, exit in exits.items()} == {
        "l": ("sell", "long"),
        "s": ("buy", "short"),
    }
    client("POST", "/api/v1/execution/kill-switch", reason="a test", account_id=name)
    shown = client.get(f"{BASE}/{name}")
    assert (shown["positions"], shown["open_orders"], shown["trading"]) == ([], 0, "halted")
    assert shown["cash"] == shown["equity"]
    balanced(client, name)


def test_what_no_position_side_is_is_an_error_with_the_field(client: Client) -> None:
    fields = {"symbol": MARKET, "side": "buy", "quantity": 1, "position_side": "both"}
    assert client("POST", f"{BASE}/{hedged(client)}/orders", 400, **fields)["error"]["field"] == "position_side"
