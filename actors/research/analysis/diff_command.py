"""`bin/troupe diff`: two order logs of one strategy, and why they differ."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, Final

from actors.research.analysis.causes import CAUSES
from actors.research.analysis.data_clock import DataClock
from actors.research.analysis.divergence import Difference, Divergence, Side, Total, compare
from actors.research.analysis.reading import Named, named
from actors.research.analysis.texts import moment_text, span_text, table
from protocols.control import Refused
from protocols.nanos import NANO, decimal_text
from protocols.orders import OrderEvent
from runtime.settings import Configuration

SHOWN: Final = 20
FAILED: Final = 1
Answer = tuple[str, dict[str, Any]] | tuple[str, dict[str, Any], int]


def diff(arguments: Sequence[str], configuration: Configuration | None) -> Answer:
    """Compare two order logs, order by order, and explain each difference.

    Answers with the exit status 1 where they differ. Raises Refused.
    """
    given = _parser().parse_args(arguments)
    for name in ("within", "tolerance"):
        if getattr(given, name) < 0:
            raise Refused("invalid", f"expected 0 or more seconds, got {getattr(given, name):g}", name)
    assert configuration is not None
    ours = side_of(named(given.run, configuration, field="run", url=given.url), "OURS")
    theirs = side_of(named(given.live, configuration, field="live", url=given.url), "THEIRS")
    found = compare(
        ours,
        theirs,
        within_ns=round(given.within * NANO),
        tolerance_ns=round(given.tolerance * NANO),
        align=given.align,
    )
    data = {**as_data(found), "ours": given.run, "theirs": given.live}
    text = text_of(found, given.run, given.live, given.show)
    return (text, data) if found.equal else (text, data, FAILED)


def _parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="troupe diff",
        description=(diff.__doc__ or "").partition("\n")[0],
        epilog="RUN is called OURS and LIVE THEIRS. Money is what THEIRS has more. Exit status 1: they differ.",
    )
    what = "a backtest's id or folder, an order log, an account, or its exported journal"
    made.add_argument("run", metavar="RUN", help=f"what is expected: {what}")
    made.add_argument("live", metavar="LIVE", help=f"what is held against it: {what}")
    made.add_argument(
        "--within", type=float, default=1.0, metavar="S", help="orders without a common id: this near in time (1)"
    )
    made.add_argument("--tolerance", type=float, default=0.0, metavar="S", help="times this near are the same (0)")
    made.add_argument("--align", action="store_true", help="the first orders of both count as of one time")
    made.add_argument("--show", type=int, default=SHOWN, metavar="N", help=f"show the first N differences ({SHOWN})")
    made.add_argument("--url", default="", metavar="URL", help="of a node (that of the data folder)")
    return made


def side_of(found: Named, title: str) -> Side:
    """What is known of a log: of an account with a journal also its signals, verdicts and gaps.

    An account whose data are of another time (a replay at some pace) is told by the time of its data.
    """
    clock = DataClock()
    replayed = found.replayed(clock)
    if replayed is None:
        span = None if found.report is None else (found.report.run.first, found.report.run.last)
        return Side(
            title=title,
            events=found.events,
            first=None if span is None else span[0],
            last=None if span is None else span[1],
        )
    again, prices = replayed
    events: Sequence[OrderEvent] = found.events or again.events
    first, last = again.first, again.ts
    if clock.apart:
        events, first, last = clock.events(events), clock.data(first), clock.data(last)
        prices = prices.moved(clock.gaps)
    return Side(
        title=title,
        events=events,
        signals={signal.signal_id: (clock.data(signal.ts_created), clock.data(ts)) for ts, signal in again.signals}
        if clock.apart
        else {signal.signal_id: (signal.ts_created, ts) for ts, signal in again.signals},
        declined={each.signal_id: (each.code, each.reason) for each in again.verdicts if each.code},
        prices=prices,
        first=first,
        last=last,
        own_clock=not clock.apart,
    )


# -- shown -----------------------------------------------------------------------------------------------------------


def as_data(found: Divergence) -> dict[str, Any]:
    """As plain data: money as decimal text, times in ns."""
    return {
        "equal": found.equal,
        "orders": {"ours": found.our_orders, "theirs": found.their_orders, "same": found.same},
        "in_time_alone": found.in_time_alone,
        "matched_by": found.matched_by,
        "shift_ns": found.shift,
        "by_data_time": list(found.by_data_time),
        "first": None if found.first is None else _plain(found.first),
        "totals": [
            {
                "cause": total.cause,
                "count": total.count,
                "money": {currency: decimal_text(amount) for currency, amount in total.money.items()},
                "unknown": total.unknown,
            }
            for total in found.totals
        ],
        "differences": [_plain(each) for each in found.differences],
    }


def _plain(each: Difference) -> dict[str, Any]:
    return {
        "cause": each.cause,
        "ts": each.ts,
        "ours": each.ours or None,
        "theirs": each.theirs or None,
        "matched_by": each.by or None,
        "market": each.market,
        "side": each.side,
        "explanation": each.text,
        "details": list(each.details),
        "money": None if each.money is None else decimal_text(each.money),
        "currency": each.currency,
    }


def text_of(found: Divergence, ours: str, theirs: str, most: int) -> str:
    """As people read it."""
    lines = [
        f"OURS    {found.our_orders} orders, {ours}",
        f"THEIRS  {found.their_orders} orders, {theirs}",
        f"{found.same} are equal, event by event; {len(found.differences)} differ",
    ]
    if found.in_time_alone:
        lines.append(f"{found.in_time_alone} of these differ in time alone: the same fills at the same prices")
    if found.by_data_time:
        lines.append(f"times of {' and '.join(found.by_data_time)} are those of the data")
    if found.shift:
        lines.append(f"times of THEIRS were taken {span_text(found.shift)} earlier")
    if found.first is None:
        return "\n".join(lines)
    first = found.first
    lines += ["", f"they part at {moment_text(first.ts)}: {_name(first)}: {first.text}"]
    lines += ["", table(("CAUSE", "ORDERS", "MONEY", "MEANING"), (_total(total) for total in found.totals)), ""]
    rows = (
        (moment_text(each.ts), _name(each), each.market, each.side, each.cause, _money(each), _explained(each))
        for each in found.differences[: max(0, most)]
    )
    lines.append(table(("TIME", "ORDER", "MARKET", "SIDE", "CAUSE", "MONEY", "WHY"), rows))
    if len(found.differences) > most:
        lines.append(f"({len(found.differences) - most} more; all of them with --json)")
    return "\n".join(lines)


def _total(total: Total) -> tuple[str, str, str, str]:
    money = ", ".join(f"{decimal_text(amount)} {currency}" for currency, amount in total.money.items())
    unknown = f"{total.unknown} unknown" if total.unknown else ""
    return total.cause, str(total.count), "; ".join(filter(None, (money, unknown))) or "0", CAUSES[total.cause]


def _name(each: Difference) -> str:
    return each.ours or each.theirs


def _money(each: Difference) -> str:
    return "unknown" if each.money is None else f"{decimal_text(each.money)} {each.currency}".strip()


def _explained(each: Difference) -> str:
    return "; ".join((each.text, *each.details))
