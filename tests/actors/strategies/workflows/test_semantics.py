"""What a compiled workflow does, bar by bar, against whole arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import talib

from actors.strategies.sandbox.wire import BarInput
from actors.strategies.sdk import Bar
from actors.strategies.workflows.blocks import Indicator
from actors.strategies.workflows.indicators import KINDS, SOURCE
from actors.strategies.workflows.operators import OPERATORS
from actors.strategies.workflows.operators.pattern import NAMES
from tests.actors.strategies.workflows import reference
from tests.actors.strategies.workflows.drawing import action, condition, drawn, indicator, source
from tests.actors.strategies.workflows.running import COLUMNS, Columns, bars, built, places, prices

COUNT = 400
PRICES = prices(7, COUNT)
INPUTS = bars(PRICES)
LOW, HIGH = (float(each) for each in np.percentile(PRICES["close"], [35, 65]))
GIVEN: dict[str, dict[str, Any]] = {
    "equal": {"tolerance": 0.4},
    "not_equal": {"tolerance": 0.4},
    "between": {"lower": LOW, "upper": HIGH},
    "outside": {"lower": LOW, "upper": HIGH},
    "enters_range": {"lower": LOW, "upper": HIGH},
    "leaves_range": {"lower": LOW, "upper": HIGH},
    "positive": {"source": "close"},
    "zscore_below": {"deviations": -1.5},
    "slope_above": {"slope": 0.1},
    "slope_below": {"slope": -0.1},
    "volatility_above": {"percent": 1.0},
    "volatility_below": {"percent": 1.0},
    "atr_above": {"percent": 1.6},
    "atr_below": {"percent": 1.6},
    "range_expansion": {"factor": 1.5},
    "bandwidth_above": {"percent": 9.0},
    "bandwidth_below": {"percent": 9.0},
    "squeeze": {"period": 10},
    "squeeze_release": {"period": 10},
    "volume_above": {"volume": 60},
    "volume_below": {"volume": 60},
    "volume_spike": {"factor": 1.5},
    "volume_zscore_above": {"deviations": 1.2},
    "strong_trend": {"strength": 22},
    "weak_trend": {"strength": 22},
}


def settled(code: str) -> dict[str, Any]:
    """The parameters of an operator: those above, and the defaults."""
    return {each.name: each.default for each in OPERATORS[code].FIELDS} | GIVEN.get(code, {})


def fired(nodes: list[dict[str, Any]], *edges: str) -> list[int]:
    drawing = drawn([source(), *nodes, action(repeat="every_bar")], *edges)
    return places(built(drawing), INPUTS)


def agree(found: list[int], verdict: np.ndarray[Any, Any], *, both: bool = True) -> None:
    assert found == reference.fires(verdict, every_bar=True)
    if both:
        assert 0 < len(found) < COUNT, "the condition says nothing over these prices"


@pytest.mark.parametrize("code", sorted(reference.BARS))
def test_a_condition_on_bars_says_what_arrays_say(code: str) -> None:
    found = fired([condition("c", code, **GIVEN.get(code, {}))], "prices>c", "c>buy")
    agree(found, reference.BARS[code](PRICES, settled(code)), both=code not in ("gap_up", "gap_down"))


@pytest.mark.parametrize("code", sorted(reference.SERIES))
def test_a_condition_on_a_value_says_what_arrays_say(code: str) -> None:
    found = fired([condition("c", code, **GIVEN.get(code, {}))], "prices.close>c", "c>buy")
    agree(found, reference.SERIES[code](PRICES["close"], settled(code)), both=code not in ("positive", "negative"))


@pytest.mark.parametrize("code", sorted(code for code in reference.PAIRS if not code.startswith("timeframe")))
@pytest.mark.parametrize("confirm", [1, 2])
def test_a_condition_on_two_values_says_what_arrays_say(code: str, confirm: int) -> None:
    nodes = [indicator("fast", "EMA", period=5), indicator("slow", "SMA", period=20)]
    given = GIVEN.get(code, {}) | {"confirmationBars": confirm}
    edges = ("prices>fast", "prices>slow", "fast.value-output>c.data-input", "slow.value-output>c.value-input", "c>buy")
    found = fired([*nodes, condition("c", code, **given)], *edges)
    pair = [talib.EMA(PRICES["close"], 5), talib.SMA(PRICES["close"], 20)]
    verdict = reference.from_first(lambda a, b: reference.PAIRS[code](a, b, settled(code)), pair)
    if code in ("cross_above", "cross_below") and confirm > 1:
        assert not found, "a crossing does not hold for two bars"
    else:
        agree(found, reference.confirmed(verdict, confirm), both=confirm == 1)


@pytest.mark.parametrize("code", sorted(reference.LEVELS))
def test_a_condition_on_bars_and_a_level_says_what_arrays_say(code: str) -> None:
    nodes = [indicator("mean", "SMA", period=10), condition("c", code)]
    found = fired(nodes, "prices>mean", "prices>c", "mean>c.reference", "c>buy")
    mean = talib.SMA(PRICES["close"], 10)
    first = 9
    verdict = np.full(COUNT, np.nan)
    verdict[first:] = reference.LEVELS[code]({name: PRICES[name][first:] for name in COLUMNS}, mean[first:])
    agree(found, verdict)


@pytest.mark.parametrize("code", sorted(NAMES))
@pytest.mark.parametrize("direction", ["any", "bullish", "bearish"])
def test_a_candlestick_pattern_is_that_of_ta_lib(code: str, direction: str) -> None:
    found = fired([condition("c", code, direction=direction)], "prices>c", "c>buy")
    agree(found, reference.pattern(code, PRICES, direction), both=False)


def test_every_operator_has_a_reference() -> None:
    known = {*reference.BARS, *reference.SERIES, *reference.PAIRS, *reference.LEVELS, *reference.MANY, *NAMES}
    assert set(OPERATORS) == known
    assert len(OPERATORS) >= 100


def expected(code: str, columns: Columns) -> list[np.ndarray[Any, Any]]:
    """The outputs of an indicator with its defaults, over the whole array."""
    kind = KINDS[code]
    values = kind.values({each.name: each.default for each in kind.fields if each.default is not None})
    if kind.engine == "core":
        sessions = {"session": np.floor(np.arange(len(columns["close"])) / 24)}
        return list(reference.core(code, {**columns, **sessions}, **values).values())
    found = getattr(talib, kind.function)(*(columns[name] for name in kind.inputs), **values)
    outputs = [np.asarray(each, dtype=float) for each in (found if isinstance(found, tuple | list) else [found])]
    if code == "ht_trendmode":
        outputs[0][:64] = np.nan  # TA-Lib says 0 there
    missing = np.any(np.isnan(outputs), axis=0)
    return [np.where(missing, np.nan, each) for each in outputs]


@pytest.mark.parametrize("code", sorted(KINDS))
def test_an_indicators_outputs_are_those_of_the_whole_array(code: str) -> None:
    kind = KINDS[code]
    outputs = expected(code, PRICES)
    assert len(outputs) == len(kind.outputs)
    for output, values in zip(kind.outputs, outputs, strict=True):
        known = values[~np.isnan(values)]
        limit = float(np.median(known)) + 1e-7
        nodes = [indicator("i", code), condition("c", "greater_than", value=limit)]
        found = fired(nodes, "prices>i", f"i.{output}>c", "c>buy")
        agree(found, reference.truth(values > limit, values), both=False)


def test_there_are_about_seventy_indicators_or_more() -> None:
    assert len(KINDS) >= 70


@pytest.mark.parametrize("price", SOURCE.choices)
def test_an_indicator_takes_the_figure_of_a_bar_that_its_source_names(price: str) -> None:
    start, high, low, close = (PRICES[name] for name in ("open", "high", "low", "close"))
    made = {"hl2": (high + low) / 2, "hlc3": (high + low + close) / 3, "ohlc4": (start + high + low + close) / 4}
    mean = talib.SMA({**PRICES, **made}[price], 10)
    limit = float(np.nanmedian(mean)) + 1e-7
    nodes = [indicator("i", "SMA", period=10, source=price), condition("c", "greater_than", value=limit)]
    agree(fired(nodes, "prices>i", "i>c", "c>buy"), reference.truth(mean > limit, mean))


def test_an_indicator_may_be_fed_with_another() -> None:
    nodes = [indicator("rsi", "RSI"), indicator("mean", "SMA", period=5), condition("c", "greater_than")]
    found = fired(nodes, "prices>rsi", "rsi>mean", "rsi>c.data-input", "mean>c.value-input", "c>buy")
    rsi = talib.RSI(PRICES["close"], 14)
    mean = talib.SMA(rsi, 5)
    agree(found, reference.truth(rsi > mean, mean))


LONG = bars(prices(21, 6000))


@pytest.mark.parametrize("code", sorted(set(KINDS) - {"obv", "session_vwap"}))
def test_as_many_bars_as_an_indicator_remembers_give_its_value_to_nine_digits(code: str) -> None:
    kind = KINDS[code]
    values: dict[str, Any] = {each.name: each.default for each in kind.fields if each.default is not None}
    bars_needed = kind.warm_up(values) + kind.remembers(values)
    assert bars_needed < 5600
    whole, late = (Indicator(code, **values) for _ in range(2))
    inputs = [sdk_bar(each) for each in LONG[-bars_needed - 320 :]]
    everything = [whole.update(each) for each in inputs]
    begin = len(inputs) - bars_needed - 20
    found = [late.update(each) for each in inputs[begin:]]
    for one, other in zip(found[-20:], everything[-20:], strict=True):
        assert one == pytest.approx(other, rel=1e-9, abs=1e-9)


def sdk_bar(given: BarInput) -> Bar:
    figures = (given.open, given.high, given.low, given.close, given.volume)
    return Bar(given.symbol, given.timeframe, given.start, *figures, given.trades, given.vwap, given.end)
