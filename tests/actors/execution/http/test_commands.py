"""`bin/troupe account | orders | explain | kill-switch` against a node."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from tests.actors.execution.http.conftest import Client
from tests.node.kit import REPOSITORY


def troupe(client: Client, *arguments: str, status: int = 0) -> str:
    """What a command prints."""
    command = [sys.executable, "-m", "actors.cli", *arguments, "--data-dir", str(client.node.data)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout or done.stderr


def told(client: Client, *arguments: str, status: int = 0) -> Any:
    return json.loads(troupe(client, *arguments, "--json", status=status))


def test_an_account_is_opened_shown_traded_explained_and_flattened(client: Client) -> None:
    assert "typed is open: 500 USD" in troupe(client, "account", "open", "typed", "--capital", "500")
    order = {"symbol": "SIM-ALPHA", "side": "buy", "quantity": "2", "client_order_id": "by-hand"}
    client("POST", "/api/v1/accounts/typed/orders", 201, **order)
    listed = troupe(client, "account", "list")
    assert any(line.startswith("typed ") for line in listed.splitlines())
    assert "SIM-ALPHA  long  2" in troupe(client, "account", "show", "typed")
    assert told(client, "orders", "typed")["data"]["orders"][0]["client_order_id"] == "by-hand"
    explained = troupe(client, "explain", "by-hand")
    assert explained.startswith("no signal: ordered by manual")
    assert "book_walk" in explained
    assert told(client, "explain", "nothing", status=4)["issues"][0]["code"] == "not_found"
    flattened = told(client, "kill-switch", "a test", "--account", "typed")["data"]
    assert [(each["account_id"], each["positions"]) for each in flattened["accounts"]] == [("typed", 0)]
