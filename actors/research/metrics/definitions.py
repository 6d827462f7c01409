"""Metrics of the equity curve: return, risk, drawdown, tails, and beside the benchmark.

Smallest samples: a spread, a quantile at 5 % and whatever is made of them need 20 daily returns (a month); growth per
year needs 30 days, and less than a year is said to be extrapolated. The limits are what no honest curve passes:
10,000 % a year, a Sharpe ratio of 50.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from actors.research.metrics import drawdowns, relative, returns
from actors.research.metrics.definition import Definition
from actors.research.metrics.metric import Unknown
from actors.research.metrics.sample import Sample
from actors.research.statistics import selection

MONTH: Final = 20
LEAST_DAYS: Final = 30
MOST_GROWTH: Final = 100.0
MOST_RATIO: Final = 50.0

Compute = Callable[[Sample], float]


def _extrapolated(sample: Sample) -> str:
    days = sample.elapsed_days
    return f"extrapolated to a year from {days:.0f} days" if days < 365 else ""


def _cagr(sample: Sample) -> float:
    return returns.growth_rate(float(sample.equity[0]), float(sample.equity[-1]), sample.elapsed_days)


def _over_drawdown(growth: Compute) -> Compute:
    def compute(sample: Sample) -> float:
        worst = drawdowns.maximum(sample.equity)
        if worst == 0:
            raise Unknown("the equity was never below its peak")
        return growth(sample) / -worst

    return compute


def _geometric(sample: Sample) -> float:
    return returns.annualised_return(sample.returns, sample.periods)


def per_period_sharpe(sample: Sample) -> float:
    """The Sharpe ratio of one day. Raises Unknown."""
    return returns.sharpe(sample.returns, 1, sample.risk_free / sample.periods)


def _estimate(sample: Sample) -> tuple[float, float, float]:
    """Sharpe ratio per day, skewness, raw kurtosis. Raises Unknown where they leave no error of the estimate."""
    values = sample.returns
    found = per_period_sharpe(sample), returns.skewness(values), returns.kurtosis(values)
    try:
        selection.sharpe_variance(*found)
    except ValueError as error:
        raise Unknown(str(error)) from error
    return found


def _psr(sample: Sample) -> float:
    sharpe, skew, kurtosis = _estimate(sample)
    return selection.probabilistic_sharpe(sharpe, sample.returns.size, skew, kurtosis)


def _minimum_track_record(sample: Sample) -> float:
    sharpe, skew, kurtosis = _estimate(sample)
    if sharpe <= 0:
        raise Unknown("the Sharpe ratio is not above 0: no record is long enough")
    return selection.minimum_track_record(sharpe, skew, kurtosis)


def _dsr(sample: Sample) -> float:
    found = sample.trial_sharpes
    trials = max(sample.run.trials, 0 if found is None else int(found.size))
    if trials > 1 and (found is None or found.size < 2):
        raise Unknown(f"needs the Sharpe ratios of the family's {trials} runs")
    variance = float(found.var(ddof=1)) if found is not None and found.size > 1 else 0.0
    sharpe, skew, kurtosis = _estimate(sample)
    n = sample.returns.size
    return selection.deflated_sharpe(sharpe, n, skew, kurtosis, trials=max(trials, 1), variance=variance)


PRADO: Final = "Bailey and López de Prado, J. Risk 15(2), 2012"

RETURN: Final = (
    Definition(
        "total_return", "Total Return", "Return", "share", lambda s: returns.total_return(s.equity),
        "E_end / E_0 - 1", "", "samples", 2, "higher", -math.inf, 1e6, of_benchmark=True,
    ),
    Definition(
        "cagr", "CAGR (365.25 days)", "Return", "share", _cagr, "(E_end / E_0)^(365.25 / days) - 1", "",
        "days", LEAST_DAYS, "higher", -1.0, MOST_GROWTH, of_benchmark=True, warns=_extrapolated,
    ),
    Definition(
        "annualised_return", "Annualised Return, geometric ({N})", "Return", "share", _geometric,
        "prod(1 + r)^(N / n) - 1", "", "daily returns", MONTH, "higher", -1.0, MOST_GROWTH,
        of_benchmark=True, warns=_extrapolated,
    ),
    Definition(
        "best_day", "Best Day", "Return", "share", lambda s: float(s.returns.max()), "max(r)", "",
        "daily returns", 1, "higher", of_benchmark=True,
    ),
    Definition(
        "worst_day", "Worst Day", "Return", "share", lambda s: float(s.returns.min()), "min(r)", "",
        "daily returns", 1, "higher", of_benchmark=True,
    ),
    Definition(
        "winning_days", "Winning Days", "Return", "share", lambda s: float((s.returns > 0).mean()), "#{r > 0} / n", "",
        "daily returns", 1, "higher", 0.0, 1.0, of_benchmark=True,
    ),
)  # fmt: skip

RISK: Final = (
    Definition(
        "volatility", "Volatility ({N})", "Risk", "share", lambda s: returns.volatility(s.returns, s.periods),
        "std(r, n - 1) sqrt(N)", "", "daily returns", MONTH, "lower", 0.0, 100.0, of_benchmark=True,
    ),
    Definition(
        "volatility_compounded", "Volatility, compounded ({N})", "Risk", "share",
        lambda s: returns.compounded_volatility(s.returns, s.periods),
        "sqrt((var(r) + (1 + g)^2)^N - (1 + g)^(2N)), g the geometric mean of r", "backtesting.py",
        "daily returns", MONTH, "lower", 0.0, 100.0, of_benchmark=True,
    ),
    Definition(
        "downside_deviation", "Downside Deviation ({N})", "Risk", "share",
        lambda s: returns.downside_deviation(s.returns, s.periods, s.risk_free),
        "sqrt(mean(min(r - rf / N, 0)^2 over all n)) sqrt(N)", "Sortino and Price, J. Investing 3(3), 1994",
        "daily returns", MONTH, "lower", 0.0, 100.0, of_benchmark=True,
    ),
    Definition(
        "sharpe", "Sharpe Ratio ({N})", "Risk", "ratio",
        lambda s: returns.sharpe(s.returns, s.periods, s.risk_free),
        "(mean(r) - rf / N) / std(r, n - 1) sqrt(N)", "Sharpe, J. Portfolio Management 21(1), 1994",
        "daily returns", MONTH, "higher", -MOST_RATIO, MOST_RATIO, of_benchmark=True, warns=_extrapolated,
    ),
    Definition(
        "sharpe_compounded", "Sharpe Ratio, compounded ({N})", "Risk", "ratio",
        lambda s: returns.compounded_sharpe(s.returns, s.periods, s.risk_free),
        "(geometric annual return - rf) / compounded volatility", "backtesting.py",
        "daily returns", MONTH, "higher", -MOST_RATIO, MOST_RATIO, of_benchmark=True, warns=_extrapolated,
    ),
    Definition(
        "sortino", "Sortino Ratio ({N})", "Risk", "ratio",
        lambda s: returns.sortino(s.returns, s.periods, s.risk_free),
        "(mean(r) N - rf) / downside deviation", "Sortino and Price, J. Investing 3(3), 1994",
        "daily returns", MONTH, "higher", -MOST_RATIO, MOST_RATIO, of_benchmark=True, warns=_extrapolated,
    ),
    Definition(
        "sortino_compounded", "Sortino Ratio, compounded ({N})", "Risk", "ratio",
        lambda s: returns.compounded_sortino(s.returns, s.periods, s.risk_free),
        "(geometric annual return - rf) / (sqrt(mean(min(r, 0)^2)) sqrt(N))", "backtesting.py",
        "daily returns", MONTH, "higher", -MOST_RATIO, 2 * MOST_RATIO, of_benchmark=True, warns=_extrapolated,
    ),
    Definition(
        "omega", "Omega Ratio (rf / N)", "Risk", "ratio",
        lambda s: returns.omega(s.returns, s.periods, s.risk_free),
        "sum(max(r - t, 0)) / sum(max(t - r, 0)), t = rf / N", "Keating and Shadwick, 2002",
        "daily returns", MONTH, "higher", 0.0, of_benchmark=True,
    ),
    Definition(
        "psr", "Probabilistic Sharpe Ratio (0)", "Risk", "share", _psr,
        "Phi(SR sqrt(n - 1) / sqrt(1 - g3 SR + (g4 - 1) / 4 SR^2)), per day, g4 raw", PRADO,
        "daily returns", MONTH, "higher", 0.0, 1.0,
    ),
    Definition(
        "dsr", "Deflated Sharpe Ratio", "Risk", "share", _dsr,
        "PSR(sqrt(V) ((1 - g) Zinv(1 - 1/K) + g Zinv(1 - 1/(K e)))), K of the family's runs, g = 0.5772, "
        "V of their SR sqrt((m - 1) / (n - 1)), m the returns of each",
        "Bailey and López de Prado, J. Portfolio Management 40(5), 2014", "daily returns", MONTH, "higher", 0.0, 1.0,
    ),
    Definition(
        "minimum_track_record", "Minimum Track Record (0, 95 %)", "Risk", "count", _minimum_track_record,
        "1 + (1 - g3 SR + (g4 - 1) / 4 SR^2) (1.645 / SR)^2 daily returns", PRADO,
        "daily returns", MONTH, "lower", 1.0,
    ),
)  # fmt: skip

DRAWDOWN: Final = (
    Definition(
        "max_drawdown", "Max. Drawdown (every sample)", "Drawdown", "share", lambda s: drawdowns.maximum(s.equity),
        "min(E / cummax(E) - 1)", "", "samples", 2, "higher", -math.inf, 0.0, of_benchmark=True,
    ),
    Definition(
        "mean_drawdown", "Mean Drawdown (every sample)", "Drawdown", "share", lambda s: drawdowns.mean_depth(s.equity),
        "mean depth of all drawdowns", "", "samples", 2, "higher", -math.inf, 0.0, of_benchmark=True,
    ),
    Definition(
        "drawdown_duration", "Max. Drawdown Duration", "Drawdown", "days",
        lambda s: drawdowns.longest_days(s.equity, s.times), "longest time from a peak until it is reached again",
        "", "samples", 2, "lower", 0.0, of_benchmark=True,
    ),
    Definition(
        "recovery", "Recovery from Max. Drawdown", "Drawdown", "days",
        lambda s: drawdowns.recovery_days(s.equity, s.times), "from the bottom of the deepest until its peak", "",
        "samples", 2, "lower", 0.0, of_benchmark=True,
    ),
    Definition(
        "time_under_water", "Time under Water", "Drawdown", "share",
        lambda s: drawdowns.time_under_water(s.daily_equity), "share of days below an earlier peak", "",
        "daily returns", 2, "lower", 0.0, 1.0, of_benchmark=True,
    ),
    Definition(
        "ulcer", "Ulcer Index (daily)", "Drawdown", "share", lambda s: drawdowns.ulcer(s.daily_equity),
        "sqrt(mean((E / cummax(E) - 1)^2))", "Martin and McCann, 1989",
        "daily returns", 2, "lower", 0.0, of_benchmark=True,
    ),
    Definition(
        "calmar", "Calmar Ratio", "Drawdown", "ratio", _over_drawdown(_cagr), "CAGR / |max. drawdown|",
        "Young, Futures 20(1), 1991 (there: of 36 months)", "days", LEAST_DAYS, "higher", -1e3, 1e3,
        of_benchmark=True, warns=_extrapolated,
    ),
    Definition(
        "calmar_annualised", "Calmar Ratio, geometric ({N})", "Drawdown", "ratio", _over_drawdown(_geometric),
        "geometric annual return / |max. drawdown|", "backtesting.py", "daily returns", MONTH, "higher", -1e3, 1e3,
        of_benchmark=True, warns=_extrapolated,
    ),
)  # fmt: skip

TAILS: Final = (
    Definition(
        "var", "Value at Risk (95 %, 1 day)", "Tails", "share", lambda s: returns.value_at_risk(s.returns),
        "5 % quantile of r, historical; a loss is negative", "", "daily returns", MONTH, "higher", of_benchmark=True,
    ),
    Definition(
        "cvar", "Expected Shortfall, CVaR (95 %, 1 day)", "Tails", "share",
        lambda s: returns.expected_shortfall(s.returns), "mean of r <= VaR; a loss is negative", "",
        "daily returns", MONTH, "higher", of_benchmark=True,
    ),
    Definition(
        "skew", "Skewness (daily)", "Tails", "ratio", lambda s: returns.skewness(s.returns), "m3 / m2^1.5", "",
        "daily returns", MONTH, "higher", of_benchmark=True,
    ),
    Definition(
        "kurtosis", "Kurtosis, raw (daily; normal 3)", "Tails", "ratio", lambda s: returns.kurtosis(s.returns),
        "m4 / m2^2", "", "daily returns", MONTH, "", 1.0, of_benchmark=True,
    ),
    Definition(
        "tail_ratio", "Tail Ratio", "Tails", "ratio", lambda s: returns.tail_ratio(s.returns),
        "|95 % quantile| / |5 % quantile| of r", "", "daily returns", MONTH, "higher", 0.0, of_benchmark=True,
    ),
)  # fmt: skip

RELATIVE: Final = (
    Definition(
        "alpha", "Alpha, annualised ({N})", "Benchmark", "share",
        lambda s: relative.alpha(*s.paired, s.periods, s.risk_free),
        "N mean(r) - rf - beta (N mean(b) - rf)", "Jensen, J. Finance 23(2), 1968",
        "days with the benchmark", MONTH, "higher", -MOST_GROWTH, MOST_GROWTH,
    ),
    Definition(
        "beta", "Beta", "Benchmark", "ratio", lambda s: relative.beta(*s.paired), "cov(r, b) / var(b)", "",
        "days with the benchmark", MONTH,
    ),
    Definition(
        "correlation", "Correlation", "Benchmark", "ratio", lambda s: relative.correlation(*s.paired),
        "cov(r, b) / (std(r) std(b))", "", "days with the benchmark", MONTH, "", -1.000001, 1.000001,
    ),
    Definition(
        "tracking_error", "Tracking Error ({N})", "Benchmark", "share",
        lambda s: relative.tracking_error(*s.paired, s.periods), "std(r - b, n - 1) sqrt(N)", "",
        "days with the benchmark", MONTH, "", 0.0, 100.0,
    ),
    Definition(
        "information_ratio", "Information Ratio ({N})", "Benchmark", "ratio",
        lambda s: relative.information_ratio(*s.paired, s.periods), "mean(r - b) / std(r - b, n - 1) sqrt(N)",
        "Goodwin, Financial Analysts J. 54(4), 1998", "days with the benchmark", MONTH, "higher",
        -MOST_RATIO, MOST_RATIO,
    ),
    Definition(
        "up_capture", "Up Capture", "Benchmark", "ratio", lambda s: relative.capture(*s.paired, up=True),
        "geometric mean of r over that of b, on days with b > 0", "Morningstar", "days with the benchmark", MONTH,
        "higher", -1e3, 1e3,
    ),
    Definition(
        "down_capture", "Down Capture", "Benchmark", "ratio", lambda s: relative.capture(*s.paired, up=False),
        "geometric mean of r over that of b, on days with b < 0", "Morningstar", "days with the benchmark", MONTH,
        "lower", -1e3, 1e3,
    ),
)  # fmt: skip
