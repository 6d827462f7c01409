"""Backtests as the HTTP interface takes and shows them: the fields of the strategy service, each acting as it says."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

import msgspec

from actors.edge.errors import HttpError
from actors.market.bars_intervals import DAY
from actors.strategies.bar_files import BarFileError, nanos_of
from protocols.backtests import BacktestJob
from protocols.nanos import NANO
from protocols.signal_stream import timestamp

_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Limit = Annotated[int, msgspec.Meta(ge=1, le=100)]
Offset = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
Methodology = Literal["standard", "walk_forward", "monte_carlo", "cross_validation", "paper_trading"]
Sizing = Literal[
    "fixed_percentage", "fixed_amount", "kelly_criterion", "risk_parity", "volatility_adjusted", "optimal_f"
]


class NewBacktest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A backtest: a strategy of the library over a data set of the node.

    Rates and sizes are shares: 0.001 is 0.1 %. `commission_rate` of the value of each fill, `slippage_rate` of the
    price of what takes what it gets. `execution_delay_ms` until an order is at the venue. `max_portfolio_risk`: the
    most of the equity that is lost at an entry's stop. `max_drawdown_limit`: from there on only what reduces passes.
    `stop_loss_pct`, `take_profit_pct`: where a sandboxed strategy says none; null: none. `benchmark_symbol`: whose
    price is compared with; empty: the first market.

    Beyond the strategy service: `source` of the strategy; `dataset_ids` for several; `parameters`; `timeframe` of its
    bars; `optimise` (values by parameter) with `objective` and `random_trials`; `walk_forward` (months of training,
    test and step), `folds`, `simulations`, `purge_s`, `embargo_s`; `both_brackets`; `seed`; `priority` (the higher
    first); `configuration` of a sandboxed run; `spec`: further fields of the specification, which win.
    """

    strategy_id: Name
    dataset_id: str = ""
    name: Name = "backtest"
    start_date: str = ""
    end_date: str = ""
    initial_capital: Annotated[float, msgspec.Meta(ge=1e3, le=1e7)] = 100_000.0
    commission_rate: Share = 0.001
    slippage_rate: Share = 0.0005
    methodology: Methodology = "standard"
    position_sizing: Sizing = "fixed_percentage"
    position_sizing_config: dict[str, Any] = {}
    max_position_size: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.1
    max_portfolio_risk: Share = 0.02
    stop_loss_pct: Annotated[float, msgspec.Meta(gt=0, lt=1)] | None = None
    take_profit_pct: Annotated[float, msgspec.Meta(gt=0, lt=1)] | None = None
    max_drawdown_limit: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.2
    execution_delay_ms: Annotated[float, msgspec.Meta(ge=0, le=3_600_000)] = 100.0
    price_improvement_pct: Share = 0.0
    partial_fill_probability: Share = 0.05
    benchmark_symbol: str = ""
    source: str = ""
    dataset_ids: tuple[str, ...] = ()
    parameters: dict[str, Any] = {}
    timeframe: str = ""
    optimise: dict[str, tuple[Any, ...]] = {}
    objective: str = "sharpe"
    random_trials: Annotated[int, msgspec.Meta(ge=0)] = 0
    walk_forward: str = "12/3/3"
    folds: Annotated[int, msgspec.Meta(ge=2, le=50)] = 5
    simulations: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 1000
    purge_s: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    embargo_s: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    both_brackets: bool = False
    seed: Annotated[int, msgspec.Meta(ge=0)] = 0
    priority: Annotated[int, msgspec.Meta(ge=-100, le=100)] = 0
    configuration: dict[str, Any] = {}
    spec: dict[str, Any] = {}


class JobBody(msgspec.Struct, frozen=True, kw_only=True):
    """A backtest job. Times are ISO 8601. `metrics`: null where a figure is unknown; empty until it has completed."""

    id: str
    job_id: str
    name: str
    strategy_id: str
    dataset_id: str
    methodology: str
    status: str
    priority: int
    queue_position: int
    progress_percentage: float
    stage: str
    created_at: str
    started_at: str | None
    completed_at: str | None
    error_message: str | None
    error_field: str | None
    attempts: int
    family: str
    trials: int
    order_hash: str
    metrics: dict[str, Any]
    configuration: dict[str, Any]


class JobPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of jobs, the newest first."""

    jobs: tuple[JobBody, ...]
    total: int
    limit: int
    offset: int


def spec_fields(asked: NewBacktest) -> dict[str, Any]:
    """The specification of a request, without its strategy's code. Raises HttpError 400 with the field."""
    if asked.methodology == "paper_trading":
        raise _wrong("methodology", "paper trading is a session of its own: POST /api/paper-trading/sessions")
    if asked.price_improvement_pct:
        raise _wrong("price_improvement_pct", "expected 0: no fill is better than what the market showed")
    data = [each for each in (asked.dataset_id, *asked.dataset_ids) if each]
    if not data and not asked.spec.get("data"):
        raise _wrong("dataset_id", "expected the id of a data set")
    for place, each in enumerate(asked.spec["data"] if isinstance(asked.spec.get("data"), list) else ()):
        if isinstance(each, dict) and "path" in each:
            # A client has no business in the files of the machine, and an error would show what is in them.
            raise _wrong(
                f"spec.data[{place}].path", "expected `dataset`: files are uploaded, or read by troupe backtest"
            )
    since, until = _day(asked.start_date, "start_date"), _day(asked.end_date, "end_date")
    if since is not None and until is not None and until <= since:
        raise _wrong("end_date", "expected a date behind start_date")
    rate = _text(asked.commission_rate)
    fields: dict[str, Any] = {
        "strategy": {
            "name": asked.strategy_id,
            "parameters": asked.parameters,
            "timeframes": [asked.timeframe] if asked.timeframe else [],
            "settings": {
                "signal_cooldown": 0.0,
                "stop_loss_percentage": asked.stop_loss_pct or 0.0,
                "take_profit_percentage": asked.take_profit_pct or 0.0,
                **asked.configuration,
            },
        },
        "data": [{"dataset": each} for each in data],
        "name": asked.name,
        "since": since,
        "until": None if until is None else until + DAY,
        "initial_capital": _text(asked.initial_capital),
        "market": {"taker_fee": rate, "maker_fee": rate},
        "fills": {
            "latency": {"entry": {"model": "constant", "ns": round(asked.execution_delay_ms * 1e6)}},
            "slippage": {"model": "share", "share": _text(asked.slippage_rate)},
            "partial_fill": asked.partial_fill_probability,
        },
        "limits": {"max_drawdown": _text(asked.max_drawdown_limit)},
        "sizing": {
            "max_position_size": asked.max_position_size,
            "max_portfolio_risk": asked.max_portfolio_risk,
            **asked.position_sizing_config,
            "method": asked.position_sizing,
        },
        "benchmark": asked.benchmark_symbol,
        "seed": asked.seed,
        "method": {
            "methodology": asked.methodology,
            "grid": asked.optimise,
            "objective": asked.objective,
            "random_trials": asked.random_trials,
            "walk_forward": asked.walk_forward,
            "folds": asked.folds,
            "simulations": asked.simulations,
            "purge_s": asked.purge_s,
            "embargo_s": asked.embargo_s,
            "both_brackets": asked.both_brackets,
        },
    }
    return merged(fields, asked.spec)


def merged(fields: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Fields with others over them, objects field by field."""
    found = dict(fields)
    for name, value in more.items():
        own = found.get(name)
        found[name] = merged(own, value) if isinstance(own, dict) and isinstance(value, dict) else value
    return found


def job_body(job: BacktestJob) -> JobBody:
    """A job as it is shown."""
    request: dict[str, Any] = msgspec.json.decode(job.request)
    spec: dict[str, Any] = msgspec.json.decode(job.spec)
    data = spec.get("data") or [{}]
    if isinstance(spec.get("strategy"), dict):
        spec["strategy"].pop("code", None)
    return JobBody(
        id=job.job_id,
        job_id=job.job_id,
        name=job.name,
        strategy_id=str(request.get("strategy_id") or job.strategy),
        dataset_id=str(data[0].get("dataset") or data[0].get("path") or ""),
        methodology=job.methodology,
        status=job.state,
        priority=job.priority,
        queue_position=job.place,
        progress_percentage=round(100 * job.progress, 2),
        stage=job.stage,
        created_at=timestamp(job.ts_created),
        started_at=timestamp(job.ts_started) if job.ts_started else None,
        completed_at=timestamp(job.ts_ended) if job.ts_ended else None,
        error_message=job.reason or None,
        error_field=job.field or None,
        attempts=job.attempts,
        family=job.family,
        trials=job.trials,
        order_hash=job.order_hash,
        metrics=msgspec.json.decode(job.summary),
        configuration=spec,
    )


def _day(text: str, field: str) -> int | None:
    if not text:
        return None
    if not _DATE.fullmatch(text):
        raise _wrong(field, f"expected YYYY-MM-DD, got {text[:50]!r}")
    try:
        return nanos_of(text)
    except BarFileError as error:
        raise _wrong(field, str(error)) from None


def _text(value: float) -> str:
    """The shortest decimal that names this float; at most nine digits behind the point."""
    text = f"{value:.9f}".rstrip("0").rstrip(".")
    return text if float(text) == value or not value else f"{round(value * NANO) / NANO:.9f}"


def _wrong(field: str, message: str) -> HttpError:
    return HttpError(400, "invalid", message, field)
