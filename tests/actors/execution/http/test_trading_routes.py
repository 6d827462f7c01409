"""The bridge's routes: how a user trades, start, stop, signals, settings."""

from __future__ import annotations

from tests.actors.execution.http.conftest import Client

BASE = "/api/trading"


def test_a_user_starts_trades_is_limited_and_stops(client: Client) -> None:
    before = client.get(f"{BASE}/status/eve")
    assert (before["isActive"], before["status"], before["accounts"]) == (False, "stopped", [])
    client.get(f"{BASE}/settings/eve", 404)
    wrong = client("POST", f"{BASE}/start", 400, userId="eve", watchlist=["SIM-BETA"])
    assert wrong["error"]["field"] == "settings.strategyId"
    for limit in (3, "NaN"):
        wrong = client("POST", f"{BASE}/start", 400, userId="eve", watchlist=["SIM-BETA"],
                       settings={"strategyId": "every", "maxDailyLoss": limit})  # fmt: skip
        assert wrong["error"]["field"] == "settings.maxDailyLoss"
    assert client.get(f"{BASE}/status/eve")["accounts"] == [], "nobody trades without the limit that he asked for"
    begun = client("POST", f"{BASE}/start", userId="eve", watchlist=["SIM-BETA"],
                   settings={"strategyId": "every", "initialCapital": 3000, "maxPositionSize": 0.5})  # fmt: skip
    [account] = begun["accounts"]
    assert (begun["isActive"], begun["watchlist"], account["deployments"]) == (
        True,
        ["SIM-BETA"],
        dict.fromkeys(account["deployments"], "active"),
    )
    name = account["accountId"]
    assert client.get(f"{BASE}/settings/eve")["limits"][name]["max_position_share"] == "0.5"
    changed = client("PUT", f"{BASE}/settings/eve", maxDailyLoss=0.01, maxPositions=None, trading="reducing")
    assert changed["limits"][name]["max_daily_loss"] == "0.01"
    assert changed["limits"][name]["max_positions"] is None
    assert changed["trading"] == {name: "reducing"}
    assert client("PUT", f"{BASE}/settings/eve", 400, maxDailyLoss=3)["error"]["field"] == "maxDailyLoss"
    assert client("PUT", f"{BASE}/settings/eve", 409, timeframe="1m")["error"]["field"] == "timeframe"
    found = client.until(
        f"{BASE}/signals/eve?limit=5", lambda answer: any(each["orders"] for each in answer["signals"])
    )
    assert found["count"] == len(found["signals"]) <= 5
    assert {each["symbol"] for each in found["signals"]} == {"SIM-BETA"}
    assert client.get(f"{BASE}/signals/eve?symbol=SIM-ALPHA")["signals"] == []
    stopped = client("POST", f"{BASE}/stop", userId="eve", closePositions=True)
    assert stopped["isActive"] is False
    again = client("POST", f"{BASE}/start", userId="eve", settings={"trading": "active"})
    assert again["isActive"] is True
    other = client("POST", f"{BASE}/start", 409, userId="eve", settings={"strategyId": "moving_average_cross"})
    assert other["error"]["field"] == "settings.strategyId"
    client("POST", f"{BASE}/stop", userId="eve")
    client("POST", f"{BASE}/stop", 404, userId="nobody")
    assert "configured" in [each["accountId"] for each in client.get(f"{BASE}/status/ada")["accounts"]]
