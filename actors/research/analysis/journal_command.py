"""`bin/troupe journal`: an account's inputs as a file, run through a fresh engine again, and held against its rows."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from actors.execution.blotter import Working
from actors.research.analysis.journal_file import Journal, write_journal
from actors.research.analysis.journal_replay import (
    JournalBroken,
    JournalCheck,
    LedgerCheck,
    Replayed,
    Until,
    as_data,
    checked,
    replay,
    until_of,
)
from actors.research.analysis.order_log import line_of, order_hash, stories
from actors.research.analysis.reading import named, stored_account
from actors.research.analysis.stored_rows import Kind, RowsMissing
from actors.research.analysis.texts import moment_text, table
from protocols.control import Refused
from protocols.nanos import decimal_text
from protocols.orders import Fill
from runtime.settings import Configuration

VERBS: Final = ("export", "replay", "check")
SHOWN: Final = 20
CHECKED: Final[tuple[Kind, ...]] = ("inputs", "orders", "fills", "ledger")
Answer = tuple[str, dict[str, Any]] | tuple[str, dict[str, Any], int]


def journal(arguments: Sequence[str], configuration: Configuration | None) -> Answer:
    """Export an account's input journal, run it again, check that its orders follow from it.

    Answers with the exit status 1 where they do not. Raises Refused.
    """
    given = _parser().parse_args(_in_order(arguments))
    assert configuration is not None
    if given.verb == "export":
        return _export(given, configuration)
    found = _journal(given, configuration)
    try:
        return _check(given, found) if given.verb == "check" else _replay(given, found)
    except JournalBroken as error:
        raise Refused("unreadable", str(error), "file") from None


def _in_order(arguments: Sequence[str]) -> list[str]:
    """`ACCOUNT export FILE` as well as `export ACCOUNT FILE`."""
    words = list(arguments)
    if len(words) > 1 and words[0] not in VERBS and words[1] in VERBS:
        words[0], words[1] = words[1], words[0]
    return words


def _parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="troupe journal",
        description=(journal.__doc__ or "").partition("\n")[0],
        epilog="The account comes before or behind the verb: troupe journal main export main.jsonl.gz",
    )
    verbs = made.add_subparsers(dest="verb", required=True)
    export = verbs.add_parser("export", help="write the journal and the stored order log to a file")
    export.add_argument("account", metavar="ACCOUNT", help="of the running node, or of the data folder of one")
    export.add_argument("file", metavar="FILE", type=Path, help="where to; .gz packs it")
    again = verbs.add_parser("replay", help="orders, fills, positions and balances as they were")
    check = verbs.add_parser("check", help="whether the stored order log follows from the journal")
    for each in (again, check):
        each.add_argument("file", metavar="FILE|ACCOUNT", help="an exported journal, or an account")
    again.add_argument("--until", metavar="TIME|N", help="behind input N, or the last one up to a time (the end)")
    again.add_argument("--orders", metavar="FILE", type=Path, help="write its order log there, lines of JSON")
    again.add_argument("--show", type=int, default=SHOWN, metavar="N", help=f"show the last N of each kind ({SHOWN})")
    for each in (export, again, check):
        each.add_argument("--url", default="", metavar="URL", help="of a node (that of the data folder)")
    return made


def _export(given: argparse.Namespace, configuration: Configuration) -> Answer:
    try:
        stored = stored_account(given.account, configuration, url=given.url, kinds=CHECKED)
        found = stored.journal(time.time_ns())
    except RowsMissing as error:
        raise Refused("unreadable", str(error), "account") from None
    try:
        write_journal(given.file, found)
    except OSError as error:
        raise Refused("invalid", f"{given.file} cannot be written: {error.strerror or error}", "file") from None
    data = {
        "file": str(given.file),
        "account": found.head.account,
        "rows": len(found.rows),
        "inputs": found.inputs,
        "order_events": len(found.events),
        "order_hash": order_hash(found.events),
        "live": found.head.live,
    }
    text = f"{given.file} is written: {found.inputs} inputs, {len(found.events)} order events of {found.head.account}"
    return text, data


def _journal(given: argparse.Namespace, configuration: Configuration) -> Journal:
    found = named(given.file, configuration, field="file", url=given.url, kinds=CHECKED)
    if found.journal is None:
        raise Refused("invalid", f"{found.title} has no journal: expected an account, or its exported journal", "file")
    return found.journal


# -- check ---------------------------------------------------------------------------------------------------------


def _check(given: argparse.Namespace, found: Journal) -> Answer:
    check = checked(found)
    lines = [f"{check.inputs} inputs: {check.replayed} order events follow from them, {check.stored} are stored"]
    lines += _said("event", check, live=check.live)
    if check.ledger is not None:
        lines.append(f"{check.ledger.replayed} postings follow from them, {check.ledger.stored} are stored")
        lines += _said("posting", check.ledger, live=check.live)
    lines.append(f"order log {check.stored_hash[:16]}: " + ("equal" if check.equal else "DIFFERENT"))
    data = {"account": found.head.account, **as_data(check)}
    return ("\n".join(lines), data) if check.equal else ("\n".join(lines), data, 1)


def _said(what: str, check: JournalCheck | LedgerCheck, *, live: bool) -> list[str]:
    lines = []
    if check.difference is not None:
        lines += [
            f"{what} {check.difference} is another one",
            f"  the journal gives: {check.expected[:300]}",
            f"  stored is: {check.got[:300]}",
        ]
    if check.beyond:
        lines.append(f"{check.beyond} stored {what}s do not follow from the journal")
    if check.missing:
        lines.append(f"{check.missing} {what}s are not stored" + (", the account was running" if live else ""))
    return lines


# -- replay --------------------------------------------------------------------------------------------------------


def _replay(given: argparse.Namespace, found: Journal) -> Answer:
    try:
        until = Until() if given.until is None else until_of(given.until)
    except ValueError as error:
        raise Refused("invalid", str(error).partition(": ")[2], "until") from None
    replayed = replay(found.head.engine, found.rows, until=until)
    if given.orders is not None:
        _write_orders(given.orders, replayed)
    data = shown(replayed)
    return _text(replayed, data, given.show), data


def _write_orders(path: Path, replayed: Replayed) -> None:
    try:
        path.write_bytes(b"".join(line_of(event) + b"\n" for event in replayed.events))
    except OSError as error:
        raise Refused("invalid", f"{path} cannot be written: {error.strerror or error}", "orders") from None


def shown(replayed: Replayed) -> dict[str, Any]:
    """How the account stood behind the last input, as plain data: decimal text, times in ns."""
    engine = replayed.engine
    account = engine.account
    balances = account.books.ledger.balances()
    orders = [engine.blotter.get(name) for name in stories(replayed.events)]
    equity = account.equity()
    return {
        "account": engine.settings.account.account_id,
        "number": replayed.number,
        "ts": replayed.ts,
        "complete": replayed.complete,
        "orders": [_order(working) for working in orders if working is not None],
        "fills": [_fill(event.fill) for event in replayed.events if event.fill is not None],
        "positions": {market: decimal_text(size) for market, size in sorted(account.net_positions().items()) if size},
        "balances": {
            currency: {
                name: decimal_text(amount) for (name, own), amount in sorted(balances.items()) if own == currency
            }
            for currency in sorted({currency for _, currency in balances})
        },
        "equity": None if equity is None else decimal_text(equity),
        "currency": account.settings.currency,
        "order_events": len(replayed.events),
        "order_hash": order_hash(replayed.events),
        "ledger_entries": len(replayed.entries),
        "problems": [{"number": number, "reason": reason} for number, reason in replayed.problems],
    }


def _order(working: Working) -> dict[str, Any]:
    order = working.order
    return {
        "client_order_id": order.client_order_id,
        "market": order.market,
        "side": order.side,
        "kind": order.kind,
        "size": decimal_text(order.size),
        "price": None if order.price is None else decimal_text(order.price),
        "state": working.state,
        "filled": decimal_text(working.filled),
        "reason_code": working.reason_code,
        "deployment_id": order.deployment_id,
        "signal_id": order.signal_id,
        "ts_created": working.ts_created,
    }


def _fill(fill: Fill) -> dict[str, Any]:
    return {
        "fill_id": fill.fill_id,
        "client_order_id": fill.client_order_id,
        "market": fill.market,
        "side": fill.side,
        "price": decimal_text(fill.price),
        "size": decimal_text(fill.size),
        "liquidity": fill.liquidity,
        "fee": decimal_text(fill.fee),
        "fee_currency": fill.fee_currency,
        "ts": fill.ts,
        "why": msgspec.to_builtins(fill.why),
    }


ORDER: Final = ("client_order_id", "market", "side", "kind", "size", "price", "state", "filled", "reason_code")
FILL: Final = ("client_order_id", "market", "side", "size", "price", "liquidity", "fee")


def _text(replayed: Replayed, data: dict[str, Any], most: int) -> str:
    where = "the end" if replayed.complete else "before the end"
    lines = [
        f"account {data['account']} behind input {replayed.number}, {moment_text(replayed.ts)} ({where})",
        f"equity {data['equity'] or 'unknown'} {data['currency']}",
    ]
    if data["orders"]:
        head = ("ORDER", "MARKET", "SIDE", "KIND", "SIZE", "PRICE", "STATE", "FILLED", "REASON")
        lines += ["", table(head, [[each[name] or "-" for name in ORDER] for each in data["orders"]], most=most)]
    if data["fills"]:
        rows = [[moment_text(each["ts"]), *(each[name] for name in FILL)] for each in data["fills"]]
        lines += [
            "",
            table(("TIME", "ORDER", "MARKET", "SIDE", "SIZE", "PRICE", "LIQUIDITY", "FEE"), rows, most=most),
        ]
    if data["positions"]:
        lines += ["", table(("POSITION", "QUANTITY"), data["positions"].items())]
    if data["balances"]:
        rows = [[currency, *pair] for currency, own in data["balances"].items() for pair in own.items()]
        lines += ["", table(("CURRENCY", "LEDGER", "BALANCE"), rows)]
    lines += [f"input {number}: {reason}" for number, reason in replayed.problems[:most]]
    lines.append(f"\norder log {data['order_hash'][:16]}, {data['order_events']} events")
    return "\n".join(lines)
