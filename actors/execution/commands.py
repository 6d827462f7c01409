"""`bin/troupe account | orders | explain | kill-switch`: accounts and orders of the running node."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

import httpx
import msgspec

from protocols.control import Refused
from runtime.settings import Configuration

CALL_S: Final = 150.0
LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
TOKEN_VARIABLE: Final = "TROUPE_TOKEN"  # noqa: S105 -- the name of a variable
Answer = tuple[str, dict[str, Any]] | tuple[str, dict[str, Any], int]


def account_list(arguments: Sequence[str], configuration: Configuration | None) -> Answer:
    """List the accounts of the running node with what they hold.

    Raises ConnectionError where none runs.
    """
    parser = _parser("account list", account_list)
    parser.add_argument("--user", default="", help="only this user's")
    given = parser.parse_args(arguments)
    node = _node(configuration, given.url)
    listed = node.get("/api/v1/accounts", user=given.user)["accounts"]
    shown = [node.get(f"/api/v1/accounts/{quote(each['account_id'])}") for each in listed if each["up"]]
    lines = [
        (
            each["account_id"],
            each["mode"],
            each["trading"],
            each["equity"] or "unknown",
            each["currency"],
            str(len(each["positions"])),
            str(each["open_orders"]),
            str(each["fills"]),
            each["name"],
        )
        for each in shown
    ]
    down = [(each["account_id"], each["mode"], "starting", "", "", "", "", "", each["name"]) for each in listed
            if not each["up"]]  # fmt: skip
    head = ("ACCOUNT", "MODE", "TRADING", "EQUITY", "", "POSITIONS", "OPEN", "FILLS", "NAME")
    return _table(head, [*lines, *down]), {"accounts": shown, "starting": [each[0] for each in down]}


def account_show(arguments: Sequence[str], configuration: Configuration | None) -> Answer:
    """Show how an account stands: money, positions, limits that hold, what is locked.

    Raises Refused `not_found`, ConnectionError.
    """
    parser = _parser("account show", account_show)
    parser.add_argument("account", metavar="ACCOUNT", help="its id")
    given = parser.parse_args(arguments)
    node = _node(configuration, given.url)
    found = node.get(f"/api/v1/accounts/{quote(given.account)}")
    settings = node.get(f"/api/v1/accounts/{quote(given.account)}/settings")
    limits = {name: value for name, value in settings["limits"].items() if value not in (None, [], True)}
    lines = [
        f"{found['account_id']}  {found['name']}",
        f"  {found['mode']}, {found['state']}, trading {found['trading']}"
        + (f" ({found['trading_reason']})" if found["trading_reason"] else ""),
        f"  equity {found['equity'] or 'unknown'} {found['currency']}, cash {found['cash']}, "
        f"available {found['available'] or 'unknown'}",
        f"  realized {found['realized']}, unrealized {found['unrealized'] or 'unknown'}, fees {found['fees']}",
        f"  {found['orders']} orders, {found['fills']} fills, {found['open_orders']} open; "
        f"deployments: {', '.join(found['deployments']) or 'none'}",
        f"  limits: {', '.join(f'{name} {value}' for name, value in limits.items()) or 'none'}",
    ]
    if found["missing"]:
        lines.append(f"  no price of {', '.join(found['missing'])}")
    lines += [f"  locked: {each['symbol']} until {each['until']}: {each['reason']}" for each in found["locks"]]
    rows = [
        (each["symbol"], each["side"], each["quantity"], each["average_price"] or "", each["price"] or "unknown",
         each["unrealized"] or "unknown")
        for each in found["positions"]
    ]  # fmt: skip
    if rows:
        lines += ["", _table(("SYMBOL", "SIDE", "QUANTITY", "AVERAGE", "PRICE", "UNREALIZED"), rows)]
    return "\n".join(lines), {"account": found, "settings": settings}


def account_open(arguments: Sequence[str], configuration: Configuration | None) -> Answer:
    """Open a paper account on the running node.

    Raises Refused (with the field), ConnectionError.
    """
    parser = _parser("account open", account_open)
    parser.add_argument("account", metavar="ACCOUNT", help="its id")
    parser.add_argument("--capital", default="100000", metavar="MONEY", help="the first money in it (100000)")
    parser.add_argument("--currency", default="USD", help="of the account (USD)")
    parser.add_argument("--user", default="", help="whose it is")
    parser.add_argument("--name", default="", help="what people call it")
    parser.add_argument("--margin", metavar="LEVERAGE", help="an account on margin; without it one on cash")
    parser.add_argument("--symbol", action="append", default=[], metavar="S", help="follow it from now on (repeatable)")
    given = parser.parse_args(arguments)
    account = {
        "account_id": given.account,
        "user": given.user,
        "currency": given.currency,
        "initial_capital": given.capital,
        **({"kind": "margin", "leverage": given.margin} if given.margin else {}),
    }
    found = _node(configuration, given.url).post(
        "/api/v1/accounts", account=account, name=given.name, symbols=given.symbol
    )
    text = f"{found['account_id']} is open: {found['equity'] or found['cash']} {found['currency']}"
    return text, {"account": found}


def orders(arguments: Sequence[str], configuration: Configuration | None) -> Answer:
    """List an account's orders as they stand, that which changed last first.

    Raises Refused `not_found`, ConnectionError.
    """
    parser = _parser("orders", orders)
    parser.add_argument("account", metavar="ACCOUNT", help="its id")
    parser.add_argument("--symbol", default="", metavar="S", help="only in this market")
    parser.add_argument("--state", default="", metavar="STATE", help="only in this state: accepted, filled, denied …")
    parser.add_argument("--deployment", default="", metavar="ID", help="only of this deployment")
    parser.add_argument("--limit", type=int, default=20, metavar="N", help="how many (20)")
    parser.add_argument("--before", type=int, metavar="N", help="the next page: what `next` said")
    given = parser.parse_args(arguments)
    query = {"symbol": given.symbol, "state": given.state, "deployment_id": given.deployment, "limit": given.limit}
    if given.before is not None:
        query["before"] = given.before
    page = _node(configuration, given.url).get(f"/api/v1/accounts/{quote(given.account)}/orders", **query)
    rows = [
        (each["client_order_id"], each["symbol"], each["side"], each["order_type"], each["quantity"],
         each["price"] or each["stop_price"] or "market", each["state"], each["filled"], each["average_price"] or "",
         each["reason_code"])
        for each in page["orders"]
    ]  # fmt: skip
    head = ("ORDER", "SYMBOL", "SIDE", "TYPE", "QUANTITY", "PRICE", "STATE", "FILLED", "AVERAGE", "REASON")
    text = _table(head, rows)
    if page["next"] is not None:
        text += f"\nmore: --before {page['next']}"
    return text, page


def explain(arguments: Sequence[str], configuration: Configuration | None) -> Answer:
    """Explain an order: its signal, what risk said, each event, why each fill happened, and what came of it.

    Raises Refused `not_found`, ConnectionError.
    """
    parser = _parser("explain", explain)
    parser.add_argument("order", metavar="ORDER", help="its client order id")
    parser.add_argument("--account", default="", metavar="ID", help="where several accounts have an order of this id")
    given = parser.parse_args(arguments)
    path = f"/api/v1/orders/{quote(given.order, safe='')}/explain"
    found = _node(configuration, given.url).get(path, account_id=given.account)
    return "\n".join(found["summary"]), found


def kill_switch(arguments: Sequence[str], configuration: Configuration | None) -> Answer:
    """Flatten one account or all: no new orders, cancel what is open, close what is held.

    Answers with the exit status 1 where something was left behind. Raises Refused, ConnectionError.
    """
    parser = _parser("kill-switch", kill_switch)
    parser.add_argument("reason", metavar="REASON", help="why; it stands with the accounts until they trade again")
    parser.add_argument("--account", default="", metavar="ID", help="this one alone (default: all)")
    parser.add_argument("--keep-positions", action="store_true", help="cancel, and close nothing")
    parser.add_argument("--stop-strategies", action="store_true", help="end the runs of their strategies, too")
    given = parser.parse_args(arguments)
    found = _node(configuration, given.url).post(
        "/api/v1/execution/kill-switch",
        reason=given.reason,
        account_id=given.account,
        close=not given.keep_positions,
        stop_strategies=given.stop_strategies,
    )
    rows = [
        (each["account_id"], each["phase"], str(each["open_orders"]), str(each["positions"]), "; ".join(each["left"]))
        for each in found["accounts"]
    ]
    text = _table(("ACCOUNT", "PHASE", "OPEN", "POSITIONS", "LEFT BEHIND"), rows)
    if found["stopped_strategies"]:
        text += f"\nstopped: {', '.join(found['stopped_strategies'])}"
    left = any(
        each["left"] or each["open_orders"] or (each["positions"] and not given.keep_positions)
        for each in found["accounts"]
    )
    return (text, found, 1) if left else (text, found)


def _parser(verb: str, function: Any) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog=f"troupe {verb}", description=(function.__doc__ or "").partition("\n")[0])
    made.add_argument("--url", default="", metavar="URL", help="of a node (that of the data folder)")
    return made


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return "none"
    widths = [max(len(line[index]) for line in (head, *rows)) for index in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in (head, *rows)
    )


class _NodeFile(msgspec.Struct):
    url: str


class _Node(NamedTuple):
    """The running node of a data folder."""

    url: str
    token: str

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        """What a path answers. Raises Refused, ConnectionError."""
        given = {name: value for name, value in query.items() if value != ""}
        return self._call("GET", f"{path}?{urlencode(given)}" if given else path)

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        """What a POST answers. Raises Refused, ConnectionError."""
        return self._call("POST", path, json=body)

    def _call(self, method: str, path: str, **content: Any) -> dict[str, Any]:
        headers = {"authorization": f"Bearer {self.token}"} if self.token else {}
        try:
            # A proxy of the environment has no business between a command and its own node.
            with httpx.Client(timeout=CALL_S, trust_env=False) as client:
                answer = client.request(method, self.url + path, headers=headers, **content)
        except httpx.TimeoutException as error:
            raise TimeoutError(f"the node at {self.url} did not answer {method} {path} in time") from error
        except httpx.HTTPError as error:
            raise ConnectionError(f"the node at {self.url} does not answer: {error}") from error
        if answer.status_code >= 400:
            try:
                told = answer.json()["error"]
            except (ValueError, KeyError, TypeError):
                raise ConnectionError(f"{self.url}{path} answered {answer.status_code}") from None
            raise Refused(told["code"], told["message"], told.get("field"))
        return dict(answer.json())


def _node(configuration: Configuration | None, url: str) -> _Node:
    """The node at `url`, else that of the data folder, whose token goes to itself and to this machine alone."""
    assert configuration is not None
    folder = Path(configuration.section("node").data_dir)
    given = os.environ.get(TOKEN_VARIABLE, "")
    told = _NodeFile("")
    with suppress(OSError, msgspec.DecodeError):
        told = msgspec.json.decode((folder / "node.json").read_bytes(), type=_NodeFile)
    if url:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Refused("invalid", f"expected http://HOST:PORT, got {url!r}", "url")
        ours = parts.hostname in LOOPBACK or parts[:2] == urlsplit(told.url)[:2]
        return _Node(url.rstrip("/"), given or (_token(folder) if ours else ""))
    if not told.url:
        raise ConnectionError(f"no node runs on the data folder {folder}; start one with: troupe run, or say --url")
    return _Node(told.url.rstrip("/"), given or _token(folder))


def _token(folder: Path) -> str:
    with suppress(OSError):
        return (folder / "token").read_text(encoding="ascii").strip()
    return ""
