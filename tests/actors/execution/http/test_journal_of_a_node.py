"""The journal of an account of a running node: over HTTP, and out of its database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from actors.research.analysis.journal_command import journal
from actors.research.analysis.journal_replay import checked
from actors.research.analysis.offline_rows import read_offline
from actors.research.analysis.reading import stored_account
from actors.research.analysis.report_command import report
from actors.research.analysis.stored_rows import KINDS
from tests.actors.execution.http.conftest import Client
from tests.actors.research.analysis.kit import configuration

BASE = "/api/v1/accounts"


def traded(client: Client, name: str) -> None:
    client("POST", BASE, 201, account={"account_id": name, "kind": "cash", "initial_capital": "1000"})
    order = {"symbol": "SIM-ALPHA", "quantity": "2", "time_in_force": "GTC"}
    client("POST", f"{BASE}/{name}/orders", 201, side="buy", client_order_id=f"{name}-in", **order)
    client("POST", f"{BASE}/{name}/orders", 201, side="sell", client_order_id=f"{name}-out", **order)


def settled(client: Client, name: str) -> Any:
    return client.until(f"{BASE}/{name}/trades", lambda answer: answer["trades"])


def test_a_journal_is_read_page_by_page_in_order(client: Client) -> None:
    traded(client, "paged")
    seen: list[int] = []
    page = client.get(f"{BASE}/paged/journal?limit=1")
    assert page["opened"]["engine"]["account"]["account_id"] == "paged"
    while True:
        seen += [row["seq"] for row in page["rows"]]
        if page["next"] is None or len(seen) == 3:
            break
        page = client.get(f"{BASE}/paged/journal?limit=1&after={page['next']}")
        assert page["opened"] is None
    assert seen == list(range(1, len(seen) + 1))
    orders = client.get(f"{BASE}/paged/journal?kind=orders&limit=500")["rows"]
    assert [row["kind"] for row in orders[:3]] == ["submitted", "accepted", "filled"]
    assert client.get(f"{BASE}/nobody/journal", 404)["error"]["field"] == "account_id"
    assert client.get(f"{BASE}/paged/journal?kind=colours", 400)["error"]["field"] == "kind"
    assert client.get(f"{BASE}/paged/journal?limit=0", 400)["error"]["field"] == "limit"


def test_what_the_account_did_follows_from_its_journal(client: Client, tmp_path: Path) -> None:
    traded(client, "checked")
    settled(client, "checked")
    own = configuration(client.node.data)
    over_http = stored_account("checked", own, kinds=KINDS)
    assert over_http.live
    assert checked(over_http.journal(0)).equal
    from_database = read_offline(own, "checked", KINDS)
    assert from_database.events()[: len(over_http.events())] == over_http.events()
    assert tuple(from_database.inputs[: len(over_http.inputs)]) == tuple(over_http.inputs)
    assert tuple(from_database.ledger) == tuple(over_http.ledger)
    assert len(journal(["checked", "export", str(tmp_path / "j.jsonl.gz")], own)) == 2
    answer = journal(["check", str(tmp_path / "j.jsonl.gz")], own)
    assert (len(answer), answer[1]["equal"], answer[1]["stored"]) == (2, True, 6)
    run = report(["checked"], own)[1]["run"]
    assert (run["orders"], run["fills"], len(run["round_trips"])) == (2, 2, 1)
