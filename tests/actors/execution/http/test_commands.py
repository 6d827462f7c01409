"""`bin/troupe account | orders | explain | kill-switch` against a node."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.execution import commands
from protocols.control import Refused
from runtime import NodeSettings
from runtime.settings import Configuration
from tests.actors.execution.http.conftest import Client


def configuration(folder: Path) -> Configuration:
    return Configuration({"node": NodeSettings(data_dir=str(folder))}, {})


def test_an_account_is_opened_shown_traded_explained_and_flattened(client: Client) -> None:
    node = configuration(client.node.data)
    assert commands.account_open(["typed", "--capital", "500"], node)[0] == "typed is open: 500 USD"
    with pytest.raises(Refused, match="there is an account typed"):
        commands.account_open(["typed"], node)
    order = {"symbol": "SIM-ALPHA", "side": "buy", "quantity": "0.01", "client_order_id": "by-hand"}
    client("POST", "/api/v1/accounts/typed/orders", 201, **order)
    text, listed = commands.account_list([], node)[:2]
    assert any(line.startswith("typed ") for line in text.splitlines())
    assert "typed" in [each["account_id"] for each in listed["accounts"]]
    assert "SIM-ALPHA  long  0.01" in commands.account_show(["typed"], node)[0]
    text, page = commands.orders(["typed", "--limit", "1"], node)[:2]
    assert [each["client_order_id"] for each in page["orders"]] == ["by-hand"]
    assert text.splitlines()[1].split()[:4] == ["by-hand", "SIM-ALPHA", "buy", "market"]
    assert commands.orders(["typed", "--state", "denied"], node)[0] == "none"
    explained, _ = commands.explain(["by-hand"], node)[:2]
    assert explained.startswith("signal manual-by-hand: ordered by hand")
    assert "book_walk" in explained
    with pytest.raises(Refused, match="there is no order nothing"):
        commands.explain(["nothing"], node)
    _, flattened = commands.kill_switch(["a test", "--account", "typed"], node)[:2]
    assert [(each["account_id"], each["positions"]) for each in flattened["accounts"]] == [("typed", 0)]


def test_a_node_is_named_by_its_address(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = configuration(tmp_path)
    accounts = commands.account_list(["--url", client.node.url], elsewhere)[1]["accounts"]
    assert "configured" in [each["account_id"] for each in accounts]
    with pytest.raises(Refused) as refused:  # the folder has no token for it
        commands.account_open(["named", "--url", client.node.url], elsewhere)
    assert refused.value.code == "unauthorized"
    monkeypatch.setenv("TROUPE_TOKEN", (client.node.data / "token").read_text().strip())
    assert commands.account_open(["named", "--url", f"{client.node.url}/"], elsewhere)[1]["account"]["equity"]
    with pytest.raises(Refused, match=r"expected http://HOST:PORT, got '127\.0\.0\.1:1'"):
        commands.account_list(["--url", "127.0.0.1:1"], elsewhere)


def test_a_folder_without_a_node_is_no_connection(tmp_path: Path) -> None:
    with pytest.raises(ConnectionError, match="no node runs on"):
        commands.account_list([], configuration(tmp_path))
