"""Costs and errors of fill models as tables, and as plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from actors.research.analysis.costs import Figure, FillCost, GroupCost, OrderCost
from actors.research.analysis.fill_model import Calibration
from actors.research.analysis.texts import number_text, share_text, span_text, table
from protocols.nanos import NANO, decimal_text


def groups_text(groups: Sequence[GroupCost], horizons: Sequence[int]) -> str:
    """Three tables: how orders were filled, what they cost, what the price did behind them."""
    fills = table(
        ("GROUP", "ORDERS", "SENT", "FILLED", "FILLS", "RATIO", "FIRST FILL", "ALL FILLED", "TRADED"),
        (
            (
                _name(group),
                str(group.orders),
                str(group.sent),
                str(group.filled_orders),
                str(group.fills),
                share_text(group.fill_ratio) if group.by != "liquidity" else "-",
                span_text(group.first_ns) if group.by != "liquidity" else "-",
                span_text(group.complete_ns) if group.by != "liquidity" else "-",
                _amounts(group.notional),
            )
            for group in groups
        ),
    )
    costs = table(
        ("COST, BPS", "ARRIVAL", "MONEY", "SHORTFALL", "MONEY", "EFFECTIVE", "REALISED", "FEES", "MONEY"),
        (
            (
                _name(group),
                _bps(group.arrival),
                _money(group.arrival),
                "-" if group.shortfall is None else _bps(group.shortfall),
                "-" if group.shortfall is None else _money(group.shortfall),
                _bps(group.effective),
                _bps(group.realised),
                number_text(group.fees_bps),
                _amounts(group.fees),
            )
            for group in groups
        ),
    )
    behind = table(
        ("MARKOUT, BPS", *(f"+{span_text(horizon)}" for horizon in horizons)),
        ((_name(group), *(_bps(group.markouts[horizon]) for horizon in horizons)) for group in groups),
    )
    return "\n\n".join((fills, costs, behind))


def _name(group: GroupCost) -> str:
    return group.name if group.by == "all" else f"{group.by} {group.name}"


def _bps(figure: Figure) -> str:
    text = number_text(figure.bps)
    return f"{text} ({figure.unknown} unknown)" if figure.unknown and figure.known else text


def _money(figure: Figure) -> str:
    return _amounts(figure.money) if figure.known else "unknown"


def _amounts(money: Mapping[str, int]) -> str:
    return ", ".join(f"{decimal_text(amount)} {currency}".strip() for currency, amount in money.items()) or "0"


def calibration_text(found: Calibration) -> str:
    """The models, the best first."""
    rows = (
        (
            each.model,
            str(each.orders),
            share_text(each.real_ratio),
            share_text(each.model_ratio),
            f"{each.ratio_error:+.1%}",
            share_text(each.ratio_apart),
            f"{each.wrongly_filled}/{each.wrongly_open}",
            span_text(each.time_error),
            span_text(each.time_apart),
            number_text(each.price_error),
            number_text(each.price_apart),
        )
        for each in found.models
    )
    head = (
        "MODEL", "ORDERS", "FILLED", "MODEL FILLS", "ERROR", "APART", "ONLY MODEL/REAL",
        "TIME", "APART", "PRICE BPS", "APART",
    )  # fmt: skip
    lines = [f"! {text}" for text in found.warnings]
    if found.outside:
        lines.append(f"! {found.outside} orders lie outside of the recording and are left out")
    lines.append(table(head, rows))
    if found.models:
        best = found.best
        lines.append(f"nearest to the real fills: {best}" if best else "the models make no difference here")
    return "\n".join(lines)


# -- plain data ------------------------------------------------------------------------------------------------------


def as_data(group: GroupCost) -> dict[str, Any]:
    """A group: money as decimal text, times in ns."""
    return {
        "by": group.by,
        "name": group.name,
        "orders": group.orders,
        "sent": group.sent,
        "filled_orders": group.filled_orders,
        "fills": group.fills,
        "notional": _plain(group.notional),
        "fill_ratio": group.fill_ratio,
        "first_fill_ns": group.first_ns,
        "complete_fill_ns": group.complete_ns,
        "arrival_slippage": _figure(group.arrival),
        "implementation_shortfall": None if group.shortfall is None else _figure(group.shortfall),
        "effective_spread": _figure(group.effective),
        "realised_spread": _figure(group.realised),
        "markouts": {_seconds(horizon): _figure(figure) for horizon, figure in group.markouts.items()},
        "fees": _plain(group.fees),
        "fees_bps": group.fees_bps,
    }


def order_data(cost: OrderCost) -> dict[str, Any]:
    """An order with its fills."""
    return {
        "client_order_id": cost.client_order_id,
        "market": cost.market,
        "side": cost.side,
        "kind": cost.kind,
        "state": cost.state,
        "ts": cost.ts,
        "size": decimal_text(cost.size),
        "filled": decimal_text(cost.filled),
        "arrival_mid": None if cost.mid is None else decimal_text(cost.mid),
        "first_fill_ns": cost.first_ns,
        "complete_fill_ns": cost.complete_ns,
        "opportunity": _rounded(cost.opportunity),
        "currency": cost.currency,
        "fills": [_fill(fill) for fill in cost.fills],
    }


def _fill(fill: FillCost) -> dict[str, Any]:
    return {
        "ts": fill.ts,
        "liquidity": fill.liquidity,
        "notional": decimal_text(fill.notional),
        "arrival_slippage": _rounded(fill.arrival),
        "effective_spread_bps": fill.effective,
        "realised_spread_bps": fill.realised,
        "markouts_bps": {_seconds(horizon): value for horizon, value in fill.markouts.items()},
        "fee": decimal_text(fill.fee),
        "fee_currency": fill.fee_currency,
    }


def _figure(figure: Figure) -> dict[str, Any]:
    money = _plain(figure.money) if figure.known else None
    return {"bps": figure.bps, "money": money, "known": figure.known, "unknown": figure.unknown}


def _plain(money: Mapping[str, int]) -> dict[str, str]:
    return {currency: decimal_text(amount) for currency, amount in money.items()}


def _rounded(value: Fraction | None) -> str | None:
    return None if value is None else decimal_text(round(value))


def _seconds(horizon: int) -> str:
    return f"{horizon / NANO:g}s"
