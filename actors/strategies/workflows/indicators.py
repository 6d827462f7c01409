"""The indicators that a workflow may draw: their codes, parameters, inputs and outputs, and how far back they look.

Those of the runtime's one indicator core are computed bar by bar and exactly, from as early as there are bars. Those
that it lacks come from TA-Lib, over a window of a fixed length: so long that what lies before it changes the ninth
digit at most (cumulative ones, such as TA-Lib's AD, are left out, since their level means nothing).
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from actors.market.indicators import INDICATORS, make
from actors.strategies.workflows.fields import Field, Value, choice, integer, number

Engine = Literal["core", "talib"]
Memory = Literal["window", "ema", "nested", "wilder", "double_wilder", "adaptive", "hilbert", "path", "session"]

SOURCES: Final = ("open", "high", "low", "close", "volume", "hl2", "hlc3", "ohlc4")
SOURCE: Final = choice("source", "close", SOURCES, "what of a bar a single series is made of", "price", "input")
MOST_PERIOD: Final = 2000


class IndicatorKind(msgspec.Struct, frozen=True, kw_only=True):
    """One indicator. `arguments`: (field, argument) pairs of the core's class or TA-Lib's function.

    `inputs` are columns of bars; an indicator of one column (`series`) takes a number of another node as well.
    """

    code: str
    title: str
    category: str
    engine: Engine
    function: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...] = ("value",)
    fields: tuple[Field, ...] = ()
    arguments: tuple[tuple[str, str], ...] = ()
    aliases: tuple[str, ...] = ()
    memory: Memory = "window"
    reach: int = 1
    """TA-Lib's: how many times the sum of its periods it takes until the first value, at most."""

    @property
    def series(self) -> bool:
        """Whether it is made of one series of numbers."""
        return len(self.inputs) == 1

    def all_fields(self) -> tuple[Field, ...]:
        """The fields, with the source of a single series."""
        return (*self.fields, SOURCE) if self.inputs == ("close",) else self.fields

    def values(self, given: dict[str, Value]) -> dict[str, Value]:
        """The arguments of the class or function for these values of the fields."""
        return {argument: given[name] for name, argument in self.arguments}

    def warm_up(self, given: dict[str, Value]) -> int:
        """Bars until the first value, that bar included. Raises ValueError for values that do not go together."""
        if self.engine == "core":
            return make(self.function, **self.values(given)).warm_up
        # TA-Lib's Hilbert transforms begin at bar 64 at the latest.
        return (65 if self.memory == "hilbert" else 2) + self.reach * sum(self._periods(given))

    def remembers(self, given: dict[str, Value]) -> int:
        """Bars beyond its warm-up that change its value, to nine digits."""
        longest = max(self._periods(given), default=1)
        match self.memory:
            case "window":
                return 0
            case "ema":  # (1 - 2 / (n + 1)) ** k = 1e-9
                return 11 * (longest + 1)
            case "nested":
                return 16 * (longest + 1)
            case "wilder":  # (1 - 1 / n) ** k = 1e-9
                return 24 * longest
            case "double_wilder":
                return 30 * longest
            case "adaptive":  # its slowest factor is (2 / (n + 1)) ** 2
                return 11 * (longest + 1) ** 2 // 2
            case "hilbert":
                return 500
            case "path":
                return 300
            case "session":
                return 1440
            case _:
                raise AssertionError(self.memory)

    def window(self, given: dict[str, Value]) -> int:
        """The bars that TA-Lib is given, at most."""
        return min(self.warm_up(given) + self.remembers(given), 5000)

    def _periods(self, given: dict[str, Value]) -> list[int]:
        return [int(given[each.name]) for each in self.fields if each.kind == "int" and each.name in given]


def period(default: int, least: int = 1, description: str = "bars") -> Field:
    """The usual first parameter."""
    return integer("period", default, least, MOST_PERIOD, description, "timeperiod", "length", "window", "time_period")


def _span(name: str, default: int, least: int, description: str, *aliases: str) -> Field:
    return integer(name, default, least, MOST_PERIOD, description, *aliases)


FAST: Final = ("fastPeriod", "fast_period", "fastperiod", "fast_length")
SLOW: Final = ("slowPeriod", "slow_period", "slowperiod", "slow_length")
SIGNAL: Final = ("signalPeriod", "signal_period", "signalperiod", "signal_length", "smoothing")
WIDTH: Final = ("stdDev", "std_dev", "deviations", "nbdev", "std", "nbdevup")


def _core(
    code: str,
    title: str,
    category: str,
    *fields: Field,
    aliases: tuple[str, ...] = (),
    memory: Memory = "window",
    arguments: tuple[tuple[str, str], ...] | None = None,
    outputs: tuple[str, ...] | None = None,
) -> IndicatorKind:
    kind = INDICATORS[code]
    return IndicatorKind(
        code=code,
        title=title,
        category=category,
        engine="core",
        function=code,
        inputs=kind.INPUTS,
        outputs=outputs or kind.OUTPUTS,
        fields=fields,
        arguments=arguments or tuple((each.name, each.name) for each in fields),
        aliases=aliases,
        memory=memory,
    )


CORE: Final = (
    _core("sma", "Simple moving average", "trend", period(20), aliases=("ma", "simple_moving_average")),
    _core("ema", "Exponential moving average", "trend", period(20), memory="ema"),
    _core("wma", "Weighted moving average", "trend", period(20)),
    _core("dema", "Double exponential moving average", "trend", period(20), memory="nested"),
    _core("tema", "Triple exponential moving average", "trend", period(20), memory="nested"),
    _core(
        "kama", "Kaufman's adaptive moving average", "trend", period(30, 2),
        _span("fast", 2, 1, "the fastest average", *FAST), _span("slow", 30, 1, "the slowest average", *SLOW),
        memory="adaptive",
    ),
    _core(
        "macd", "Moving average convergence divergence", "trend",
        _span("fast", 12, 2, "bars of the fast average", *FAST), _span("slow", 26, 2, "bars of the slow one", *SLOW),
        _span("signal", 9, 1, "bars of the signal line", *SIGNAL), memory="nested",
    ),
    _core("trix", "Triple exponential rate of change", "momentum", period(30), memory="nested"),
    _core("stddev", "Standard deviation (population)", "volatility", period(20, 2), aliases=("std", "stdev")),
    _core(
        "bollinger", "Bollinger bands", "volatility", period(20, 2),
        number("multiplier", 2.0, 0, 100, "standard deviations to each side", *WIDTH),
        arguments=(("period", "period"), ("multiplier", "up"), ("multiplier", "down")),
        aliases=("bb", "bbands", "bollinger_bands", "bollingerbands"),
    ),
    _core("zscore", "Z-score", "statistics", period(20, 2), aliases=("z_score",)),
    _core("returns", "Return since some bars ago, as a fraction", "momentum", period(1)),
    _core("volatility", "Standard deviation of log returns", "volatility", period(20, 2), aliases=("hv",)),
    _core("rsi", "Relative strength index", "momentum", period(14, 2), memory="wilder"),
    _core(
        "stoch", "Stochastic oscillator", "momentum",
        _span("k", 14, 1, "bars of the range", "period", "kPeriod", "k_period", "fastk_period", "length"),
        _span("slow_k", 3, 1, "mean of %K", "slowPeriod", "slowk_period", "smooth", "smoothK", "slowing"),
        _span("d", 3, 1, "mean of that", "smoothingPeriod", "dPeriod", "d_period", "slowd_period", "smoothD"),
        aliases=("stochastic", "stochastic_oscillator", "slow_stochastic"),
    ),
    _core(
        "stoch_fast", "Fast stochastic", "momentum",
        _span("k", 14, 1, "bars of the range", "period", "kPeriod", "k_period", "fastk_period"),
        _span("d", 3, 1, "mean of %K", "dPeriod", "d_period", "fastd_period", "smoothingPeriod"),
        aliases=("stochf", "fast_stochastic"),
    ),
    _core(
        "stoch_rsi", "Stochastic of the RSI", "momentum", period(14, 2),
        _span("k", 5, 1, "bars of the range", "kPeriod", "k_period", "fastk_period", "stochPeriod"),
        _span("d", 3, 1, "mean of %K", "dPeriod", "d_period", "fastd_period", "smoothingPeriod"),
        aliases=("stochrsi", "stochastic_rsi"), memory="wilder",
    ),
    _core("cci", "Commodity channel index", "momentum", period(14, 2)),
    _core("williams_r", "Williams %R", "momentum", period(14, 2), aliases=("willr", "williamsr", "williams", "%r")),
    _core("mom", "Momentum", "momentum", period(10), aliases=("momentum",)),
    _core("roc", "Rate of change in percent", "momentum", period(10), aliases=("rate_of_change",)),
    _core("aroon", "Aroon", "trend", period(14, 2)),
    _core("true_range", "True range", "volatility", aliases=("trange", "tr")),
    _core("atr", "Average true range", "volatility", period(14), memory="wilder", aliases=("average_true_range",)),
    _core("natr", "Average true range in percent of the close", "volatility", period(14), memory="wilder"),
    _core("di", "Directional indicators +DI and -DI", "trend", period(14, 2), memory="wilder", aliases=("dmi",)),
    _core("adx", "Average directional index", "trend", period(14, 2), memory="double_wilder"),
    _core("donchian", "Donchian channel", "volatility", period(20), aliases=("donchian_channel", "dc")),
    _core(
        "keltner", "Keltner channel", "volatility", period(20),
        _span("atr_period", 10, 1, "bars of the average true range", "atrPeriod", "atrperiod"),
        number("multiple", 2.0, 0, 100, "average true ranges to each side", "multiplier", "nbdev"),
        memory="wilder", aliases=("kc", "keltner_channel", "keltner_channels"),
    ),
    _core(
        "ichimoku", "Ichimoku", "trend",
        _span("conversion", 9, 1, "bars of the conversion line", "tenkan", "conversionPeriod"),
        _span("base", 26, 1, "bars of the base line", "kijun", "basePeriod"),
        _span("span", 52, 1, "bars of span B", "senkou", "spanPeriod", "laggingSpanPeriod"),
        _span("displacement", 26, 1, "bars that the cloud is moved ahead", "shift"),
        aliases=("ichimoku_cloud",),
    ),
    _core(
        "sar", "Parabolic stop and reverse", "trend",
        number("step", 0.02, 0, 1, "acceleration, and what it grows by", "acceleration", "start", "increment"),
        number("most", 0.2, 0, 1, "the most acceleration", "maximum", "max"),
        memory="path", aliases=("psar", "parabolic_sar"),
    ),
    _core("obv", "On-balance volume", "volume", aliases=("on_balance_volume",)),
    _core("mfi", "Money flow index", "volume", period(14, 2), aliases=("money_flow_index",)),
    _core("vwap", "Volume-weighted average price of some bars", "volume", period(20), aliases=("rolling_vwap",)),
    _core("session_vwap", "Volume-weighted average price since midnight UTC", "volume", memory="session"),
)  # fmt: skip


def _talib(
    code: str,
    title: str,
    category: str,
    inputs: tuple[str, ...],
    *fields: tuple[Field, str],
    outputs: tuple[str, ...] = ("value",),
    aliases: tuple[str, ...] = (),
    memory: Memory = "window",
    function: str = "",
    reach: int = 1,
) -> IndicatorKind:
    return IndicatorKind(
        code=code,
        title=title,
        category=category,
        engine="talib",
        function=function or code.upper(),
        inputs=inputs,
        outputs=outputs,
        fields=tuple(field for field, _ in fields),
        arguments=tuple((field.name, argument) for field, argument in fields),
        aliases=aliases,
        memory=memory,
        reach=reach,
    )


def _time(default: int, least: int = 2) -> tuple[Field, str]:
    return period(default, least), "timeperiod"


CLOSE: Final = ("close",)
HL: Final = ("high", "low")
HLC: Final = ("high", "low", "close")
HLCV: Final = ("high", "low", "close", "volume")
OHLC: Final = ("open", "high", "low", "close")
OC: Final = ("open", "close")
_FAST: Final = (_span("fast", 12, 2, "bars of the fast average", *FAST), "fastperiod")
_SLOW: Final = (_span("slow", 26, 2, "bars of the slow average", *SLOW), "slowperiod")

TALIB: Final = (
    _talib("trima", "Triangular moving average", "trend", CLOSE, _time(30)),
    _talib(
        "t3", "Tillson's T3 moving average", "trend", CLOSE, _time(5),
        (number("factor", 0.7, 0, 1, "volume factor", "vfactor"), "vfactor"), memory="nested", reach=6,
    ),
    _talib("hma", "Hull moving average", "trend", CLOSE, _time(20), reach=2, aliases=("hull",)),
    _talib("vwma", "Volume-weighted moving average", "volume", ("close", "volume"), _time(20, 1)),
    _talib("rma", "Wilder's moving average", "trend", CLOSE, _time(14, 1), memory="wilder", aliases=("smma", "wilder")),
    _talib("zlema", "Zero-lag exponential moving average", "trend", CLOSE, _time(30), memory="nested", reach=2),
    _talib("midpoint", "Middle of a series' range", "trend", CLOSE, _time(14)),
    _talib("midprice", "Middle of the bars' range", "trend", HL, _time(14)),
    _talib("linreg", "Linear regression", "statistics", CLOSE, _time(14), function="LINEARREG"),
    _talib(
        "linreg_slope", "Slope of the linear regression", "statistics", CLOSE, _time(14), function="LINEARREG_SLOPE",
    ),
    _talib(
        "linreg_angle", "Angle of the linear regression", "statistics", CLOSE, _time(14), function="LINEARREG_ANGLE",
    ),
    _talib(
        "linreg_intercept", "Intercept of the linear regression", "statistics", CLOSE, _time(14),
        function="LINEARREG_INTERCEPT",
    ),
    _talib("tsf", "Time series forecast", "statistics", CLOSE, _time(14)),
    _talib("variance", "Variance (population)", "statistics", CLOSE, _time(20, 1), function="VAR", aliases=("var",)),
    _talib("avgdev", "Mean absolute deviation", "statistics", CLOSE, _time(14), aliases=("mad",)),
    _talib("percent_rank", "Percent rank", "statistics", CLOSE, _time(100), function="PERCENTRANK"),
    _talib("highest", "Highest of some bars", "statistics", CLOSE, _time(20), function="MAX", aliases=("max",)),
    _talib("lowest", "Lowest of some bars", "statistics", CLOSE, _time(20), function="MIN", aliases=("min",)),
    _talib("sum", "Sum of some bars", "statistics", CLOSE, _time(20)),
    _talib("rocr", "Ratio to some bars ago", "momentum", CLOSE, _time(10, 1)),
    _talib("cmo", "Chande's momentum oscillator", "momentum", CLOSE, _time(14), memory="wilder"),
    _talib("apo", "Absolute price oscillator", "momentum", CLOSE, _FAST, _SLOW, memory="ema"),
    _talib("ppo", "Percentage price oscillator", "momentum", CLOSE, _FAST, _SLOW, memory="ema"),
    _talib(
        "tsi", "True strength index", "momentum", CLOSE,
        (_span("first", 25, 1, "bars of the first smoothing", "firstPeriod", "long", "period"), "firstperiod"),
        (_span("second", 13, 1, "bars of the second", "secondPeriod", "short"), "secondperiod"), memory="nested",
    ),
    _talib(
        "ultosc", "Ultimate oscillator", "momentum", HLC,
        (_span("short", 7, 1, "bars of the shortest mean", "period1", "timeperiod1"), "timeperiod1"),
        (_span("middle", 14, 1, "bars of the middle one", "period2", "timeperiod2"), "timeperiod2"),
        (_span("long", 28, 1, "bars of the longest", "period3", "timeperiod3"), "timeperiod3"),
        aliases=("uo", "ultimate_oscillator"),
    ),
    _talib("bop", "Balance of power", "momentum", OHLC, aliases=("balance_of_power",)),
    _talib("imi", "Intraday momentum index", "momentum", OC, _time(14)),
    _talib(
        "coppock", "Coppock curve", "momentum", CLOSE,
        (_span("smoothing", 10, 1, "bars of the mean", "wmaPeriod", "period"), "wmaperiod"),
        (_span("first", 11, 1, "bars of the first change", "roc1Period"), "roc1period"),
        (_span("second", 14, 1, "bars of the second change", "roc2Period"), "roc2period"),
    ),
    _talib("dpo", "Detrended price oscillator", "momentum", CLOSE, _time(20), reach=2),
    _talib(
        "ao", "Awesome oscillator", "momentum", HL,
        (_span("fast", 5, 2, "bars of the fast mean", *FAST), "fastperiod"),
        (_span("slow", 34, 2, "bars of the slow mean", *SLOW), "slowperiod"), aliases=("awesome_oscillator",),
    ),
    _talib(
        "kdj", "KDJ", "momentum", HLC,
        (_span("k", 9, 1, "bars of the range", "period", "fastk_period"), "fastk_period"),
        (_span("slow_k", 3, 1, "bars that %K is smoothed over", "slowk_period"), "slowk_period"),
        (_span("d", 3, 1, "bars that %D is smoothed over", "slowd_period"), "slowd_period"),
        outputs=("k", "d", "j"), memory="wilder",
    ),
    _talib(
        "smi", "Stochastic momentum index", "momentum", HLC, _time(13),
        (_span("fast", 2, 1, "bars of the fast smoothing", *FAST), "fastperiod"),
        (_span("slow", 25, 1, "bars of the slow one", *SLOW), "slowperiod"),
        (_span("signal", 9, 1, "bars of the signal line", *SIGNAL), "signalperiod"),
        outputs=("smi", "signal"), memory="nested",
    ),
    _talib("efficiency_ratio", "Kaufman's efficiency ratio", "trend", CLOSE, _time(10), function="ER", aliases=("er",)),
    _talib("vhf", "Vertical horizontal filter", "trend", CLOSE, _time(28)),
    _talib("dx", "Directional movement index", "trend", HLC, _time(14), memory="wilder"),
    _talib("adxr", "Average directional index rating", "trend", HLC, _time(14), memory="double_wilder", reach=3),
    _talib("plus_dm", "Upward directional movement", "trend", HL, _time(14), memory="wilder"),
    _talib("minus_dm", "Downward directional movement", "trend", HL, _time(14), memory="wilder"),
    _talib("aroon_osc", "Aroon oscillator", "trend", HL, _time(14), function="AROONOSC", aliases=("aroonosc",)),
    _talib("vortex", "Vortex", "trend", HLC, _time(14), outputs=("plus", "minus"), aliases=("vi",)),
    _talib(
        "supertrend", "Supertrend", "trend", HLC, _time(10),
        (number("multiplier", 3.0, 0.01, 100, "average true ranges to each side", "multiple", "factor"), "multiplier"),
        outputs=("value", "trend"), memory="double_wilder",
    ),
    _talib(
        "mama", "MESA adaptive moving average", "trend", CLOSE,
        (number("fast_limit", 0.5, 0.01, 0.99, "upper limit", "fastlimit", "fastLimit"), "fastlimit"),
        (number("slow_limit", 0.05, 0.01, 0.99, "lower limit", "slowlimit", "slowLimit"), "slowlimit"),
        outputs=("mama", "fama"), memory="hilbert",
    ),
    _talib("ht_trendline", "Hilbert transform: instantaneous trendline", "cycle", CLOSE, memory="hilbert"),
    _talib("ht_dcperiod", "Hilbert transform: dominant cycle's period", "cycle", CLOSE, memory="hilbert"),
    _talib("ht_dcphase", "Hilbert transform: dominant cycle's phase", "cycle", CLOSE, memory="hilbert"),
    _talib("ht_sine", "Hilbert transform: sine wave", "cycle", CLOSE, outputs=("sine", "lead"), memory="hilbert"),
    _talib("ht_trendmode", "Hilbert transform: 1 in a trend, 0 in a cycle", "cycle", CLOSE, memory="hilbert"),
    _talib("accbands", "Acceleration bands", "volatility", HLC, _time(20), outputs=("upper", "middle", "lower")),
    _talib(
        "mass_index", "Mass index", "volatility", HL,
        (_span("fast", 9, 2, "bars of the averages", *FAST), "fastperiod"),
        (_span("slow", 25, 2, "bars of the sum", *SLOW, "period"), "slowperiod"),
        function="MASSI", memory="nested", reach=2,
    ),
    _talib("adr", "Average daily range: mean of high less low", "volatility", HL, _time(14)),
    _talib(
        "adosc", "Chaikin's accumulation and distribution oscillator", "volume", HLCV,
        (_span("fast", 3, 2, "bars of the fast average", *FAST), "fastperiod"),
        (_span("slow", 10, 2, "bars of the slow average", *SLOW), "slowperiod"),
        memory="nested", aliases=("chaikin_oscillator", "chaikin"),
    ),
    _talib("cmf", "Chaikin's money flow", "volume", HLCV, _time(20), aliases=("chaikin_money_flow",)),
    _talib(
        "efi", "Elder's force index", "volume", ("close", "volume"), _time(13), memory="nested",
        aliases=("force_index",),
    ),
    _talib("rvol", "Volume relative to its mean", "volume", ("volume",), _time(20, 1), aliases=("relative_volume",)),
    _talib("avgprice", "Average price: mean of open, high, low, close", "price", OHLC, aliases=("ohlc4",)),
    _talib("medprice", "Median price: middle of high and low", "price", HL, aliases=("hl2",)),
    _talib("typprice", "Typical price: mean of high, low, close", "price", HLC, aliases=("hlc3",)),
    _talib("wclprice", "Weighted close price", "price", HLC, aliases=("hlcc4",)),
)  # fmt: skip

KINDS: Final = {each.code: each for each in (*CORE, *TALIB)}
"""All indicators by code."""

_NAMES: Final = {name: code for code, each in KINDS.items() for name in each.aliases} | {code: code for code in KINDS}


def find_indicator(name: str) -> IndicatorKind | None:
    """The indicator with this code or another name of it, in any case."""
    return KINDS.get(_NAMES.get(name.strip().lower().replace("-", "_").replace(" ", "_"), ""))
