from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.monitor.alerts.evaluation import Finding, examine, interpolated
from actors.monitor.alerts.expression import Selector, parse
from actors.monitor.alerts.series import SECOND, History, Kind, Point, Unknown

T = 1_000 * SECOND


def history(**more: int) -> History:
    return History(retention_s=3600, points=more.get("points", 100), most=more.get("most", 100))


def point(name: str, value: float, kind: Kind = "gauge", **labels: str) -> Point:
    return Point(name, kind, labels, value)


def counter(name: str, value: float, **labels: str) -> Point:
    return point(name, value, "counter", **labels)


def observed(name: str, total: float, **buckets: float) -> list[Point]:
    """A histogram; bounds as keywords such as `le_1`."""
    points = [
        point(f"{name}_bucket", count, "histogram", le="+Inf" if key == "inf" else key.removeprefix("le_"))
        for key, count in buckets.items()
    ]
    count = buckets["inf"]
    return [*points, point(f"{name}_sum", total, "histogram"), point(f"{name}_count", count, "histogram")]


def look(known: History, text: str, **group: str) -> Finding:
    return examine(parse(text), known, group)


def test_what_is_not_there_is_unknown_and_never_zero() -> None:
    known = history()
    assert look(known, "x < 1") == Finding(None, None, "there is no x")
    known.take(T, [point("x", 0.5)])
    assert look(known, "x < 1") == Finding(True, 0.5)
    known.take(T + SECOND, [])
    assert look(known, "x < 1") == Finding(None, None, "x has gone")
    assert look(known, "rate(y_total, 1m) < 1").holds is None
    assert look(known, "quantile(0.5, y, 1m) < 1").holds is None


def test_several_series_have_to_be_put_together_by_a_word_or_a_label() -> None:
    known = history()
    known.take(T, [point("x", 1.0, m="a"), point("x", 5.0, m="b")])
    assert look(known, "x > 0").why == "2 series of x: say sum, min, max or mean of them, or `by` which label"
    assert [look(known, f"{word}(x) > 0").value for word in ("sum", "min", "max", "mean")] == [6.0, 1.0, 5.0, 3.0]
    assert look(known, "x > 0", m="b").value == 5.0
    assert look(known, 'x{m!="b"} > 0').value == 1.0
    assert known.groups(Selector("x"), ("m",)) == {(("m", "a"),), (("m", "b"),)}


def test_growth_goes_on_over_a_counters_restart() -> None:
    known = history()
    for step, value in enumerate((10.0, 20.0, 5.0, 7.0)):
        known.take(T + step * 10 * SECOND, [counter("x_total", value)])
    assert look(known, "rate(x_total, 30s) > 0").value == pytest.approx(17 / 30)
    assert look(known, "rate(x_total, 10s) > 0").value == pytest.approx(2 / 10)


def test_a_counter_that_appears_while_we_look_has_begun_at_zero_and_one_that_was_there_before_has_not() -> None:
    known = history()
    known.take(T, [counter("x_total", 100.0, a="1")])
    assert look(known, "rate(x_total, 1m) >= 0").why == "x_total has not been seen twice"
    known.take(T + 10 * SECOND, [counter("x_total", 100.0, a="1"), counter("x_total", 30.0, a="2")])
    assert look(known, "rate(x_total, 1m) > 0").value == pytest.approx(3.0)


def test_a_part_that_nothing_has_fallen_into_is_zero_where_the_same_counter_counts_the_whole() -> None:
    known = history()
    known.take(T, [counter("x_total", 1.0, a="good")])
    assert look(known, 'ratio(x_total{a="bad"}, x_total, 1m) > 0.1').holds is None
    known.take(T + SECOND, [counter("x_total", 5.0, a="good")])
    assert look(known, 'ratio(x_total{a="bad"}, x_total, 1m) > 0.1') == Finding(False, 0.0)
    assert look(known, "ratio(y_total, x_total, 1m) > 0.1").why == "there is no y_total"
    known.take(T + 2 * SECOND, [counter("x_total", 5.0, a="good"), counter("x_total", 4.0, a="bad")])
    assert look(known, 'ratio(x_total{a="bad"}, x_total, 1m) > 0.1') == Finding(True, 0.5)


def test_a_ratio_of_nothing_is_unknown() -> None:
    known = history()
    for step in range(3):
        known.take(T + step * SECOND, [counter("x_total", 5.0)])
    found = look(known, "1 - ratio(x_total, x_total, 1m) < 0.9")
    assert found == Finding(None, None, "nothing was counted by x_total in that time")


def test_means_of_gauges_are_over_samples_and_those_of_histograms_over_what_was_observed() -> None:
    known = history()
    for step, value in enumerate((1.0, 2.0, 6.0)):
        points = [point("x", value, a="1"), point("x", 10.0, a="2"), *observed("h", 10.0 * step, inf=4.0 * step)]
        known.take(T + step * 10 * SECOND, points)
    assert look(known, 'mean_of_last(x{a="1"}, 2) > 0').value == 4.0
    assert look(known, "mean_of_last(sum(x), 3) > 0").value == 13.0
    assert look(known, 'mean_of_last(x{a="1"}, 4) > 0').why == "3 of 4 samples"
    assert look(known, 'avg_over(x{a="1"}, 10s) > 0').value == 6.0
    assert look(known, "mean_of_last(h, 2) > 0").value == 2.5
    assert look(known, "mean_of_last(h, 3) > 0").why == "2 of 3 samples"
    assert look(known, "avg_over(h, 20s) > 0").value == 2.5


def test_quantiles_are_those_of_prometheus() -> None:
    # promql's own test of histogram_quantile (testdata/histograms.test, testhistogram: start="positive").
    buckets = [(0.0, 0.0), (0.1, 5.0), (0.2, 7.0), (1.0, 11.0), (math.inf, 12.0)]
    assert interpolated(0.05, buckets) == pytest.approx(0.012)
    assert interpolated(0.5, buckets) == pytest.approx(0.15)
    assert interpolated(0.8, buckets) == pytest.approx(0.72)
    assert interpolated(0.99, buckets) == 1.0
    with pytest.raises(Unknown):
        interpolated(0.5, [(0.1, 0.0), (math.inf, 0.0)])


def test_a_quantile_looks_at_its_window_alone() -> None:
    known = history()
    known.take(T, observed("h", 0.0, le_1=100.0, le_2=100.0, inf=100.0))
    known.take(T + 10 * SECOND, observed("h", 0.0, le_1=100.0, le_2=110.0, inf=110.0))
    assert look(known, "quantile(0.5, h, 10s) > 0").value == 1.5


def test_what_is_known_decides_although_something_else_is_not() -> None:
    known = history()
    known.take(T, [point("x", 1.0)])
    assert look(known, "x > 0 or y > 0").holds is True
    assert look(known, "y > 0 or x > 0").holds is True
    assert look(known, "x < 0 and y > 0").holds is False
    assert look(known, "x > 0 and y > 0") == Finding(None, None, "there is no y")
    assert look(known, "x < 0 or y > 0").holds is None
    assert look(known, "x > 0 and x < 2").holds is True


def test_a_division_by_zero_and_what_is_no_number_are_unknown() -> None:
    known = history()
    known.take(T, [point("x", 0.0), point("nan", math.nan), point("inf", math.inf)])
    assert look(known, "1 / x > 0").why == "a division by zero"
    assert look(known, "nan > 0").holds is None
    assert look(known, "inf > 0").holds is None


def test_series_are_bounded_in_time_in_points_and_in_number() -> None:
    known = history(points=5, most=3)
    for step in range(50):
        known.take(T + step * SECOND, [point("x", float(step), n=str(number)) for number in range(4)])
    assert len(known) == 3
    assert known.lost == 50
    assert look(known, 'mean_of_last(x{n="0"}, 5) > 0').value == 47.0
    assert look(known, 'mean_of_last(x{n="0"}, 6) > 0').holds is None
    known.take(T + 5000 * SECOND, [point("y", 1.0)])
    assert len(known) == 1


@given(st.lists(st.integers(0, 50), min_size=2, max_size=30))
def test_growth_is_what_was_added_whatever_the_restarts(steps: list[int]) -> None:
    known, value, added = history(), 0.0, 0
    known.take(T, [counter("x_total", 0.0)])
    for index, step in enumerate(steps, 1):
        if step % 7 == 0 and step < value:
            value = float(step)  # a restart: it has counted `step` since
        else:
            value += step
        added += step
        known.take(T + index * SECOND, [counter("x_total", value)])
    assert known.growth(Selector("x_total"), {}, T) == added
