"""Whatever a strategy calls first, nothing has to be loaded for it any more: the worker would end (see `serving`)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from actors.strategies.sandbox import wire
from tests.actors.strategies.sandbox.serving import Serving, bar, load

TRIED = """
import calendar, cmath, collections, contextlib, copy, dataclasses, datetime, decimal, enum, fractions, functools
import heapq, itertools, json, math, numbers, operator, random, re, statistics, string, time, types, typing
import unicodedata, warnings
import numpy as np
import numpy.ma, numpy.fft, numpy.linalg, numpy.random, numpy.polynomial, numpy.char, numpy.strings, numpy.emath
import talib
from actors.strategies.sdk import indicators

warnings.simplefilter("ignore")
VALUES = np.array([3.0, 1.0, 2.0, 5.0, 4.0, 7.0, 6.0, 8.0])
ARGUMENTS = [
    (), (VALUES,), (VALUES, VALUES), (VALUES, 2), (np.eye(3),), (np.eye(3), np.eye(3)), (VALUES, VALUES, VALUES),
    ("2",), (["a", "b"],), (["a", "b"], "a"), (3,), (3, 2), (0.5,), ([1, 2, 3],), (lambda x: x,),
    (VALUES > 2, VALUES, 0), (np.array(["2024-01-02"], dtype="M8[D]"),), (b"abc",), (datetime.date(2024, 1, 2),),
    ("%Y", "2024"), (VALUES, [50.0]),
    (np.array([1, 2, 3]),), (np.array([1.0, np.nan, 2.0]),), (VALUES, VALUES, 2), (np.array(["a", "bc"]), 3),
]
METHODS = (
    "all any argmax argmin argsort astype byteswap choose clip compress conj copy cumprod cumsum diagonal dot fill "
    "flatten item max mean min nonzero partition prod put ravel repeat reshape round searchsorted sort squeeze std "
    "sum swapaxes take tobytes tolist trace transpose var view"
).split()



def tried(function):
    count = 0
    for arguments in ARGUMENTS:
        try:
            found = function(*copy.deepcopy(arguments))
            str(found), repr(found)
            if isinstance(found, collections.abc.Iterator):
                list(itertools.islice(found, 3))
            count += 1
        except Exception as error:
            str(error), repr(error)
    return count


def generate_signal(data, parameters):
    names = parameters["names"]
    module = {"numpy": np, "numpy.ma": np.ma, "numpy.fft": np.fft, "numpy.linalg": np.linalg, "numpy.char": np.char,
        "numpy.random": np.random, "numpy.polynomial": np.polynomial, "numpy.strings": np.strings, "talib": talib,
        "statistics": statistics, "math": math, "cmath": cmath, "decimal": decimal, "fractions": fractions,
        "datetime": datetime, "calendar": calendar, "time": time, "json": json, "re": re, "string": string,
        "unicodedata": unicodedata, "typing": typing, "types": types, "dataclasses": dataclasses, "enum": enum,
        "collections": collections, "itertools": itertools, "functools": functools, "operator": operator,
        "heapq": heapq, "random": random, "contextlib": contextlib, "copy": copy, "numbers": numbers,
        "indicators": indicators, "warnings": warnings}[parameters["module"]]
    if names == ["methods"]:
        masked = np.ma.masked_less(VALUES, 3)
        for array in (VALUES, np.eye(3), np.array([1, 2, 3]), np.array(["a", "b"]), masked, VALUES > 2):
            for name in METHODS:
                tried(getattr(array, name))
    count = 0
    for name in names:
        if hasattr(module, name):
            value = getattr(module, name)
            if callable(value):
                count += bool(tried(value))
            if isinstance(value, type):
                for method in ("fromisoformat", "now", "today", "fit", "from_samples"):
                    if hasattr(value, method):
                        tried(getattr(value, method))
    print(count)
"""
LEAST = {"warnings": 1, "enum": 1, "numbers": 0, "types": 1, "datetime": 2, "string": 1}
"""Modules of classes and constants, of which few can be called with what is tried."""
ENDLESS = frozenset({"count", "cycle", "repeat", "tee", "getrandbits", "randbytes"})
MODULES = (
    "numpy", "numpy.ma", "numpy.fft", "numpy.linalg", "numpy.char", "numpy.random", "numpy.polynomial", "numpy.strings",
    "talib", "statistics", "math", "cmath", "decimal", "fractions", "datetime", "calendar", "time", "json", "re",
    "string", "unicodedata", "typing", "types", "dataclasses", "enum", "collections", "itertools", "functools",
    "operator", "heapq", "random", "contextlib", "copy", "numbers", "indicators", "warnings",
)  # fmt: skip


@pytest.fixture(scope="module")
def serving() -> Iterator[Serving]:
    serving = Serving()
    yield serving
    serving.close()


PANDAS = """
import pandas as pd

def generate_signal(data, parameters):
    frame = data["BTCUSDT"].to_pandas()
    frame["fast"] = frame["close"].rolling(3).mean()
    frame["slow"] = frame["close"].ewm(span=5).mean()
    last = frame.iloc[-1]
    hourly = frame.groupby(frame.index.hour)["close"].mean()
    changes = pd.Series(frame["close"].pct_change().dropna().to_numpy(), name="changes")
    if last.fast > last.slow and changes.describe()["mean"] > 0:
        print(frame.tail(2).to_string())
        return {"action": "BUY", "confidence": 0.5, "metadata": {"mean": hourly.iloc[0], "at": str(frame.index[-1])}}
"""


def test_pandas_works_where_it_was_asked_for_and_keeps_to_one_thread() -> None:
    serving = Serving(pandas=True)
    try:
        with serving.worker() as worker:
            ready = worker.call(load(PANDAS))
            assert isinstance(ready, wire.Ready), ready
            done = worker.call(wire.Run(2, tuple(bar(place, 100.0 + place) for place in range(8))))
            assert isinstance(done, wire.Done), done
            assert len(done.signals) == 5
        with serving.worker() as worker:
            reply = worker.call(load("import pandas as pd\npd.read_csv('x')\npd.DataFrame().query('a')"))
            assert isinstance(reply, wire.Rejected)
            assert [each.rule for each in reply.problems] == ["import", "attribute"]
    finally:
        serving.close()


@pytest.fixture(scope="module")
def names() -> dict[str, list[str]]:
    from actors.strategies.sandbox.inside import facades, loop
    from actors.strategies.sandbox.inside.facade import names_of

    loop.prepare()
    found = {}
    for module in MODULES:
        facade = facades.find(facades.INDICATORS if module == "indicators" else module)
        assert facade is not None
        found[module] = sorted(names_of(facade) - ENDLESS)
    return found


@pytest.mark.parametrize("module", MODULES)
def test_every_public_function_works_without_loading_anything(
    module: str, serving: Serving, names: dict[str, list[str]]
) -> None:
    source = TRIED
    with serving.worker() as worker:
        ready = worker.call(load(source, {"module": module, "names": names[module]}))
        assert isinstance(ready, wire.Ready), ready
        done = worker.call(wire.Run(2, (bar(0, 1.0),)))
        assert isinstance(done, wire.Done), done
        assert int(done.logs[-1].text) >= LEAST.get(module, len(names[module]) // 3), done


def test_methods_of_arrays_work_without_loading_anything(serving: Serving) -> None:
    with serving.worker() as worker:
        source = TRIED
        worker.call(load(source, {"module": "numpy", "names": ["methods"]}))
        assert isinstance(worker.call(wire.Run(2, (bar(0, 1.0),))), wire.Done)
