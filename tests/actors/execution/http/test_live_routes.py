"""Live execution over HTTP: deployments, signals by hand, orchestrations, brokers."""

from __future__ import annotations

from typing import Any

from tests.actors.execution.http.conftest import Client

BASE = "/api/live-execution"


def deployment(client: Client, **fields: Any) -> Any:
    known = {"strategy_id": "every", "symbols": ["SIM-BETA"], "allocated_capital": 5000, **fields}
    return client("POST", f"{BASE}/deployments", 201, **known)


def test_a_deployment_is_paused_resumed_stopped_and_started(client: Client) -> None:
    made = deployment(client, deployment_name="mine", auto_start=False)
    one = f"{BASE}/deployments/{made['deployment_id']}"
    assert (made["status"], made["allocated_capital"], made["deployment_name"]) == ("stopped", 5000, "mine")
    assert client("POST", f"{one}/start")["status"] == "active"
    assert client("POST", f"{one}/pause")["status"] == "paused"
    assert client("POST", f"{one}/pause", 409)["error"]["code"] == "conflict"
    assert client("POST", f"{one}/resume")["status"] == "active"
    execution = client.get(f"{BASE}/executions/{made['deployment_id']}")
    assert (execution["strategy_id"], execution["symbols"]) == ("every", ["SIM-BETA"])
    assert client("DELETE", one)["status"] == "stopped"
    listed = client.get(f"{BASE}/deployments?environment_id={made['environment_id']}")
    assert [each["deployment_id"] for each in listed["deployments"]] == [made["deployment_id"]]
    client.get(f"{BASE}/deployments/none", 404)


def test_what_cannot_be_deployed_is_one_error_with_the_field(client: Client) -> None:
    for fields, status, field in (
        ({"strategy_id": "nobody"}, 404, "strategy_id"),
        ({"deployment_type": "live_trading"}, 403, "environment_id"),
        ({"deployment_type": "simulation"}, 409, "deployment_type"),
        ({"execution_config": {"x": 1}}, 400, "execution_config.x"),
        ({"position_size_config": {"percentage": 2}}, 400, "position_sizing_config.percentage"),
        ({"environment_id": "configured", "allocated_capital": 20_000}, 400, "allocated_capital"),
        ({"environment_id": "configured", "allocated_capital": 1000}, 400, "capital_share"),
        ({"risk_limits": {"max_drawdown": "2"}}, 400, "risk_limits.max_drawdown"),
        ({"monitoring_config": {"a": 1}}, 400, "monitoring_config"),
        ({"allocated_capital": 0}, 400, "allocated_capital"),
    ):
        known = {"strategy_id": "every", "symbols": ["SIM-BETA"], **fields}
        answer = client("POST", f"{BASE}/deployments", status, **known)
        assert answer["error"]["field"] == field, answer
    assert not [each for each in client.get("/api/v1/accounts")["accounts"] if each["name"] == "nobody"]


def test_a_signal_by_hand_is_assessed_and_becomes_an_order_of_its_deployment(client: Client) -> None:
    made = deployment(client)
    name, account = made["deployment_id"], made["environment_id"]
    client("POST", f"{BASE}/deployments/{name}/stop")
    sent = {"strategy_execution_id": name, "signal_type": "entry_long", "symbol": "SIM-ALPHA", "action": "buy",
            "quantity": 2, "max_slippage": 0.5}  # fmt: skip
    stopped = client("POST", f"{BASE}/signals/submit", **sent, confidence=0.8)
    assert (stopped["signal_accepted"], stopped["reason"]) == (False, "the deployment is stopped")
    client("POST", f"{BASE}/deployments/{name}/start")
    weak = client("POST", f"{BASE}/signals/submit", **sent, confidence=0.4)
    assert (weak["signal_accepted"], weak["action"]) == (False, "BUY")
    taken = client("POST", f"{BASE}/signals/submit", **{**sent, "symbol": "SIM-BETA"}, confidence=0.8)
    assert taken["signal_accepted"], taken
    assert 0 <= taken["risk_score"] <= 1
    assert taken["execution_recommendation"] in ("proceed", "proceed_cautious", "defer", "reject")
    path = f"/api/v1/accounts/{account}/verdicts?signal_id={taken['signal_id']}"
    [verdict] = client.until(path, lambda answer: answer["verdicts"])["verdicts"]
    assert verdict["orders"], verdict
    [order] = verdict["orders"]
    explained = client.get(f"/api/v1/orders/{order}/explain?account_id={account}")
    assert explained["signal"]["strategy_source"] == "manual"
    assert explained["signal"]["metadata"]["assessment"]["recommendation"] == taken["execution_recommendation"]
    assert explained["order"]["signal_id"] == taken["signal_id"]
    other = client("POST", f"{BASE}/signals/submit", **sent, confidence=0.8)
    assert (other["signal_accepted"], other["reason"]) == (False, "the deployment trades SIM-BETA, not SIM-ALPHA")
    nothing = client("POST", f"{BASE}/signals/submit", 400, **{**sent, "quantity": 0})
    assert nothing["error"]["field"] == "quantity"
    hold = {**sent, "symbol": "SIM-BETA", "action": "hold"}
    held = client("POST", f"{BASE}/signals/submit", **hold, confidence=0.8)
    assert (held["action"], held["signal_accepted"]) == ("HOLD", True)
    path = f"/api/v1/accounts/{account}/verdicts?signal_id={held['signal_id']}"
    [verdict] = client.until(path, lambda answer: answer["verdicts"])["verdicts"]
    assert verdict["orders"] == []
    contradiction = client("POST", f"{BASE}/signals/submit", 400, **{**sent, "action": "sell"})
    assert contradiction["error"]["field"] == "action"
    client("POST", f"{BASE}/signals/submit", 400, **{**sent, "processing_mode": "batch"})
    client("POST", f"{BASE}/signals/submit", 404, **{**sent, "strategy_execution_id": "none"})


def test_strategies_share_an_account_and_are_rebalanced(client: Client) -> None:
    strategies = [{"strategy_id": "every", "weight": weight, "symbols": ["SIM-BETA"]} for weight in (0.5, 0.3)]
    made = client("POST", f"{BASE}/orchestrations", 201, name="two", total_capital=2000, strategies=strategies)
    one = f"{BASE}/orchestrations/{made['orchestration_id']}"
    assert sorted(made["weights"].values()) == [0.3, 0.5]
    assert (made["total_capital"], round(made["unallocated"], 9)) == (2000, 0.2)
    assert client("POST", f"{one}/rebalance")["weights"] == dict.fromkeys(made["weights"], 0.5)
    first, second = made["weights"]
    assert client("POST", f"{one}/rebalance", weights={first: 0.1, second: 0.2})["unallocated"] == 0.7
    client("POST", f"{one}/rebalance", weights={second: 0.5})
    assert client("POST", f"{one}/rebalance", weights={first: 0.1})["weights"] == {first: 0.1, second: 0.5}
    too_much = client("POST", f"{one}/rebalance", 400, weights={first: 0.6, second: 0.5})
    assert too_much["error"]["field"] == "weights"
    client("POST", f"{one}/rebalance", 404, weights={"nobody": 0.1})
    assert client("DELETE", one)["status"] == "stopped"
    too_many = [{"strategy_id": "every", "weight": 0.7}] * 2
    answer = client("POST", f"{BASE}/orchestrations", 400, strategies=too_many)
    assert answer["error"]["field"] == "strategies"


def test_brokers_say_where_orders_go(client: Client) -> None:
    session = client.session(initial_capital=321)
    brokers = client.get(f"{BASE}/broker/status")["brokers"]
    [found] = [each for each in brokers if each["account_id"] == session]
    assert (found["broker"], found["connected"], found["reconciled_at"]) == ("simulated", True, None)
    assert client("POST", f"{BASE}/broker/connect", account_id=session)["connected"] is True
    assert client.get(f"{BASE}/broker/account?account_id={session}")["cash"] == 321
    assert client.get(f"{BASE}/broker/positions?account_id={session}")["positions"] == []
    assert client.get(f"{BASE}/broker/account", 400)["error"]["field"] == "account_id"
