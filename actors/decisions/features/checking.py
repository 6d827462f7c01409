"""What a feature or a request may be: one error that names the field, what was expected and what came. A core."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from actors.decisions.features.names import FEATURE_SETS

_SHOWN: Final = 80


class FeatureError(ValueError):
    """A value that cannot be used. `field`, `expected` and `got` (as text; `given` itself) are for the answer."""

    def __init__(self, field: str, expected: str, got: object) -> None:
        self.field = field
        self.expected = expected
        self.given = got
        self.got = shown(got)
        super().__init__(f"{field}: expected {expected}, got {self.got}")


def shown(value: object) -> str:
    """A value as an error shows it: short, whatever came."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**_SHOWN:
        return "a whole number of more than 80 digits"
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def number(field: str, value: object, least: float = -math.inf, most: float = math.inf) -> float:
    """`value` as a finite float within [least, most]. Raises FeatureError; text and booleans are no numbers."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            found = float(value)
        except OverflowError:
            found = math.inf
        if math.isfinite(found) and least <= found <= most:
            return found
    raise FeatureError(field, expected(least, most), value)


def expected(least: float, most: float) -> str:
    """A range in words."""
    if math.isfinite(least) and math.isfinite(most):
        return f"a number from {least:g} to {most:g}"
    if math.isfinite(least):
        return f"a number of at least {least:g}"
    return f"a number of at most {most:g}" if math.isfinite(most) else "a finite number"


def names_of(feature_set: str) -> tuple[str, ...]:
    """The features of a set, in their order. Raises FeatureError for an unknown set."""
    names = FEATURE_SETS.get(feature_set)
    if names is None:
        raise FeatureError("feature_set", f"any of {', '.join(FEATURE_SETS)}", feature_set)
    return names


def check(features: Sequence[str], feature_set: str) -> None:
    """Nothing, if `features` are the names of the set in its order. Raises FeatureError that says what differs."""
    names = names_of(feature_set)
    given = tuple(features)
    if given == names:
        return
    if len(given) != len(names):
        unknown = [name for name in given if name not in names]
        missing = [name for name in names if name not in given]
        parts = [f"{len(given)} names"]
        parts += [f"without {', '.join(missing[:5])}"] if missing else []
        parts += [f"with the unknown {', '.join(unknown[:5])}"] if unknown else []
        raise FeatureError("features", f"the {len(names)} names of {feature_set}", Words("; ".join(parts)))
    place = next(place for place, pair in enumerate(zip(given, names, strict=True)) if pair[0] != pair[1])
    raise FeatureError(f"features[{place}]", f"{names[place]!r}, as {feature_set} has it there", given[place])


class Words(str):
    """Text that an error shows as it is."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)
