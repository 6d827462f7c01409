"""Everything that Python and numpy load on first use, used once before the worker is locked.

A locked worker opens no file, so what is not loaded then can never be. Each call here is one that loads something the
first time: `np.median` needs `numpy.ma`, `strptime` needs `_strptime`, a printed array `numpy._core.arrayprint`.
"""

from __future__ import annotations

import calendar
import codecs
import contextlib
import copy
import datetime
import decimal
import fractions
import importlib
import io
import json
import random
import re
import statistics
import string
import sys
import time
import traceback
import unicodedata
import warnings
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import numpy as np

from actors.strategies.sandbox.inside import facades, facades_pandas, facades_talib, program
from actors.strategies.sandbox.inside.journal import Journal
from actors.strategies.sandbox.wire import BarInput, Load, TimerInput
from actors.strategies.sdk.talib_functions import prepare_talib

_MODULES: Final = (
    "__future__", "_compat_pickle", "_strptime", "array", "bisect", "cmath", "colorsys", "copyreg", "difflib",
    "encodings.ascii", "encodings.cp1252", "encodings.hex_codec", "encodings.idna", "encodings.latin_1",
    "encodings.punycode", "encodings.raw_unicode_escape", "encodings.unicode_escape", "encodings.utf_16",
    "encodings.utf_32", "encodings.utf_8", "encodings.utf_8_sig", "gc", "graphlib", "heapq", "inspect", "linecache",
    "locale", "numbers", "pickle", "pprint", "queue", "reprlib", "stringprep", "textwrap", "token", "tokenize",
    "tracemalloc", "types", "typing", "zoneinfo", "numpy._core._dtype", "numpy._core._internal",
    "numpy._core._methods", "numpy._core.arrayprint", "numpy._core.strings", "numpy._core.records", "numpy.char",
    "numpy.fft", "numpy.lib.recfunctions", "numpy.lib.stride_tricks", "numpy.linalg", "numpy.ma", "numpy.matlib",
    "numpy.polynomial", "numpy.random", "numpy.rec", "numpy.strings", "numpy.typing", "numpy.exceptions",
)  # fmt: skip


def everything(*, pandas: bool = False) -> None:
    """Import and use it all. Raises ImportError where pandas is asked for and not installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in _MODULES:
            importlib.import_module(name)
        if pandas:
            # Its tables can do without pyarrow, and that has threads: a process that has some cannot be forked safely.
            with _away("pyarrow"):
                facades.add("pandas", facades_pandas.pandas_facade())
        # TA-Lib loads pandas and polars where they are installed, to know their columns: much that nobody asked for.
        with _away("pandas", "polars"):
            if prepare_talib():
                facades.add("talib", facades_talib.talib_facade())
        _use_python()
        _use_numpy()
        _use_random()
    _use_strategies()


@contextlib.contextmanager
def _away(*names: str) -> Iterator[None]:
    """Libraries that are not loaded yet cannot be meanwhile."""
    away = [name for name in names if name not in sys.modules]
    for name in away:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        for name in away:
            del sys.modules[name]


def _use_python() -> None:
    moment = datetime.datetime.strptime("2024-03-01 12:30:00 +0000", "%Y-%m-%d %H:%M:%S %z")
    moment.strftime("%A %d %B %Y %j %U %p"), moment.isoformat(), moment.astimezone(), moment.isocalendar()
    datetime.date.fromisoformat("2024-03-01"), time.strptime("30 Nov 00", "%d %b %y"), time.localtime()
    (
        time.strftime("%c"),
        calendar.month_name[1],
        calendar.monthrange(2024, 2),
        calendar.TextCalendar().formatmonth(2024, 2),
    )
    context = decimal.Context(prec=40)
    (
        context.sqrt(decimal.Decimal(2)),
        decimal.Decimal("1.10").quantize(decimal.Decimal("0.1")),
        f"{decimal.Decimal(1):.2f}",
    )
    fractions.Fraction("3/7").limit_denominator(10), fractions.Fraction(0.5)
    values = [1.0, 2.0, 2.0, 3.5, 5.0]
    for function in ("mean", "median", "mode", "stdev", "variance", "pstdev", "fmean", "harmonic_mean", "quantiles"):
        getattr(statistics, function)(values)
    statistics.linear_regression(values, values[::-1]), statistics.correlation(values, values[::-1])
    statistics.NormalDist(0, 1).inv_cdf(0.9), statistics.geometric_mean(values)
    json.loads('{"a": [1, 2.5, null, "ü"]}'), json.dumps({"a": [1, None]}, indent=1, sort_keys=True)
    with contextlib.suppress(json.JSONDecodeError):
        json.loads("{")
    re.compile(r"(?P<name>\w+)\s+(\d{1,3})", re.IGNORECASE | re.VERBOSE).sub(r"\g<name>", "bar 12")
    unicodedata.normalize("NFKC", "ﬀ"), unicodedata.name("é"), string.Template("$a").substitute(a=1)
    for encoding in ("utf-8", "ascii", "latin-1", "utf-16", "utf-32", "unicode_escape", "idna", "punycode", "cp1252"):
        codecs.lookup(encoding), "abc".encode(encoding).decode(encoding)
    b"ab".hex(), "ü".encode("ascii", "xmlcharrefreplace"), "ü".encode("ascii", "namereplace")
    copy.deepcopy({"a": [np.arange(3), moment, decimal.Decimal(1)]})
    try:
        raise ExceptionGroup("group", [ValueError("value")])
    except* ValueError as group:
        traceback.print_exception(group, file=io.StringIO())
    warnings.warn("used once", RuntimeWarning, stacklevel=1)
    msgspec.msgpack.decode(msgspec.msgpack.encode({"a": [1, 2.5, None, b"b"]}))
    traceback.format_exc()


def _use_numpy() -> None:
    values = np.array([3.0, 1.0, 2.0, 5.0, 4.0, 7.0, 6.0])
    broken = np.array([1.0, np.nan, 3.0])
    for function in (
        "median", "mean", "std", "var", "ptp", "sort", "argsort", "cumsum", "cumprod", "diff", "gradient", "unique",
        "histogram", "nanmean", "nanstd", "nanmedian", "nanmax", "nanmin", "isnan", "sign", "flip", "trim_zeros",
        "argmax", "any", "all", "corrcoef", "cov", "ediff1d", "unwrap", "nan_to_num", "isclose",
    ):  # fmt: skip
        arguments: tuple[Any, ...] = (values, values) if function in ("corrcoef", "cov", "isclose") else (values,)
        getattr(np, function)(*arguments)
    np.nanpercentile(broken, 50), np.percentile(values, [5, 95]), np.quantile(values, 0.5, method="weibull")
    np.polyfit(np.arange(7.0), values, 2), np.polyval([1.0, 2.0], 3.0), np.poly1d([1, 2]), np.roots([1, -3, 2])
    np.polynomial.Polynomial.fit(np.arange(7.0), values, 2), np.polynomial.chebyshev.chebval(0.5, [1, 2])
    np.convolve(values, np.ones(3) / 3, "valid"), np.correlate(values, values, "same"), np.interp(2.5, values, values)
    np.linalg.lstsq(np.vstack([values, np.ones(7)]).T, values, rcond=None), np.linalg.inv(np.eye(3) * 2)
    np.linalg.svd(np.eye(3)), np.linalg.eig(np.eye(3)), np.linalg.norm(values), np.linalg.det(np.eye(2))
    (
        np.linalg.solve(np.eye(2), np.ones(2)),
        np.linalg.cholesky(np.eye(2)),
        np.linalg.eigh(np.eye(2)),
        np.linalg.qr(np.eye(2)),
    )
    (
        np.linalg.pinv(np.eye(2)),
        np.linalg.matrix_rank(np.eye(2)),
        np.dot(np.eye(50), np.eye(50)),
        np.einsum("ij,jk", np.eye(2), np.eye(2)),
    )
    np.fft.rfft(values), np.fft.irfft(np.fft.rfft(values)), np.fft.fft(values), np.fft.fftfreq(7)
    np.lib.stride_tricks.sliding_window_view(values, 3), np.pad(values, 2, mode="edge"), np.where(values > 3)
    (
        np.ma.masked_invalid(broken).mean(),
        np.apply_along_axis(np.sum, 0, np.eye(3)),
        np.vectorize(lambda x: x + 1)(values),
    )
    np.select([values > 3], [values], 0), np.piecewise(values, [values > 3], [1, 0]), np.searchsorted(values, 3)
    (
        np.datetime64("2024-03-01T12:00") + np.timedelta64(1, "D"),
        np.array(["2024-03-01"], dtype="datetime64[D]").astype("int64"),
    )
    np.busday_count("2024-01-01", "2024-02-01"), np.is_busday("2024-01-01")
    str(values), repr(np.eye(3)), str(values[:0]), f"{values[0]:.3f}", np.array2string(values, precision=2)
    (
        repr(np.array([1 + 2j, True, None], dtype=object)),
        repr(np.array([b"a", b"b"])),
        str(np.float64(1.5)),
        repr(np.float64(1)),
    )
    (
        np.char.upper(np.array(["a", "b"])),
        np.strings.add(np.array(["a"]), np.array(["b"])),
        np.array(["a", "bc"]).astype("U5"),
    )
    records = np.array([(1, 2.0)], dtype=[("a", "i8"), ("b", "f8")])
    (
        records["a"],
        repr(records),
        records.view(np.recarray).a,
        np.dtype("f8").name,
        repr(np.dtype([("a", "i8")])),
        str(np.dtype("M8[ns]")),
    )
    (
        np.array([1, 2]).tobytes(),
        np.frombuffer(b"12345678"),
        np.fromiter(range(3), float),
        np.array(b"1 2".split(), float),
    )
    (
        np.meshgrid(values, values),
        np.mgrid[0:2, 0:2],
        np.r_[1:3, 5],
        np.ix_([0], [1]),
        np.triu(np.eye(3)),
        np.kron(np.eye(2), np.eye(2)),
    )
    (
        np.tensordot(np.eye(2), np.eye(2)),
        np.cross([1, 0, 0], [0, 1, 0]),
        np.trapezoid(values),
        np.bincount([1, 2]),
        np.digitize(values, [2, 4]),
    )
    (
        np.lexsort((values, values)),
        np.partition(values, 3),
        np.array_split(values, 3),
        np.block([[np.eye(2)]]),
        np.intersect1d([1], [1]),
    )
    (
        np.result_type(np.int8, np.float64),
        np.iinfo(np.int64),
        np.finfo(np.float64).eps,
        repr(np.finfo(np.float64)),
        np.finfo(np.float32),
    )
    (
        np.nan_to_num(broken),
        np.format_float_positional(1.5),
        np.mask_indices(3, np.triu),
        np.asmatrix(np.eye(2)),
        repr(np.asmatrix(np.eye(2))),
    )
    with np.errstate(all="warn"):
        np.log(np.zeros(1)), np.zeros(1) / np.zeros(1), np.exp(np.full(1, 1e9))
    loose: Any = np
    for wrong in (
        lambda: np.zeros(2) + np.zeros(3), lambda: np.linalg.inv(np.zeros((2, 2))), lambda: np.zeros(2)[5],
        lambda: np.ones(2).reshape(3), lambda: np.array([1]) + "a", lambda: np.concatenate([np.eye(2), np.ones(3)]),
        lambda: np.array([1, 2]).astype("M8[x]"), lambda: np.zeros(2).mean(axis=4), lambda: np.array("a") + 1,
        lambda: loose.zeros(2).sum(where="x"), lambda: loose.add(1, 2, 3, 4, 5), lambda: np.empty(2**62),
        lambda: np.array([1], dtype="i8").view("f3"), lambda: np.polyfit([1], [1, 2], 1),
        lambda: np.array([1.5]).astype("i4", casting="safe"), lambda: np.add(1, "a"),
    ):  # fmt: skip
        with contextlib.suppress(Exception):
            wrong()
        try:
            wrong()
        except Exception as error:
            str(error), repr(error)


def _use_random() -> None:
    numbers = np.random.default_rng(1)
    (
        numbers.normal(size=3),
        numbers.choice([1, 2, 3]),
        numbers.integers(5),
        numbers.permutation(3),
        numbers.standard_t(3),
    )
    np.random.RandomState(1).randn(2), copy.deepcopy(numbers).random()
    generator = random.Random(1)  # noqa: S311 - as a strategy does
    generator.gauss(0, 1), generator.sample(range(9), 3), generator.choices("ab", [1, 2])


@contextlib.contextmanager
def _quiet(journal: Journal) -> Iterator[None]:
    before = sys.stdout
    sys.stdout = journal
    try:
        yield
    finally:
        sys.stdout = before


def _use_strategies() -> None:
    """Check, build and run one strategy of each contract, as a worker does."""
    empty = msgspec.Raw(msgspec.msgpack.encode({}))
    bar = BarInput("A", "1m", 0, 1, 1.0, 2.0, 0.5, 1.5, 1.0, 1.0, 1.0, 1)
    for source in _SOURCES:
        journal = Journal(65_536)
        with _quiet(journal):
            load = Load(1, "preload", "1", "strategy.py", source, (("A", "1m"),), empty, 200, True)
            contract = program.built(load, journal, language_rules=True)
            for _ in range(3):
                contract.handle(bar, 0)
            contract.handle(TimerInput(2), 0)
            contract.save()
        journal.take()
    program.forget()


_SOURCES: Final = (
    """
from __future__ import annotations
import logging
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple, Optional
import numpy as np
from actors.strategies.sdk import Parameter, Signal

PARAMETERS = {"period": Parameter.int(14, least=2, most=200, description="bars")}

class Side(Enum):
    BUY = "BUY"

class Level(NamedTuple):
    price: float

@dataclass(frozen=True)
class State:
    count: int = 0
    levels: list = field(default_factory=list)

def generate_signal(data, parameters):
    logging.getLogger(__name__).warning("%s of %d", State(), 2)
    print(np.median(data["A"].close), data, Level(1.0), f"{data['A'].close[-1]:.2f}")
    match Side.BUY:
        case Side.BUY:
            return {"action": Side.BUY, "confidence": np.float64(0.5), "metadata": {"a": np.arange(2)}}
""",
    """
class Strategy:
    def __init__(self):
        self.count = 0

    def generate_signals(self, data, parameters):
        self.count += 1
        return [{"action": "HOLD", "stop_loss": 1.0}]

    def on_save(self):
        return {"count": self.count}
""",
    """
from actors.strategies.sdk import Bar, BaseStrategy, Parameter, indicators

class Preload(BaseStrategy):
    period = Parameter.int(2, least=2)

    def on_bar(self, bar: Bar) -> None:
        self.data.rsi(bar.symbol, self.period), self.data.bollinger_bands(bar.symbol, 2), self.data.macd(bar.symbol)
        indicators.sma(self.data.get_bars(bar.symbol), 2)
        self.record_metric("count", self.context.bar_count)
        self.log(str(self.context.current_time))
        self.buy(bar.symbol, confidence=0.6, metadata={"a": 1})
""",
)
