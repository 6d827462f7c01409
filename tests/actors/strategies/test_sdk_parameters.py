"""Declared parameters: what may be declared, what may be given, and that all of it is told at once."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.strategies.sdk import Parameter, ParametersError
from actors.strategies.sdk.parameters import VALUES, declared, schema, settle


class Crossing:
    fast = Parameter.int(10, least=2, most=200, description="bars of the fast average")
    threshold = Parameter.float(0.5, least=0, most=1)
    long_only = Parameter.bool(True)
    label = Parameter.str("x")
    mode = Parameter.choice("mean", choices=["mean", "median", 1])


def test_a_parameter_reads_as_its_default_until_there_are_values_in_force() -> None:
    strategy = Crossing()
    assert (strategy.fast, strategy.threshold, strategy.long_only) == (10, 0.5, True)
    setattr(strategy, VALUES, {"fast": 20})
    assert (strategy.fast, strategy.label) == (20, "x")
    assert isinstance(Crossing.fast, Parameter)
    with pytest.raises(AttributeError, match="fast is a parameter: it is given from outside"):
        strategy.fast = 5


def test_declarations_are_found_in_their_order_with_those_of_base_classes_first() -> None:
    class Slower(Crossing):
        slow = Parameter.int(30)
        label = "not any more"
        PARAMETERS = {"extra": Parameter.bool(False)}  # noqa: RUF012

    assert list(declared(Slower)) == ["fast", "threshold", "long_only", "mode", "slow", "extra"]
    assert declared({"PARAMETERS": {"a": Parameter.int(1)}, "other": 1})["a"].default == 1
    plain = declared({"PARAMETERS": {"a": 1, "b": 1.5, "c": True, "d": "x"}})
    assert [(each.kind, each.default) for each in plain.values()] == [
        ("int", 1), ("float", 1.5), ("bool", True), ("str", "x"),
    ]  # fmt: skip
    assert declared({}) == {}


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        ([1], "PARAMETERS: expected a dictionary of name to Parameter, got list"),
        ({"a": [14]}, "a: expected a Parameter such as Parameter.int(14), or its default, got list"),
        ({"a b": Parameter.int(1)}, "PARAMETERS: expected names such as 'period', got 'a b'"),
        ({f"a{n}": Parameter.int(1) for n in range(201)}, "PARAMETERS: expected at most 200, got 201"),
    ],
)
def test_a_list_of_parameters_that_is_none_is_refused(listed: Any, message: str) -> None:
    with pytest.raises(ParametersError) as caught:
        declared({"PARAMETERS": listed})
    assert str(caught.value) == message


def test_every_problem_is_told_and_not_just_the_first() -> None:
    with pytest.raises(ParametersError) as caught:
        settle(declared(Crossing), {"fast": 1, "threshold": "high", "mod": "mean", "long_only": 1, "mode": True})
    assert [str(problem) for problem in caught.value.problems] == [
        "fast: expected a whole number from 2 to 200, got 1",
        "threshold: expected a finite number from 0 to 1, got 'high'",
        "mod: expected a parameter: fast, threshold, long_only, label, mode, got an unknown one (did you mean mode?)",
        "long_only: expected True or False, got 1",
        "mode: expected one of 'mean', 'median', 1, got True",
    ]
    with pytest.raises(ParametersError, match=r"^a: expected no parameters: the strategy declares none, got one$"):
        settle({}, {"a": 1})


def test_values_that_were_in_force_stay_where_nothing_else_is_given() -> None:
    before = settle(declared(Crossing), {"fast": 7})
    assert settle(declared(Crossing), {"threshold": 1}, before) == {
        "fast": 7, "threshold": 1.0, "long_only": True, "label": "x", "mode": "mean",
    }  # fmt: skip
    assert type(settle(declared(Crossing), {"threshold": 1})["threshold"]) is float
    assert type(settle(declared(Crossing), {"fast": np.int64(3)})["fast"]) is int
    assert settle(declared(Crossing), {"mode": 1.0})["mode"] == 1


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (lambda: Parameter.int(1, least=2), "default: expected a whole number of at least 2, got 1"),
        (lambda: Parameter.int(1, least=3, most=2), "least: expected at most 2 (most), got 3"),
        (lambda: Parameter.int(1.5), "default: expected a whole number, got 1.5"),  # type: ignore[arg-type]
        (lambda: Parameter.int(True), "default: expected a whole number, got True"),
        (lambda: Parameter.int(2**63), f"default: expected a whole number, got {2**63}"),
        (lambda: Parameter.float(float("nan")), "default: expected a finite number, got nan"),
        (lambda: Parameter.choice("c", choices=["a", "b"]), "default: expected one of 'a', 'b', got 'c'"),
        (lambda: Parameter.choice("a", choices=[]), "choices: expected 1 to 100 values, got 0"),
        (lambda: Parameter.choice("a", choices=["a", "a"]), "choices: 'a' is there twice"),
        (lambda: Parameter.choice([], choices=[[]]), "choices: expected numbers, texts or truth values, got list"),
        (lambda: Parameter.str("x" * 1025), f"default: expected text of at most 1024 characters, got '{'x' * 96}..."),
    ],
)
def test_a_declaration_that_contradicts_itself_is_refused(declare: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        declare()


def test_the_schema_says_what_may_be_given() -> None:
    found = schema(declared(Crossing))
    assert found["additionalProperties"] is False
    assert found["properties"]["fast"] == {
        "type": "integer", "minimum": 2, "maximum": 200, "default": 10, "description": "bars of the fast average",
    }  # fmt: skip
    assert found["properties"]["mode"] == {"enum": ["mean", "median", 1], "default": "mean"}
    assert found["properties"]["label"] == {"type": "string", "maxLength": 1024, "default": "x"}


BOUNDS = st.integers(-1000, 1000)


@given(BOUNDS, BOUNDS, BOUNDS, st.integers(-2000, 2000))
def test_a_whole_number_is_accepted_exactly_within_its_bounds(least: int, default: int, most: int, value: int) -> None:
    try:
        parameter = Parameter.int(default, least=least, most=most)
    except ValueError:
        assert not least <= default <= most
        return
    assert least <= default <= most
    assert (parameter.problem("p", value) is None) == (least <= value <= most)


ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.lists(st.integers(), max_size=2),
    st.binary(max_size=2), st.dictionaries(st.text(max_size=2), st.integers(), max_size=1),
)  # fmt: skip


@given(st.dictionaries(st.one_of(st.sampled_from(list(declared(Crossing))), st.text(max_size=4)), ANYTHING))
def test_whatever_is_given_either_settles_to_values_of_the_declared_kinds_or_names_each_problem(
    values: dict[str, Any],
) -> None:
    declarations = declared(Crossing)
    wrong = {
        name for name, value in values.items() if name not in declarations or declarations[name].problem(name, value)
    }
    if wrong:
        with pytest.raises(ParametersError) as caught:
            settle(declarations, values)
        assert {problem.field for problem in caught.value.problems} == wrong
    settled = settle(declarations, {name: value for name, value in values.items() if name not in wrong})
    assert set(settled) == set(declarations)
    kinds = [type(settled[name]) for name in ("fast", "threshold", "long_only", "label")]
    assert kinds == [int, float, bool, str]
    assert settle(declarations, settled) == settled
