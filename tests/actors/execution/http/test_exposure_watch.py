"""Limits over all accounts: who has part in a breach may only reduce, until it is none any more."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from tests.actors.execution.http.conftest import Client, client_of

CONFIGURATION = """\
[node]
name = "exposure"
data_dir = "data"

[edge]
port = 0

[[feeds]]
name = "demo"
venue = "simulated"

[execution.exposure]
max_market_gross = "60"
interval_s = 0.1
"""
BASE = "/api/v1/accounts"
MARKET = "SIM-BETA"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client of a node with a limit over all accounts."""
    with client_of(tmp_path_factory.mktemp("x"), CONFIGURATION) as found:
        yield found


def bought(desk: Client, account: str, name: str, quantity: str, side: str = "buy", **more: Any) -> Any:
    body = {"symbol": MARKET, "side": side, "quantity": quantity, "client_order_id": name, **more}
    return desk("POST", f"{BASE}/{account}/orders", 201, **body)["order"]


def trading(desk: Client, account: str, state: str) -> Any:
    return desk.until(f"{BASE}/{account}", lambda shown: shown["trading"] == state)


@pytest.mark.long
def test_accounts_that_pass_a_limit_together_may_only_reduce_until_they_are_within_it(desk: Client) -> None:
    one, two, three, flat = (desk.session(initial_capital="1000", symbols=[MARKET]) for _ in range(4))
    # Each alone is within the limit, both together are not.
    price = Decimal(desk.until(f"/api/v1/markets/{MARKET}/book?depth=1", lambda book: book["bids"])["bids"][0]["price"])
    size = str(int(Decimal(40) / price))
    assert bought(desk, one, "a", size)["state"] == "filled"
    assert trading(desk, one, "active")["positions"]
    assert bought(desk, three, "h", "1")["state"] == "filled"
    desk("POST", f"{BASE}/{three}/trading", 200, state="reducing", reason="by hand")
    assert bought(desk, two, "b", size)["state"] == "filled"
    for account in (one, two):
        shown = trading(desk, account, "reducing")
        assert shown["trading_reason"].startswith("exposure over all accounts: max_market_gross: ")
        assert MARKET in shown["trading_reason"]
        denied = bought(desk, account, "more", "1")
        assert (denied["state"], denied["reason_code"]) == ("denied", "reducing_only")
    assert desk.get(f"{BASE}/{flat}")["trading"] == "active"
    desk.until("/health", lambda health: health["components"]["exposure"] == "degraded")
    assert bought(desk, two, "c", size, "sell", reduce_only=True)["state"] == "filled"
    for account in (one, two):
        trading(desk, account, "active")
    # What a person has said is not the watch's to change.
    assert desk.get(f"{BASE}/{three}")["trading_reason"] == "by hand"
    desk.until("/health", lambda health: health["components"]["exposure"] == "ok")
