"""Several data sources, bars from before the start, gaps, and parameters that change."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import numpy as np
import pytest
import talib
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.strategies.sandbox.inside.contract import Contract
from actors.strategies.sandbox.wire import BarInput, GapInput
from actors.strategies.sdk.parameters import ParametersError
from actors.strategies.workflows.compiler import compile_workflow
from actors.strategies.workflows.model import read_workflow
from actors.strategies.workflows.templates import TEMPLATES
from tests.actors.strategies.workflows import reference
from tests.actors.strategies.workflows.drawing import Drawn, action, condition, drawn, indicator, logic, source
from tests.actors.strategies.workflows.reference import Floats, fires, truth
from tests.actors.strategies.workflows.running import HOUR_NS, Columns, bars, built, places, prices, run

MINUTE_NS = 60_000_000_000
FAST, SLOW = ("A", "5m"), ("A", "1h")
CROSSING = drawn(
    [
        source(),
        indicator("fast", "EMA", period=4),
        indicator("slow", "EMA", period=9),
        condition("c", "cross_above"),
        action(),
    ],
    "prices>fast",
    "prices>slow",
    "fast>c.data",
    "slow>c.reference",
    "c>buy",
)


def two_timeframes() -> Drawn:
    return drawn(
        [
            source("quick", timeframe="5m"),
            source("calm", timeframe="1h"),
            indicator("rsi", "RSI", period=5),
            condition("low", "less_than", value=50),
            condition("trend", "rising", bars=2, confirmationBars=2),
            logic("both", "AND"),
            action(repeat="every_bar"),
        ],
        "quick>rsi",
        "rsi>low",
        "calm.close>trend",
        "low>both",
        "trend>both",
        "both>buy",
    )


def sampled(slow: Floats, slow_end: Any, begin: Any) -> Floats:
    """The slow values as they are known when each fast bar begins."""
    place = np.searchsorted(slow_end, begin, side="right") - 1
    return np.where(place < 0, np.nan, slow[place])


def in_order(inputs: list[BarInput], seed: int) -> list[BarInput]:
    """By their end; bars of one end in any order."""
    chance = random.Random(seed)
    return sorted(inputs, key=lambda each: (each.end, chance.random()))


@given(st.integers(0, 1000), st.integers(0, 11))
@settings(max_examples=25, deadline=None)
def test_a_slow_condition_counts_from_the_first_fast_bar_that_begins_after_it(seed: int, offset: int) -> None:
    fast, slow = prices(seed, 240), prices(seed + 1, 20)
    # The fast bars begin somewhere inside a slow one.
    fast_bars = bars(fast, "A", "5m", 5 * MINUTE_NS, begin=offset * 5 * MINUTE_NS)
    slow_bars = bars(slow, "A", "1h", HOUR_NS)
    low = truth(talib.RSI(fast["close"], 5) < 50, talib.RSI(fast["close"], 5))
    trend = reference.confirmed(reference.steps(slow["close"], 2, 1), 2)
    known = sampled(trend, np.array([each.end for each in slow_bars]), np.array([each.start for each in fast_bars]))
    wanted = [fast_bars[place].end for place in fires(truth((low > 0) & (known > 0), low, known), every_bar=True)]
    inputs = in_order([*fast_bars, *slow_bars], seed)
    found = run(built(two_timeframes(), (FAST, SLOW)), inputs)
    assert [inputs[place].end for place, _ in found] == wanted


def test_a_value_of_one_timeframe_is_compared_with_that_of_another() -> None:
    drawing = drawn(
        [
            source("quick", timeframe="5m"),
            source("calm", timeframe="1h"),
            indicator("mean", "SMA", period=3),
            condition("c", "timeframe_cross_above"),
            condition("level", "touches"),
            logic("any", "OR"),
            action(repeat="every_bar"),
        ],
        "calm>mean",
        "quick>c.data",
        "mean>c.reference",
        "quick>level",
        "mean>level.reference",
        "c>any",
        "level>any",
        "any>buy",
    )
    fast, slow = prices(1, 240), prices(2, 20)
    fast_bars, slow_bars = bars(fast, "A", "5m", 5 * MINUTE_NS), bars(slow, "A", "1h", HOUR_NS)
    mean = talib.SMA(slow["close"], 3)
    known = sampled(mean, np.array([each.end for each in slow_bars]), np.array([each.start for each in fast_bars]))
    first = int(np.argmax(~np.isnan(known)))
    crossed = np.full(240, np.nan)
    crossed[first:] = reference.up(fast["close"][first:], known[first:])
    touched = truth((fast["low"] <= known) & (known <= fast["high"]), known)
    inputs = in_order([*fast_bars, *slow_bars], 5)
    found = [inputs[place].end for place, _ in run(built(drawing, (FAST, SLOW)), inputs)]
    verdict = truth((crossed > 0) | (touched > 0), crossed, touched)
    assert found == [fast_bars[place].end for place in fires(verdict, every_bar=True)]
    assert found


@pytest.mark.parametrize("code", sorted(reference.MANY))
def test_a_condition_on_several_timeframes_says_what_arrays_say(code: str) -> None:
    drawing = drawn(
        [
            source("quick", timeframe="5m"),
            source("calm", timeframe="1h"),
            indicator("a", "ROC", period=2),
            indicator("b", "ROC", period=1),
            condition("c", code),
            action(repeat="every_bar"),
        ],
        "quick>a",
        "calm>b",
        "a>c",
        "b>c",
        "c>buy",
    )
    fast, slow = prices(3, 240), prices(4, 20)
    fast_bars, slow_bars = bars(fast, "A", "5m", 5 * MINUTE_NS), bars(slow, "A", "1h", HOUR_NS)
    begins = np.array([each.start for each in fast_bars])
    values = [
        talib.ROC(fast["close"], 2),
        sampled(talib.ROC(slow["close"], 1), np.array([each.end for each in slow_bars]), begins),
    ]
    first = int(np.argmax(~np.isnan(values).any(axis=0)))
    verdict = np.full(240, np.nan)
    verdict[first:] = reference.MANY[code]([each[first:] for each in values])
    inputs = in_order([*fast_bars, *slow_bars], 9)
    found = [inputs[place].end for place, _ in run(built(drawing, (FAST, SLOW)), inputs)]
    assert found == [fast_bars[place].end for place in fires(verdict, every_bar=True)]
    assert found


def around() -> tuple[Columns, Columns]:
    """Two markets of which one moves around the other."""
    one = prices(5, 200)
    wave = 1 + 0.01 * np.sin(np.arange(200) / 3)
    return one, {name: values * wave for name, values in one.items()}


def pair() -> Drawn:
    return drawn(
        [
            source("one", symbol="A"),
            source("two", symbol="B"),
            condition("c", "cross_above"),
            action(symbol="B"),
        ],
        "one>c.data",
        "two>c.reference",
        "c>buy",
    )


def test_two_markets_are_compared_at_bars_of_one_end_whichever_comes_first() -> None:
    one, two = around()
    markets = (("A", "1h"), ("B", "1h"))
    wanted = fires(reference.up(one["close"], two["close"]), every_bar=False)
    assert wanted
    for seed in range(3):
        inputs = in_order([*bars(one, "A"), *bars(two, "B")], seed)
        found = run(built(pair(), markets), inputs)
        assert [inputs[place].end // HOUR_NS - 1 for place, _ in found] == wanted
        assert {signal.symbol for _, signal in found} == {"B"}


def test_a_bar_that_is_missing_on_one_side_makes_no_step() -> None:
    one, two = around()
    gone = set(range(40, 60))
    inputs = [*bars(one, "A"), *(each for place, each in enumerate(bars(two, "B")) if place not in gone)]
    found = run(built(pair(), (("A", "1h"), ("B", "1h"))), in_order(inputs, 0))
    kept = [place for place in range(200) if place not in gone]
    verdict = reference.up(one["close"][kept], two["close"][kept])
    assert len(found) == len(fires(verdict, every_bar=False))


def test_a_workflow_without_a_market_runs_on_each_of_the_run_by_itself() -> None:
    columns = {"A": prices(11, 150), "B": prices(12, 150)}
    inputs = in_order([each for symbol, found in columns.items() for each in bars(found, symbol)], 0)
    found = run(built(CROSSING, (("A", "1h"), ("B", "1h"))), inputs)
    for symbol, one in columns.items():
        alone = places(built(CROSSING, ((symbol, "1h"),)), bars(one, symbol))
        assert [inputs[at].end // HOUR_NS - 1 for at, signal in found if signal.symbol == symbol] == alone


def test_a_workflow_of_one_timeframe_runs_on_that_of_the_run() -> None:
    columns = prices(11, 150)
    slow = places(built(CROSSING), bars(columns))
    assert places(built(CROSSING, (("A", "5m"),)), bars(columns, "A", "5m", 5 * MINUTE_NS)) == slow


def test_a_run_without_the_markets_of_a_workflow_is_told_what_it_needs() -> None:
    with pytest.raises(ValueError, match="needs B, the run has A"):
        built(pair(), (("A", "1h"),))
    with pytest.raises(ValueError, match="needs bars of 1h of A, the run has 5m"):
        built(two_timeframes(), (FAST,))


def history(contract: Contract, inputs: list[BarInput]) -> None:
    contract.windows.fill(inputs)


@pytest.mark.parametrize("template", sorted(TEMPLATES))
def test_bars_from_before_the_start_make_a_run_go_on_as_if_it_had_never_stopped(template: str) -> None:
    drawing = TEMPLATES[template].workflow
    compiled = compile_workflow(read_workflow(drawing))
    lengths = {"15m": 15 * MINUTE_NS, "1h": HOUR_NS, "4h": 4 * HOUR_NS}
    fastest = min(lengths[each] for each in compiled.timeframes)
    total = compiled.lookback * 2 * fastest + 600 * fastest
    inputs = in_order(
        [
            each
            for place, timeframe in enumerate(compiled.timeframes)
            for each in bars(prices(place, total // lengths[timeframe]), "A", timeframe, lengths[timeframe])
        ],
        1,
    )
    markets = tuple(("A", each) for each in compiled.timeframes)
    whole = run(built(drawing, markets), inputs)
    start = next(place for place, each in enumerate(inputs) if each.end > total - 400 * fastest)
    later = built(drawing, markets)
    history(later, inputs[:start])
    found = run(later, inputs[start:])
    wanted = [(place - start, signal) for place, signal in whole if place >= start]
    assert [place for place, _ in found] == [place for place, _ in wanted]
    for (_, one), (_, other) in zip(found, wanted, strict=True):
        assert (one.stop_loss or 0) == pytest.approx(other.stop_loss or 0, rel=1e-9)


def test_nothing_is_said_about_bars_from_before_the_start() -> None:
    inputs = bars(prices(11, 150))
    contract = built(CROSSING)
    history(contract, inputs[:-1])
    assert len(places(built(CROSSING), inputs)) > 3
    assert len(run(contract, inputs[-1:])) <= 1


def test_a_gap_makes_a_workflow_begin_anew() -> None:
    columns = prices(11, 150)
    inputs: list[Any] = bars(columns)
    before = places(built(CROSSING), inputs[:70])
    after = [place + 71 for place in places(built(CROSSING), inputs[70:])]
    given = [*inputs[:70], GapInput("A", 0), *inputs[70:]]
    assert places(built(CROSSING), given) == before + after


def test_a_parameter_that_changes_acts_from_the_next_bar_as_if_it_had_always_been_so() -> None:
    inputs = bars(prices(11, 300))
    contract = built(CROSSING)
    first = places(contract, inputs[:150])
    contract.settled({"fast_period": 6, "slow_period": 20})
    contract.changed()
    second = [place + 150 for place in places(contract, inputs[150:])]
    other = places(built(CROSSING, parameters={"fast_period": 6, "slow_period": 20}), inputs)
    assert first == [place for place in places(built(CROSSING), inputs) if place < 150]
    assert second == [place for place in other if place >= 150]


def test_parameters_that_do_not_go_together_are_refused_with_the_reason() -> None:
    drawing = drawn(
        [source(), indicator("m", "MACD"), condition("c", "positive"), action()], "prices>m", "m>c", "c>buy"
    )
    contract = built(drawing)
    with pytest.raises(ParametersError, match="less than slow"):
        contract.settled({"m_fast": 30})
    with pytest.raises(ParametersError, match="m_fast"):
        contract.settled({"m_fast": 0})


def test_a_bar_that_lacks_a_figure_is_left_out() -> None:
    columns: Columns = prices(11, 60)
    inputs = bars(columns)
    holes = [msgspec.structs.replace(each, volume=float("nan")) if each.start % 5 == 0 else each for each in inputs]
    drawing = drawn(
        [source(), condition("c", "volume_above", volume=0), action(repeat="every_bar")], "prices>c", "c>buy"
    )
    assert places(built(drawing), holes) == [place for place, each in enumerate(holes) if each.volume == each.volume]
