from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.monitor.alerts.expression import (
    Arithmetic,
    AverageOver,
    Both,
    Comparison,
    Either,
    ExpressionError,
    Latest,
    Matcher,
    MeanOfLast,
    Number,
    Quantile,
    Rate,
    Ratio,
    Selector,
    longest_window,
    parse,
    selectors,
)


def test_a_rule_is_read_into_a_tree() -> None:
    assert parse('quantile(0.99, x_seconds{model="a"}, 5m) > 0.1') == Comparison(
        ">", Quantile(0.99, Selector("x_seconds", (Matcher("model", ("a",), True),)), 300.0), Number(0.1)
    )
    assert parse("mean_of_last(sum(depth), 3) >= 1e2") == Comparison(
        ">=", MeanOfLast(Latest(Selector("depth"), "sum"), 3), Number(100.0)
    )
    assert parse("avg_over(x, 90s) < -1") == Comparison(
        "<", AverageOver(Latest(Selector("x")), 90.0), Arithmetic("-", Number(0.0), Number(1.0))
    )


def test_products_bind_closer_than_sums_and_those_closer_than_comparisons_and_and_closer_than_or() -> None:
    x, y, z = (Latest(Selector(name)) for name in "xyz")
    assert parse("x + y * z > 1") == Comparison(">", Arithmetic("+", x, Arithmetic("*", y, z)), Number(1.0))
    assert parse("(x + y) * z > 1") == Comparison(">", Arithmetic("*", Arithmetic("+", x, y), z), Number(1.0))
    one = [Comparison(">", each, Number(1.0)) for each in (x, y, z)]
    assert parse("x > 1 or y > 1 and z > 1") == Either((one[0], Both((one[1], one[2]))))
    assert parse("(x > 1 or y > 1) and z > 1") == Both((Either((one[0], one[1])), one[2]))
    assert parse("x - y - z > 1") == Comparison(">", Arithmetic("-", Arithmetic("-", x, y), z), Number(1.0))


def test_matchers_compare_whole_texts_and_a_missing_label_is_the_empty_text() -> None:
    found = parse('rate(x_total{a="1", b!="2", c=~"3|4", d!~"5|6"}, 1h) > 0')
    assert isinstance(found, Comparison)
    assert isinstance(found.left, Rate)
    selects = found.left.of.selects
    assert selects({"a": "1", "c": "3"})
    assert selects({"a": "1", "b": "3", "c": "4", "d": "7"})
    assert not selects({"a": "1", "c": "34"})
    assert not selects({"a": "1", "c": "3", "b": "2"})
    assert not selects({"a": "1", "c": "3", "d": "6"})
    assert not selects({"c": "3"})


@pytest.mark.parametrize(
    ("text", "column", "expected", "got"),
    [
        ("", 1, "a number, a metric, a function or '('", "the end"),
        ("x", 1, "a comparison such as 'x > 1'", "a number without one"),
        ("x > ", 5, "a number, a metric, a function or '('", "the end"),
        ("x > 1 y", 7, "an operator or the end", "'y'"),
        ("x > 1 > 2", 7, "an operator or the end", "'>'"),
        ("(x > 1) + 2 > 1", 1, "a number", "a condition"),
        ("x and y > 1", 1, "a comparison such as 'x > 1'", "a number without one"),
        ("rate(x) > 1", 7, "','", "')'"),
        ("rate(x, 5) > 1", 9, "a duration such as 30s, 5m or 1h", "'5'"),
        ("rate(x, 25h) > 1", 9, "a duration above 0 and up to 24h", "'25h'"),
        ("rate(sum(x), 5m) > 1", 9, "','", "'('"),
        ("quantile(2, x, 5m) > 1", 10, "a number from 0 to 1", "'2'"),
        ("mean_of_last(x, 1.5) > 1", 17, "a whole number from 1 to 10000", "'1.5'"),
        ("mean_of_last(x, 0) > 1", 17, "a whole number from 1 to 10000", "'0'"),
        ("exec(x) > 1", 1, "one of avg_over, mean_of_last, quantile, rate, ratio, sum, min, max, mean", "'exec'"),
        ("x{a} > 1", 4, "'=', '!=', '=~' or '!~'", "'}'"),
        ("x{a=1} > 1", 5, "a text in double quotes", "'1'"),
        ('x{a="1" b="2"} > 1', 9, "','", "'b'"),
        ('x{a=~"(a+)+"} > 1', 6, "whole texts divided by '|', without . and other signs of expressions", "'\"(a+)+\"'"),
        ("x > 1; y", 6, "a name, a number, a text in double quotes or an operator", "';'"),
        ("__import__('os') > 1", 12, "a name, a number, a text in double quotes or an operator", '"\'"'),
    ],
)
def test_what_is_no_rule_is_told_with_its_place(text: str, column: int, expected: str, got: str) -> None:
    with pytest.raises(ExpressionError) as error:
        parse(text)
    assert (error.value.column, error.value.expected, error.value.got) == (column, expected, got)


def test_a_text_of_parentheses_is_refused_and_does_not_end_the_process() -> None:
    with pytest.raises(ExpressionError, match="at most 30 levels"):
        parse("(" * 900 + "x" + ")" * 900 + " > 1")
    with pytest.raises(ExpressionError, match="at most 2000 characters"):
        parse("x > " + "1" * 5000)


PIECES = st.sampled_from(
    ["x", "y_total", "rate", "ratio", "quantile", "sum", "(", ")", ",", "{", "}", '"a"', "=", "=~", ">", "<=", "and",
     "or", "+", "-", "*", "/", "1", "0.5", "5m", "10", "avg_over", "mean_of_last", " "]
)  # fmt: skip


ANY = st.one_of(st.text(string.printable + "é≤\0", max_size=60), st.lists(PIECES, max_size=25).map(" ".join))


def told(text: str) -> ExpressionError | None:
    try:
        parse(text)
    except ExpressionError as error:
        return error
    return None


@given(ANY)
def test_any_text_is_a_rule_or_a_told_error(text: str) -> None:
    error = told(text)
    if error is None:
        assert all(selector.name for selector in selectors(parse(text)))
    else:
        assert 1 <= error.column <= len(text) + 1


def test_the_longest_window_and_all_selectors_of_a_rule_are_known() -> None:
    rule = parse('mean_of_last(x, 20) > 1 and ratio(y{a="b"}, y, 10m) > 1 or rate(z, 1h) / avg_over(min(w), 5s) < 2')
    assert longest_window(rule, 15.0) == 3600.0
    assert longest_window(rule, 600.0) == 12_000.0
    assert [each.name for each in selectors(rule)] == ["x", "y", "y", "z", "w"]
    assert isinstance(rule, Either)
    assert isinstance(rule.parts[0], Both)
    second = rule.parts[0].parts[1]
    assert isinstance(second, Comparison)
    assert isinstance(second.left, Ratio)
