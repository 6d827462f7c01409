"""Parameters that a strategy declares: what they may be, and the check of what was given.

    class Crossing(BaseStrategy):
        fast = Parameter.int(10, least=2, most=200, description="bars of the fast average")

        def on_bar(self, bar):
            self.fast                     # the value in force

    PARAMETERS = {"fast": Parameter.int(10, least=2)}      # of a module with generate_signal, or of its class
    PARAMETERS = {"fast": 10}                              # the same without bounds

A default is checked when it is declared, and a value when it is given, by the same rule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from math import isfinite
from typing import Any, Final, Generic, Literal, TypeVar, overload

import numpy as np

from actors.strategies.sdk.signal import shown

T = TypeVar("T")
Kind = Literal["int", "float", "bool", "str", "choice"]

MOST_CHOICES: Final = 100
MOST_PARAMETERS: Final = 200
MOST_TEXT: Final = 1024
MOST_INT: Final = 2**63 - 1
VALUES: Final = "_parameter_values"
"""The attribute of a strategy that holds the values in force."""

_Int = int
_Float = float
_Bool = bool
_Str = str
_Scalar = int | float | str | bool


@dataclass(frozen=True)
class ParameterProblem:
    """Why a parameter is not accepted."""

    field: str = ""
    expected: str = ""
    got: str = ""
    message: str = ""
    """In place of the two, where it is about several parameters: what `validate_parameters` says."""

    def __str__(self) -> str:
        if self.message:
            return self.message
        return f"{self.field}: expected {self.expected}, got {self.got}"


class ParametersError(ValueError):
    """Parameters that are not accepted, each with its reason."""

    def __init__(self, problems: Sequence[ParameterProblem]) -> None:
        super().__init__(problems)
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return "; ".join(map(str, self.problems))


class Parameter(Generic[T]):
    """One declared parameter. Made by `Parameter.int`, `.float`, `.bool`, `.str` and `.choice`.

    As an attribute of a class it reads as its value in an instance: the one in force, or the default.
    """

    __slots__ = ("choices", "default", "description", "kind", "least", "most", "name")

    def __init__(
        self,
        kind: Kind,
        default: T,
        least: T | None = None,
        most: T | None = None,
        choices: Sequence[T] = (),
        description: _Str = "",
    ) -> None:
        """Raises ValueError for a declaration that contradicts itself: the default counts as a value."""
        self.name = ""
        """The attribute's name; empty for one of a PARAMETERS dictionary."""
        self.kind: Kind = kind
        self.least = least
        self.most = most
        self.choices = tuple(choices)
        self.description = description
        for place, bound in (("least", least), ("most", most)):
            if bound is not None and (problem := self._kind_problem(place, bound)):
                raise ValueError(str(problem))
        if least is not None and most is not None and least > most:  # type: ignore[operator]
            raise ValueError(f"least: expected at most {most!r} (most), got {least!r}")
        if kind == "choice":
            self._check_choices()
        if not isinstance(description, _Str) or len(description) > MOST_TEXT:
            raise ValueError(f"description: expected text of at most {MOST_TEXT} characters")
        if problem := self.problem("default", default):
            raise ValueError(str(problem))
        self.default: T = self.settled(default)

    @classmethod
    def int(
        cls, default: _Int, *, least: _Int | None = None, most: _Int | None = None, description: _Str = ""
    ) -> Parameter[_Int]:
        """A whole number, from `least` to `most`, both included."""
        return Parameter("int", default, least, most, (), description)

    @classmethod
    def float(
        cls, default: _Float, *, least: _Float | None = None, most: _Float | None = None, description: _Str = ""
    ) -> Parameter[_Float]:
        """A finite number, from `least` to `most`, both included; a whole number becomes a float."""
        return Parameter("float", default, least, most, (), description)

    @classmethod
    def bool(cls, default: _Bool, *, description: _Str = "") -> Parameter[_Bool]:
        """True or False; 0 and 1 are neither."""
        return Parameter("bool", default, None, None, (), description)

    @classmethod
    def str(cls, default: _Str, *, description: _Str = "") -> Parameter[_Str]:
        """Text of at most 1024 characters."""
        return Parameter("str", default, None, None, (), description)

    @classmethod
    def choice(cls, default: T, *, choices: Sequence[T], description: _Str = "") -> Parameter[T]:
        """One of `choices`: 1 to 100 different numbers, texts or truth values."""
        return Parameter("choice", default, None, None, choices, description)

    def __set_name__(self, owner: type, name: _Str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Parameter[T]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> T: ...
    def __get__(self, instance: object | None, owner: type) -> Parameter[T] | T:
        if instance is None:
            return self
        values = getattr(instance, VALUES, None)
        if values is None:
            return self.default
        found: T = values.get(self.name, self.default)
        return found

    def __set__(self, instance: object, value: object) -> None:
        raise AttributeError(f"{self.name} is a parameter: it is given from outside, and may change there only")

    def __repr__(self) -> _Str:
        return f"Parameter.{self.kind}({self.default!r})"

    def settled(self, value: T) -> T:
        """A value that has no problem, as the plain number, text or truth value that the strategy reads."""
        plain: Any = value.item() if isinstance(value, np.generic) else value
        if self.kind == "float":
            plain = _Float(plain)
        elif self.kind == "choice":
            plain = next(each for each in self.choices if _same(each, plain))
        return plain  # type: ignore[no-any-return]

    def problem(self, field: _Str, value: object) -> ParameterProblem | None:
        """Why a value is not accepted; None: it is."""
        if problem := self._kind_problem(field, value):
            return problem
        if self.kind in ("int", "float"):
            below = self.least is not None and value < self.least  # type: ignore[operator]
            above = self.most is not None and value > self.most  # type: ignore[operator]
            if below or above:
                return ParameterProblem(field, self.expected(), shown(value))
        return None

    def expected(self) -> _Str:
        """What may be given, in words."""
        if self.kind == "choice":
            return f"one of {', '.join(map(repr, self.choices))}"
        if self.kind == "bool":
            return "True or False"
        if self.kind == "str":
            return f"text of at most {MOST_TEXT} characters"
        text = "a whole number" if self.kind == "int" else "a finite number"
        if self.least is not None and self.most is not None:
            return f"{text} from {self.least} to {self.most}"
        if self.least is not None:
            return f"{text} of at least {self.least}"
        return text if self.most is None else f"{text} of at most {self.most}"

    def schema(self) -> dict[_Str, Any]:
        """The values as a JSON schema (draft 2020-12), with default and description."""
        types = {"int": "integer", "float": "number", "bool": "boolean", "str": "string"}
        found: dict[_Str, Any] = {"enum": list(self.choices)} if self.kind == "choice" else {"type": types[self.kind]}
        if self.kind == "str":
            found["maxLength"] = MOST_TEXT
        if self.least is not None:
            found["minimum"] = self.least
        if self.most is not None:
            found["maximum"] = self.most
        found["default"] = self.default
        if self.description:
            found["description"] = self.description
        return found

    def _kind_problem(self, field: _Str, value: object) -> ParameterProblem | None:
        truth = isinstance(value, _Bool | np.bool_)
        if self.kind == "bool":
            good = truth
        elif self.kind == "str":
            good = isinstance(value, _Str) and len(value) <= MOST_TEXT
        elif self.kind == "choice":
            good = any(_same(each, value) for each in self.choices)
        elif self.kind == "int":
            good = isinstance(value, _Int | np.integer) and not truth and abs(_Int(value)) <= MOST_INT
        else:
            good = isinstance(value, _Int | _Float | np.integer | np.floating) and not truth and _finite(value)
        return None if good else ParameterProblem(field, self.expected(), shown(value))

    def _check_choices(self) -> None:
        if not 1 <= len(self.choices) <= MOST_CHOICES:
            raise ValueError(f"choices: expected 1 to {MOST_CHOICES} values, got {len(self.choices)}")
        for place, each in enumerate(self.choices):
            text_fits = not isinstance(each, _Str) or len(each) <= MOST_TEXT
            if not isinstance(each, _Scalar) or not text_fits or (isinstance(each, _Float) and not isfinite(each)):
                raise ValueError(f"choices: expected numbers, texts or truth values, got {shown(each)}")
            if any(_same(each, other) for other in self.choices[:place]):
                raise ValueError(f"choices: {each!r} is there twice")


def _finite(value: Any) -> bool:
    try:
        return isfinite(value)
    except OverflowError:
        return False


def _same(choice: object, value: object) -> bool:
    # 1, 1.0 and True are equal in Python, and three different choices; from outside a float may come without its dot.
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(choice, bool) or isinstance(value, bool):
        return choice is value
    if not isinstance(value, int | float | str) or isinstance(choice, str) != isinstance(value, str):
        return False
    return choice == value


# -- the declarations of a strategy --------------------------------------------------------------------------


def declared(owner: Mapping[str, Any] | type) -> dict[str, Parameter[Any]]:
    """The parameters that a class (its attributes and its PARAMETERS) or a module's names (PARAMETERS) declare.

    In the order of declaration, a base class's first. Raises ParametersError for a PARAMETERS that is none.
    """
    found: dict[str, Parameter[Any]] = {}
    if isinstance(owner, type):
        for base in reversed(owner.__mro__):
            names = vars(base)
            for name in names:
                if isinstance(names[name], Parameter):
                    found[name] = names[name]
                else:
                    # A subclass that sets the name to something else has no such parameter.
                    found.pop(name, None)
            if "PARAMETERS" in names:
                found |= _listed(names["PARAMETERS"])
    elif "PARAMETERS" in owner:
        found = _listed(owner["PARAMETERS"])
    if len(found) > MOST_PARAMETERS:
        raise _declared_wrongly("PARAMETERS", f"at most {MOST_PARAMETERS}", len(found))
    return found


def _listed(listed: object) -> dict[str, Parameter[Any]]:
    if not isinstance(listed, Mapping):
        raise _declared_wrongly("PARAMETERS", "a dictionary of name to Parameter", listed)
    for name in listed:
        if not isinstance(name, str) or not name.isidentifier():
            raise _declared_wrongly("PARAMETERS", "names such as 'period'", name)
    return {name: _parameter(name, each) for name, each in listed.items()}


def _parameter(name: str, declared: object) -> Parameter[Any]:
    """A declaration; a plain value is the default of a parameter of its kind, without bounds."""
    if isinstance(declared, Parameter):
        return declared
    if isinstance(declared, bool):
        return Parameter.bool(declared)
    if isinstance(declared, int):
        return Parameter.int(declared)
    if isinstance(declared, float):
        return Parameter.float(declared)
    if isinstance(declared, str):
        return Parameter.str(declared)
    raise _declared_wrongly(name, "a Parameter such as Parameter.int(14), or its default", declared)


def _declared_wrongly(field: str, expected: str, got: object) -> ParametersError:
    return ParametersError([ParameterProblem(field, expected, shown(got))])


def settle(
    declarations: Mapping[str, Parameter[Any]],
    given: Mapping[str, Any],
    before: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The values in force: what was given, what was `before`, the defaults.

    Raises ParametersError with every problem, not just the first.
    """
    problems: list[ParameterProblem] = []
    values = {name: each.default for name, each in declarations.items()} | dict(before or {})
    for name, value in given.items():
        parameter = declarations.get(name)
        if parameter is None:
            problems.append(_unknown(str(name), declarations))
        elif problem := parameter.problem(name, value):
            problems.append(problem)
        else:
            values[name] = parameter.settled(value)
    if problems:
        raise ParametersError(problems)
    return values


def _unknown(name: str, declarations: Mapping[str, Parameter[Any]]) -> ParameterProblem:
    if not declarations:
        return ParameterProblem(name[:MOST_TEXT], "no parameters: the strategy declares none", "one")
    near = get_close_matches(name, declarations, 1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    return ParameterProblem(name[:MOST_TEXT], f"a parameter: {', '.join(declarations)}", f"an unknown one{hint}")


def schema(declarations: Mapping[str, Parameter[Any]]) -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of the object of parameters that may be given."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {name: each.schema() for name, each in declarations.items()},
        "additionalProperties": False,
    }
