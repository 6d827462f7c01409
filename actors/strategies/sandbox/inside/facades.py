"""What a strategy can import, and the builtins that it has.

`__import__` of a strategy gives facades; the modules themselves are out of its reach. Everything here is built before
the worker is locked. What would differ from one run to the next does not: `random` and `numpy.random` begin with a seed
that follows from the strategy's id, and `time` and `datetime.now()` tell the time of the input at hand.
"""

from __future__ import annotations
import __future__ as future

import builtins
import difflib
import functools
import importlib
import sys
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from actors.strategies.sandbox.inside import facades_time, guarded, names
from actors.strategies.sandbox.inside.facade import Facade, facade_of, names_of, title
from actors.strategies.sandbox.inside.facades_numpy import numpy_facades, seed_numpy
from actors.strategies.sandbox.inside.facades_random import random_facade, seed_random

SDK: Final = "actors.strategies.sdk"
INDICATORS: Final = f"{SDK}.indicators"
WORKFLOWS: Final = "actors.strategies.workflows"
BLOCKS: Final = f"{WORKFLOWS}.blocks"
"""What compiled workflows are made of."""
OPTIONAL: Final = {
    "pandas": "pandas is not prepared in this sandbox: use the numpy columns of the bars (bars.close), or have the "
    "operator switch pandas on",
    "talib": "TA-Lib is not installed here: use actors.strategies.sdk.indicators",
}

_WHOLE: Final = (
    "math", "cmath", "statistics", "decimal", "fractions", "collections.abc", "itertools", "heapq",
    "bisect", "numbers", "unicodedata", "copy",
)  # fmt: skip
_PARTS: Final[Mapping[str, tuple[str, ...]]] = {
    "json": ("loads", "dumps", "JSONDecodeError"),
    "abc": ("ABC", "abstractmethod"),
    "types": ("SimpleNamespace", "MappingProxyType", "NoneType"),
    "contextlib": ("contextmanager", "suppress", "nullcontext", "closing", "ExitStack"),
    "enum": ("Enum", "IntEnum", "StrEnum", "Flag", "IntFlag", "auto", "unique", "member", "nonmember", "property"),
    "string": (
        "ascii_letters", "ascii_lowercase", "ascii_uppercase", "capwords", "digits", "hexdigits", "octdigits",
        "printable", "punctuation", "whitespace", "Template",
    ),
    "dataclasses": (
        "field", "fields", "asdict", "astuple", "replace", "is_dataclass", "MISSING", "KW_ONLY", "InitVar",
        "FrozenInstanceError",
    ),
    "functools": (
        "cache", "cached_property", "cmp_to_key", "lru_cache", "partial", "partialmethod", "reduce", "total_ordering",
    ),
    "__future__": tuple(future.all_feature_names),
}  # fmt: skip
_WITHOUT: Final[Mapping[str, tuple[str, ...]]] = {
    # `get_type_hints` evaluates text.
    "typing": ("get_type_hints", "ForwardRef", "get_overloads", "clear_overloads"),
    "operator": ("attrgetter", "methodcaller"),
    "collections": (),
    "re": ("template", "purge"),
}
_INSTEAD: Final[Mapping[str, Mapping[str, Any]]] = {
    "operator": {"attrgetter": guarded.attrgetter, "methodcaller": guarded.methodcaller},
    "functools": {"wraps": guarded.wraps, "update_wrapper": guarded.update_wrapper},
    "dataclasses": {"dataclass": guarded.dataclass},
    "abc": {"ABCMeta": guarded.ABCMeta},
    "collections": {"namedtuple": guarded.namedtuple},
    "typing": {"NamedTuple": guarded.NAMED_TUPLE},
}

_NOTHING: Final = Facade("nothing", {})
_EXTRA: Final[dict[str, Facade]] = {}
"""Facades of what was asked for at the preparation: pandas, talib."""


@functools.cache
def _facades() -> dict[str, Facade]:
    found = {name: facade_of(importlib.import_module(name), name) for name in _WHOLE}
    for name in {*_PARTS, *_WITHOUT}:
        module = importlib.import_module(name)
        found[name] = facade_of(
            module, name, only=_PARTS.get(name), without=_WITHOUT.get(name, ()), instead=_INSTEAD.get(name)
        )
    found |= {"random": random_facade(), **facades_time.time_facades(), **numpy_facades()}
    found |= _sdk()
    # A package shows its parts, as `import collections` does.
    for name in sorted(found, reverse=True):
        package, _, part = name.rpartition(".")
        if package in found:
            found[package].__dict__[part] = found[name]
    return found


def _sdk() -> dict[str, Facade]:
    module = importlib.import_module(SDK)
    indicators = importlib.import_module(INDICATORS)
    public = [
        name
        for name, value in vars(indicators).items()
        if not name.startswith("_") and getattr(value, "__module__", "").startswith(("actors.market.indicators", SDK))
    ]
    return {
        "actors": Facade("actors", {}),
        "actors.strategies": Facade("actors.strategies", {}),
        SDK: facade_of(module, SDK),
        INDICATORS: facade_of(indicators, INDICATORS, only=public),
        WORKFLOWS: Facade(WORKFLOWS, {}),
        BLOCKS: facade_of(importlib.import_module(BLOCKS), BLOCKS, without=("warm",)),
    }


def add(name: str, facade: Facade) -> None:
    """Let strategies import one module more; before the worker is locked."""
    _EXTRA[name] = facade


def find(name: str) -> Facade | None:
    """The facade of a module by its full name."""
    return _facades().get(name) or _EXTRA.get(name)


def import_problem(module: str, name: str | None = None) -> str | None:
    """Why `import module`, or `from module import name`, is not accepted; None: it is."""
    facade = find(module)
    if facade is None:
        if module.partition(".")[0] == "actors":
            return f"write: from {SDK} import BaseStrategy, …"
        if module in OPTIONAL:
            return OPTIONAL[module]
        known = sorted({*_facades(), *_EXTRA})
        near = difflib.get_close_matches(module, known, 1, 0.8)
        text = f"{module[:80]} cannot be imported: a strategy has no files, network or processes"
        return f"{text}. Did you mean {near[0]}?" if near else f"{text}. It can import {', '.join(_tops(known))}"
    if name is None or name in names_of(facade):
        return None
    return missing(facade, name)


def missing(facade: Facade, name: str) -> str:
    """What to say of a name that a facade does not have."""
    near = difflib.get_close_matches(name, names_of(facade), 1, 0.75)
    return f"{title(facade)} has no {name[:80]} for strategies{f'. Did you mean {near[0]}?' if near else ''}"


def _tops(known: list[str]) -> list[str]:
    return [name for name in known if name == SDK or not ("." in name or name.startswith("_") or name == "actors")]


def imported(
    name: str,
    globals: object = None,
    locals: object = None,
    fromlist: Sequence[str] | None = (),
    level: int = 0,
) -> Facade:
    """`__import__` of strategies. Raises ImportError."""
    if type(fromlist) is list and name in sys.modules:
        # Not a statement (that gives a tuple or None) but C code of numpy or datetime that imports on first use: it
        # goes through the builtins of the running frame, and takes the module from where it is loaded, not from here.
        return _NOTHING
    if level or type(name) is not str:
        raise ImportError("a strategy is one file: there is nothing that a relative import could name")
    if problem := import_problem(name):
        raise ImportError(problem)
    facade = find(name)
    assert facade is not None
    if fromlist:
        for each in fromlist:
            if problem := import_problem(name, each):
                raise ImportError(problem)
        return facade
    top = find(name.partition(".")[0])
    assert top is not None
    return top


def builtins_of_strategies() -> dict[str, Any]:
    """A fresh `__builtins__`: without what opens, evaluates or shows too much, and with guarded forms of the rest."""
    found = {
        name: value
        for name, value in vars(builtins).items()
        if not name.startswith("_") and name not in names.FORBIDDEN_BUILTINS and name not in _OF_SITE
    }
    return found | {
        "__build_class__": guarded.build_class,
        "__import__": imported,
        "__name__": "builtins",
        "__debug__": True,
        "getattr": guarded.guarded_getattr,
        "hasattr": guarded.guarded_hasattr,
        "setattr": guarded.guarded_setattr,
        "delattr": guarded.guarded_delattr,
        "type": guarded.guarded_type,
    }


_OF_SITE: Final = frozenset({"copyright", "credits", "license"})


def seed(strategy_id: str) -> None:
    """Begin all randomness anew, by the strategy's id."""
    number = zlib.crc32(strategy_id.encode())
    seed_random(number)
    seed_numpy(number)
