"""Recursion: in Python, in C, in comparison, in text, in what is returned; the neighbours must not feel it."""

# ruff: noqa: E501 - a source is a line

from __future__ import annotations

from typing import Final

from tests.actors.strategies.sandbox.corpus.attack import Attack, attack


def _goes_deep(name: str, source: str, **more: object) -> Attack:
    return attack(name, "recursion", "neighbour", "node", source, bare=False, **more)  # type: ignore[arg-type]


ATTACKS: Final[tuple[Attack, ...]] = (
    _goes_deep("a function that calls itself", "def attack():\n    return attack()\n"),
    _goes_deep(
        "with the limit raised",
        "import sys\nsys.setrecursionlimit(10 ** 9)\ndef attack():\n    return attack()\n",
    ),
    _goes_deep(
        "RecursionError caught at each level",
        "def attack(depth=0):\n"
        "    try:\n        return attack(depth + 1)\n"
        "    except RecursionError:\n        return attack(0)\n",
        call_s=0.2,
    ),
    _goes_deep(
        "a chain of descriptors in C",
        "class A:\n    def __getattr__(self, name):\n        return getattr(self, name + 'a')\ndef attack():\n    return A().x\n",
        call_s=0.3,
    ),
    _goes_deep(
        "lists in lists, compared",
        "def attack():\n    a, b = [], []\n    for _ in range(100000):\n        a, b = [a], [b]\n    return a == b\n",
    ),
    _goes_deep(
        "lists in lists, dropped",
        "def attack():\n    a = []\n    for _ in range(1000000):\n        a = [a]\n    del a\n    return 1\n",
    ),
    _goes_deep(
        "a text of nested lists",
        "def attack():\n    a = []\n    for _ in range(100000):\n        a = [a]\n    return repr(a)\n",
    ),
    _goes_deep(
        "iterators in iterators",
        "import itertools\ndef attack():\n    i = iter([1])\n    for _ in range(200000):\n        i = itertools.chain(i)\n    return next(i)\n",
    ),
    _goes_deep(
        "filters in filters",
        "def attack():\n    i = iter([1])\n    for _ in range(200000):\n        i = filter(None, i)\n    return next(i)\n",
    ),
    _goes_deep(
        "partial in partial",
        "import functools\ndef attack():\n    f = lambda: 1\n    class P(functools.partial):\n        pass\n    for _ in range(200000):\n        g = P(f)\n        g.keep = f\n        f = g\n    return f()\n",
    ),
    _goes_deep(
        "generators in generators",
        "def attack():\n    def g(i):\n        yield from i\n    i = iter([1])\n    for _ in range(100000):\n        i = g(i)\n    return next(i)\n",
    ),
    _goes_deep(
        "a result that contains itself",
        "def generate_signal(data, parameters):\n    a = {'action': 'BUY'}\n    a['metadata'] = a\n    return a\n",
        whole=True,
    ),
    _goes_deep(
        "metadata a hundred thousand deep",
        "def generate_signal(data, parameters):\n    a = {}\n    for _ in range(100000):\n        a = {'a': a}\n"
        "    return {'action': 'BUY', 'confidence': 0.5, 'metadata': a}\n",
        whole=True,
    ),
    _goes_deep(
        "metadata of nested lists",
        "def generate_signal(data, parameters):\n    a = []\n    for _ in range(100000):\n        a = [a]\n"
        "    return {'action': 'BUY', 'confidence': 0.5, 'metadata': {'a': a}}\n",
        whole=True,
    ),
    _goes_deep(
        "a state a hundred thousand deep",
        "class Strategy:\n    def generate_signal(self, data, parameters):\n        return None\n"
        "    def on_save(self):\n        a = []\n        for _ in range(100000):\n            a = [a]\n        return {'a': a}\n"
        "    def on_load(self, state):\n        pass\n",
        whole=True,
        steps=("run", "save"),
    ),
    _goes_deep(
        "exceptions that cause each other",
        "def attack():\n    e = ValueError()\n    for _ in range(100000):\n        n = ValueError()\n        n.__cause__ = e\n        e = n\n    raise e\n",
    ),
    _goes_deep(
        "an exception group a thousand deep",
        "def attack():\n    e = ValueError()\n    for _ in range(5000):\n        e = ExceptionGroup('a', [e])\n    raise e\n",
    ),
    _goes_deep(
        "text that shows itself",
        "class A:\n    def __repr__(self):\n        return repr(self)\ndef attack():\n    return A()\n",
    ),
    _goes_deep(
        "an error whose text fails",
        "class E(Exception):\n    def __str__(self):\n        raise E()\n    __repr__ = __str__\ndef generate_signal(data, parameters):\n    raise E()\n",
        whole=True,
    ),
    _goes_deep(
        "a pattern of a regular expression in itself",
        "import re\ndef attack():\n    return re.compile('(' * 5000 + ')' * 5000)\n",
    ),
    _goes_deep(
        "a type of a type of a type",
        "def attack():\n    t = int\n    for i in range(3000):\n        t = type('T', (t,), {})\n    return t()\n",
    ),
    _goes_deep(
        "numpy's nested sequences",
        "import numpy as np\ndef attack():\n    a = []\n    for _ in range(5000):\n        a = [a]\n    return np.array(a, dtype=object).shape\n",
    ),
)
