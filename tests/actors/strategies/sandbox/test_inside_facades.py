"""What a strategy can import and call, and that no way leads from there to the modules behind."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from actors.strategies.sandbox import wire
from actors.strategies.sandbox.inside import facades, loop, names, program
from actors.strategies.sandbox.inside.clock import CLOCK
from actors.strategies.sandbox.inside.facade import Facade, names_of
from actors.strategies.sandbox.inside.journal import Journal
from tests.actors.strategies.sandbox.serving import Serving, load


@pytest.fixture(scope="module", autouse=True)
def _prepared() -> Iterator[None]:
    loop.prepare()
    yield
    program.forget()


@pytest.fixture(scope="module")
def serving() -> Iterator[Serving]:
    serving = Serving()
    yield serving
    serving.close()


def run(source: str) -> dict[str, Any]:
    """The names of a source that the rules accept and that was run."""
    return program.executed(source, "strategy.py", language_rules=True)


def all_facades() -> list[tuple[str, Facade]]:
    found = {**facades._facades(), **facades._EXTRA}
    return sorted(found.items())


def test_no_facade_shows_a_module_or_a_private_name() -> None:
    for name, facade in all_facades():
        for each in vars(facade):
            assert not isinstance(vars(facade)[each], ModuleType), f"{name}.{each}"
            assert each == "_called" or not each.startswith("_") or name == "numpy", f"{name}.{each}"
    assert "_called" not in names_of(facades._facades()["numpy"])


def test_numpy_has_neither_files_nor_memory_of_others() -> None:
    numpy = facades.find("numpy")
    assert numpy is not None
    for name in (
        "load", "save", "savez", "savez_compressed", "savetxt", "loadtxt", "genfromtxt", "fromfile", "fromregex",
        "memmap", "DataSource", "ctypeslib", "f2py", "testing", "core", "sys", "os", "bmat", "from_dlpack", "rec",
    ):  # fmt: skip
        assert not hasattr(numpy, name), name
    assert names_of(numpy.lib) == {"stride_tricks"}
    assert names_of(numpy.lib.stride_tricks) == {"sliding_window_view"}


def test_a_missing_name_is_not_found_among_loaded_modules() -> None:
    assert "numpy.testing" in sys.modules or __import__("numpy.testing")
    facade = facades.imported("numpy")
    with pytest.raises(ImportError):
        exec("from numpy import testing", {"__builtins__": {"__import__": lambda *_: facade}})
    with pytest.raises(ImportError, match="numpy has no testing"):
        facades.imported("numpy", fromlist=("testing",))


def test_an_import_of_what_is_loaded_for_others_gives_nothing_to_hold() -> None:
    given = facades.imported("os", None, None, [], 0)
    assert names_of(given) == frozenset()


@pytest.mark.parametrize(
    "statement",
    ["import numpy as x", "import numpy.random as x", "from numpy import random as x", "import collections.abc as x",
     "import actors.strategies.sdk as x", "import numpy.lib.stride_tricks as x", "import talib as x"],
)  # fmt: skip
def test_every_form_of_an_import_gives_a_facade(statement: str) -> None:
    assert type(run(statement)["x"]) is Facade


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("import numpy as np\nnp.mean = 1", "what was imported cannot be changed"),
        ("import numpy as np\ndel np.mean", "what was imported cannot be changed"),
        ("import math\nsetattr(math, 'pi', 3)", "what was imported cannot be changed"),
        ("getattr(1, '__class__')", "__class__ cannot be used"),
        ("getattr(1, '_' * 2 + 'class' + '_' * 2)", "__class__ cannot be used"),
        ("x = (1 for _ in ())\ngetattr(x, 'gi_' + 'frame')", "gi_frame cannot be used"),
        ("setattr(type('')('x'), '__class__', 1)", "__class__ cannot be used"),
        ("class A: pass\nsetattr(A, '__' + 'match_args__', ('x',))", "__match_args__ cannot be used"),
        ("class A: pass\nsetattr(A, '__' + 'len__', 1)", "not read by their text"),
        ("class S(str): pass\ngetattr(1, S('real'))", "attribute name must be string"),
        ("getattr('{0.real}', 'for' + 'mat')", "use an f-string"),
        ("getattr(str, 'for' + 'mat')", "use an f-string"),
        ("delattr(object, '__doc__')", "__doc__ cannot be set"),
        ("import operator\noperator.attrgetter('real.__class__')(1)", "__class__ cannot be used"),
        ("import operator\noperator.methodcaller('__reduce__')(1)", "__reduce__ cannot be used"),
        ("import operator\noperator.methodcaller('for' + 'mat')('{0.real}')", "use an f-string"),
        ("import functools\nfunctools.reduce(getattr, ['__self__'], len)", "__self__ cannot be used"),
        ("import functools\nfunctools.update_wrapper(print, len, ('__self__',))", "takes 2 positional arguments"),
        ("type('A', (), {})", "takes 1 argument"),
        ("type(1.0)\ntype(int)('A', (), {})", "takes 1 argument"),
        ("class M(type): pass", "type cannot be a base class"),
        ("from abc import ABC, ABCMeta\ntype(ABC)('A', (), {})", "takes 1 argument"),
        ("from abc import ABCMeta\nABCMeta('A', (), {'__subclasshook__': 1})", "__subclasshook__ cannot be defined"),
        ("from abc import ABCMeta\nABCMeta('A', (), {'__match_args__': ('gi_frame',)})", "gi_frame cannot be"),
        ("from abc import ABCMeta\nclass M(ABCMeta): pass", "ABCMeta cannot be a base class"),
        ("from collections import namedtuple\nnamedtuple('A', 'x gi_frame')", "gi_frame cannot be the name"),
        ("from typing import NamedTuple\nNamedTuple('A', [('tb_frame', int)])", "tb_frame cannot be the name"),
        ("from typing import TypedDict\nfrom dataclasses import dataclass\n"
         "dataclass(TypedDict('A', {'x=print(1)': int}))", "expected the name of a field"),
        ("from typing import TypedDict\nfrom dataclasses import dataclass\n"
         "dataclass(TypedDict('A', {'gi_frame': int}))", "gi_frame cannot be the name"),
        ("import json\njson.loads('{')", "Expecting property name"),
        ("raise SystemExit('bye')", "bye"),
    ],
)  # fmt: skip
def test_what_the_rules_cannot_read_is_refused_when_it_runs(source: str, error: str) -> None:
    with pytest.raises(BaseException, match=error):
        run(source)


def test_builtins_have_no_names_that_open_or_evaluate() -> None:
    given = facades.builtins_of_strategies()
    for name in (*names.FORBIDDEN_BUILTINS, "copyright", "credits", "license", "__loader__", "__spec__"):
        assert name not in given
    assert given is not facades.builtins_of_strategies()


def test_hasattr_says_no_to_what_must_not_be_read() -> None:
    found = run("found = hasattr(1, '__class__'), hasattr(1, 'real'), hasattr([], '__len__'), hasattr(1, '_x')")[
        "found"
    ]
    assert found == (False, True, True, False)


def test_type_tells_classes_and_makes_none() -> None:
    source = """
class A: pass
found = (type(1) is int, type(A()) is A, isinstance(A, type), isinstance(1, type), type(A) is type, type(A()).__name__)
def kinds(x: type[A], y: type | None = None) -> type: return x
"""
    assert run(source)["found"] == (True, True, True, False, True, "A")


def test_randomness_follows_from_the_strategys_id() -> None:
    source = (
        "import random\nimport numpy as np\n"
        "found = (random.random(), np.random.rand(), np.random.default_rng().random(), random.Random().random())"
    )
    facades.seed("one")
    first = run(source)["found"]
    facades.seed("two")
    second = run(source)["found"]
    facades.seed("one")
    assert run(source)["found"] == first
    assert first[0] != second[0]
    assert first[1] != second[1]
    assert first[2:] == second[2:]  # a generator of its own begins at 0


def test_time_is_that_of_the_input() -> None:
    CLOCK.now = 1_709_294_400_123_456_789
    source = """
import time
import datetime
from datetime import date, datetime as dt, UTC, timedelta
now = dt.now(UTC)
found = (time.time_ns(), time.time(), now.isoformat(), dt.utcnow().isoformat(), date.today().isoformat())
later = now + timedelta(days=1)
checks = [isinstance(later, dt), isinstance(later, date), isinstance(now.date(), date), type(later) is dt]
checks.append(dt.now() < later.replace(tzinfo=None))
plain = datetime.datetime(2024, 3, 1, tzinfo=UTC)
text = time.strftime("%Y-%m-%d"), time.localtime().tm_hour
"""
    told = run(source)
    assert told["found"] == (
        1_709_294_400_123_456_789, 1_709_294_400.1234567, "2024-03-01T12:00:00.123456+00:00",
        "2024-03-01T12:00:00.123456", "2024-03-01",
    )  # fmt: skip
    assert all(told["checks"])
    assert told["text"] == ("2024-03-01", 12)
    assert "sleep" not in names_of(facades._facades()["time"])


def test_logging_goes_to_the_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(10_000)
    monkeypatch.setattr(sys, "stdout", journal)
    run("import logging\nlog = logging.getLogger('x')\nlog.setLevel(logging.INFO)\nlog.debug('no')\n"
        "log.warning('a %s', 1)\nlogging.error('%(b)s', {'b': 2})\nprint('c', 3)")  # fmt: skip
    lines, cut = journal.take()
    assert [(line.level, line.text) for line in lines] == [("warning", "a 1"), ("error", "2"), ("info", "c 3")]
    assert cut == 0


def test_filters_of_warnings_come_back() -> None:
    import warnings

    before = list(warnings.filters)
    run("import warnings\nwith warnings.catch_warnings():\n warnings.simplefilter('ignore')\n warnings.warn('x')")
    assert list(warnings.filters) == before


def test_names_that_two_underscores_hide_stay_the_classes_own() -> None:
    source = """
class A:
    def __init__(self): self.__x = 1
    def get(self): return self.__x
class B(A):
    def __init__(self):
        super().__init__()
        self.__x = 2
found = B().get()
"""
    assert run(source)["found"] == 1


ORDINARY = """
import contextlib, copy, enum, functools, itertools, json, math, operator, re, statistics, string, typing
from dataclasses import KW_ONLY, InitVar, asdict, astuple, dataclass, field, fields, is_dataclass, replace
from typing import Any, NamedTuple, Protocol, TypedDict, runtime_checkable
import numpy as np

class Kind(enum.Enum):
    A = "a"
    B = "b"
    def __new__(cls, value):
        made = object.__new__(cls)
        made._value_ = value
        return made

class Row(NamedTuple):
    a: int
    b: float = 2.0

class Options(TypedDict, total=False):
    a: int

@runtime_checkable
class Sized(Protocol):
    def size(self) -> int: ...

@dataclass(slots=True, order=True)
class Point:
    x: float
    _: KW_ONLY
    y: float = 0.0
    seed: InitVar[int] = 3
    items: list[int] = field(default_factory=list, compare=False)
    def __post_init__(self, seed): self.y += seed
    def size(self): return 2

point = Point(1.0, y=2.0)
found = {
    "kind": Kind.A.value, "row": Row(1)._asdict(), "options": Options(a=1), "sized": isinstance(point, Sized),
    "dict": asdict(point), "tuple": astuple(point), "fields": [each.name for each in fields(point)],
    "replaced": replace(point, x=3.0, seed=0).x, "is": is_dataclass(Point), "copy": copy.deepcopy(point) == point,
    "match": None, "np": float(np.array([1.0, 2.0]).std()), "members": list(Kind.__members__),
    "wrapped": functools.wraps(print)(lambda: 1).__name__, "cached": functools.cache(lambda: 4)(),
    "mode": statistics.mode([1, 1, 2]), "group": [list(g) for _, g in itertools.groupby("aab")],
    "version": np.__version__ > "1", "repr": repr(np)[:14],
}
match point:
    case Point(x, y=y):
        found["match"] = (x, y)
"""


def test_ordinary_machinery_of_the_standard_library_works() -> None:
    found = run(ORDINARY)["found"]
    assert found["dict"] == {"x": 1.0, "y": 5.0, "items": []}
    assert found["match"] == (1.0, 5.0)
    assert found["members"] == ["A", "B"]
    assert found["sized"]
    assert found["copy"]
    assert found["np"] == 0.5


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("from abc import ABC\nclass A(ABC): pass\nA.register(type(x for x in ()))", "only classes of the strategy"),
        ("from abc import ABC\nclass A(ABC): pass\nclass B: pass\nA.register(B)\nprint(isinstance(B(), A))", "True"),
        ("import enum\nenum.Enum('E', {'__reduce_ex__': 1, 'A': 2})", "expected the name of a member"),
        ("import enum\nenum.Enum('E', [('__eq__', 1)])", "expected the name of a member"),
        ("import enum\nprint([*enum.Enum('E', 'A B')], enum.Enum('F', {'C': 3}).C.value, enum.Enum('G', ['D']).D)",
         "[<E.A: 1>, <E.B: 2>] 3 G.D"),
        ("import numpy as np\nclass A:\n def __getattr__(self, name):\n  if name == '__array_interface__':\n"
         "   return {'shape': (8,), 'typestr': '|u1', 'data': (id(len), True), 'version': 3}\n"
         "  raise AttributeError(name)\nprint(np.asarray(A()).dtype)", "object"),
        ("class A:\n def __getattr__(self, name): return name\nprint(A().x, A().y)", "x y"),
        ("class A:\n __getattr__ = print", "__getattr__ has to be a function"),
        ("class A:\n __match_args__ = ('x', 'y')\nclass B(A): pass\nprint(1)", "1"),
        ("import typing\ndef f(self): return self._evaluate({}, {}, frozenset())\n", "_evaluate cannot be used"),
    ],
)  # fmt: skip
def test_ways_round_the_rules_are_closed_in_a_worker(source: str, message: str, serving: Serving) -> None:
    with serving.worker() as worker:
        reply = worker.call(load(source + "\ndef generate_signal(data, parameters): return None\n"))
    told = reply.message if isinstance(reply, wire.Failed) else str(reply)
    assert message in told
