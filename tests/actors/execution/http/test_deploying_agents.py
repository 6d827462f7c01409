"""A deployment of an agent: its signals are traded, its markets are its own, and the kill switch stops it."""

from __future__ import annotations

from tests.actors.execution.http.conftest import Client

BASE = "/api/live-execution/deployments"


def test_an_agent_is_deployed_by_the_id_of_its_signals_and_stopped_by_the_kill_switch(client: Client) -> None:
    config = {"symbols": ["SIM-ALPHA"], "timeframe": "1s"}
    client("POST", "/api/v1/agents/start", user_id="deployed", config=config)
    strategy = client.get("/api/v1/agents/deployed/status")["strategy_id"]
    unknown = client("POST", BASE, 400, strategy_id="agent:nobody", allocated_capital=1000)["error"]
    assert (unknown["field"], unknown["message"]) == (
        "strategy_id",
        f"expected that of an agent ({strategy}), got agent:nobody",
    )
    options = {"opposite": "flip", "entries": 1}
    made = client("POST", BASE, 201, strategy_id=strategy, allocated_capital=1000, execution_config=options)
    assert (made["symbols"], made["settings"]["entries"], made["status"]) == (["SIM-ALPHA"], 1, "active")
    account = made["environment_id"]
    killed = client("POST", "/api/v1/execution/kill-switch", reason="a test", account_id=account, stop_strategies=True)
    assert killed["stopped_strategies"] == [strategy]
    assert client.get("/api/v1/agents/deployed/status")["state"] == "stopped"
