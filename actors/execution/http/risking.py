"""How risky an account is, and what was near or beyond its limits: figures now, and alerts out of what is stored.

Alerts are of four kinds: a figure that is near its limit now (`measure`), a lock of a protection or an open breaker, an
order that a limit has denied, and a sample of equity in which the daily loss or the drawdown reached its limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from actors.edge.call import Call
from actors.execution.accounts.rows import ExecutionEquityRow
from actors.execution.http import reading
from actors.execution.http.numbers import moment
from actors.execution.http.performing import returns_of
from actors.execution.risk.limits import RiskLimits
from actors.execution.risk.measures import PAPER_VOLATILITY, RiskFigures, RiskMetric, RiskReport, measure
from protocols.execution import AccountView, GetRisk, RiskShown, account_actor
from protocols.nanos import exact_nanos
from protocols.signal_stream import timestamp

ASK_S: Final = 10.0
SAMPLES: Final = 499
FORM: Final = frozenset({"invalid_order", "precision_price", "precision_size", "price_range", "parent", "expired"})
"""Codes of denials that say something of the order alone, and nothing of the account."""


class Alert(msgspec.Struct, frozen=True):
    """Something to be looked at. `severity`: medium, high (near or locked) or critical (a limit is reached)."""

    alert_id: str
    timestamp: str | None
    kind: str
    metric: str
    severity: str
    message: str
    client_order_id: str = ""


class RiskBody(msgspec.Struct, frozen=True):
    """How risky it is now. The score is the highest utilization of a limit, 0 to 100; `unknown`: what is not known."""

    session_id: str
    overall_risk_score: float | None
    overall_risk_level: str
    risk_metrics: tuple[RiskMetric, ...]
    recent_alerts: tuple[Alert, ...]
    critical_alerts: tuple[Alert, ...]
    unknown: tuple[str, ...]
    timestamp: str | None


class AlertPage(msgspec.Struct, frozen=True):
    """Alerts, the newest first."""

    session_id: str
    alerts: tuple[Alert, ...]
    total_count: int


def report_of(shown: RiskShown, returns: Sequence[float]) -> RiskReport:
    """The figures of an account against its limits."""
    figures = RiskFigures(
        equity=_nanos(shown.equity),
        day_start_equity=_nanos(shown.day_start),
        peak_equity=_nanos(shown.peak),
        values={each.market: None if each.value is None else exact_nanos(each.value) for each in shown.holdings},
        bases={each.market: each.instrument.base for each in shown.holdings if each.instrument is not None},
        margin_used=_nanos(shown.margin_used),
        open_orders=shown.open_orders,
        returns=returns,
    )
    return measure(figures, limits_of(shown), volatility=PAPER_VOLATILITY)


def limits_of(shown: RiskShown) -> RiskLimits:
    """The limits that hold."""
    return msgspec.json.decode(shown.limits, type=RiskLimits)


def _nanos(text: str | None) -> int | None:
    return None if text is None else int(text)


async def risk_of(call: Call, view: AccountView) -> tuple[RiskShown, RiskReport]:
    """What an account's risk is measured by, and the report."""
    shown = await call.ref(account_actor(view.account)).ask(GetRisk(), ASK_S)
    days = await reading.daily_equity(call, view.account)
    return shown, report_of(shown, returns_of([float(value) for _, value in days]))


async def risk_body(call: Call, view: AccountView) -> RiskBody:
    """How risky an account is."""
    shown, report = await risk_of(call, view)
    alerts = await alerts_of(call, view, shown, report, 20)
    return RiskBody(
        session_id=view.session or view.account,
        overall_risk_score=report.overall_risk_score,
        overall_risk_level=report.overall_risk_level,
        risk_metrics=report.risk_metrics,
        recent_alerts=alerts,
        critical_alerts=tuple(each for each in alerts if each.severity == "critical"),
        unknown=report.unknown,
        timestamp=moment(shown.ts),
    )


async def alerts_of(
    call: Call, view: AccountView, shown: RiskShown, report: RiskReport, limit: int
) -> tuple[Alert, ...]:
    """The newest alerts."""
    now = moment(shown.ts)
    found = [Alert(f"now-{each.metric}", now, "limit", each.metric, each.level, each.message) for each in report.alerts]
    if view.breaker != "closed":
        found.append(Alert("now-breaker", now, "breaker", "breaker", "critical", view.trading_reason or view.breaker))
    found += [
        Alert(f"lock-{each.market}-{each.until}", now, "lock", each.market, "high",
              f"{each.market} {each.side} is locked until {moment(each.until)}: {each.reason}")
        for each in view.locks
    ]  # fmt: skip
    denied = await reading.denials(call, view.account, limit)
    stored = [
        Alert(f"order-{row.seq}", timestamp(row.ts), "denied", row.reason_code, "medium", row.reason,
              row.client_order_id)
        for row in denied.rows
        if row.reason_code not in FORM
    ]  # fmt: skip
    samples = (await reading.equity(call, view.account, reading.LAST, SAMPLES)).rows[::-1]
    stored += reached(samples, limits_of(shown))
    stored.sort(key=lambda each: each.timestamp or "", reverse=True)
    return tuple([*found, *stored][:limit])


def reached(samples: Sequence[ExecutionEquityRow], limits: RiskLimits) -> list[Alert]:
    """The samples, oldest first, in which a loss reached its limit: the first one of each time that it did."""
    found: list[Alert] = []
    for metric, field, start in (
        ("daily_loss", "max_daily_loss", "day_start"),
        ("drawdown", "max_drawdown", "peak"),
    ):
        limit = limits.nanos(field)
        if limit is None:
            continue
        beyond = False
        for row in samples:
            before, equity = exact_nanos(getattr(row, start)), exact_nanos(row.equity)
            over = before > 0 and (before - equity) * 10**9 >= limit * before
            if over and not beyond:
                share = (before - equity) / before
                message = f"{metric} {share:.2%} reached its limit of {limit / 10**9:.2%}"
                found.append(Alert(f"{metric}-{row.seq}", timestamp(row.ts), "limit", metric, "critical", message))
            beyond = over
    return found
