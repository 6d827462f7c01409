"""Time: loops in Python, in C, in numpy; loops that ignore signals or exceptions; a load that never ends.

The node's deadline ends the worker, whatever it does: none of these can breach even where every other layer is off.
"""

# ruff: noqa: E501 - a source is a line

from __future__ import annotations

from typing import Final

from tests.actors.strategies.sandbox.corpus.attack import Attack, attack


def _burns(name: str, source: str, **more: object) -> Attack:
    more.setdefault("ends", ("timeout",))
    return attack(name, "cpu", "deadline", "node", source, bare=False, call_s=0.15, **more)  # type: ignore[arg-type]


ATTACKS: Final[tuple[Attack, ...]] = (
    _burns("while True", "def attack():\n    while True:\n        pass\n"),
    _burns(
        "a loop that catches everything",
        "def attack():\n    while True:\n        try:\n            while True:\n                pass\n"
        "        except BaseException:\n            pass\n",
    ),
    _burns("a loop at import time", "while True:\n    pass\ndef attack():\n    pass\n"),
    _burns("a regular expression", "import re\ndef attack():\n    return re.match('(a+)+$', 'a' * 40 + 'b')\n"),
    _burns("a power", "def attack():\n    return len(str(7 ** 7 ** 9)) if (7 ** 7 ** 9) else 0\n"),
    _burns(
        "a product of large numbers",
        "def attack():\n    n = (1 << 60_000_000) - 1\n    return (n * n).bit_length()\n",
        ends=("timeout", "memory", "crashed", ""),
    ),
    _burns(
        "text of a large number",
        "def attack():\n    return int('7' * 4000) ** 20000 % 10 ** 9000 > 0 and pow(7, 10 ** 60000, 10 ** 6000 + 7)\n",
    ),
    _burns("sum of a large range", "def attack():\n    return sum(range(10 ** 12))\n"),
    _burns("in, over an endless iterator", "import itertools\ndef attack():\n    return -1 in itertools.count()\n"),
    _burns(
        "a deque fed without end",
        "import collections, itertools\ndef attack():\n    collections.deque(itertools.repeat(0), maxlen=0)\n",
    ),
    _burns(
        "max of an endless generator",
        "def attack():\n    def g():\n        while True:\n            yield 1\n    return max(g())\n",
    ),
    _burns(
        "a comparison that never ends",
        "class Slow:\n    def __lt__(self, other):\n        while True:\n            pass\n"
        "def attack():\n    return sorted([Slow(), Slow()])\n",
    ),
    _burns(
        "a comparison that takes long in a large sort",
        "import functools\ndef attack():\n"
        "    return sorted(range(10 ** 7), key=functools.cmp_to_key(lambda a, b: (sum(range(3000)), a - b)[1]))[0]\n",
        ends=("timeout", "memory", ""),
    ),
    _burns(
        "a product of matrices",
        "import numpy as np\ndef attack():\n    a = np.ones((1200, 1200))\n    while True:\n        a = a @ a / 1200\n",
    ),
    _burns(
        "a sort of numpy's, again and again",
        "import numpy as np\ndef attack():\n    a = np.arange(10 ** 6)[::-1]\n    while True:\n        np.sort(a)\n",
    ),
    _burns(
        "a finalizer that never ends",
        "class Stays:\n    def __del__(self):\n        while True:\n            pass\ndef attack():\n    Stays()\n",
    ),
    _burns(
        "a property of the result that never ends",
        "class R(dict):\n    def items(self):\n        while True:\n            pass\n    def get(self, *a):\n        while True:\n            pass\n    keys = __iter__ = items\n    def __getitem__(self, key):\n        while True:\n            pass\ndef generate_signal(data, parameters):\n    return R(action='BUY')\n",
        whole=True,
        ends=("timeout", ""),
    ),
    _burns(
        "an endless list of signals",
        "def generate_signal(data, parameters):\n    while True:\n        yield {'action': 'BUY'}\n",
        whole=True,
        ends=("timeout", "memory", ""),
    ),
    _burns("sleeping", "import time\ndef attack():\n    while True:\n        time.sleep(1)\n"),
    _burns(
        "a lock that nobody releases",
        "import threading\ndef attack():\n    lock = threading.Lock()\n    lock.acquire()\n    lock.acquire()\n",
    ),
    _burns(
        "waiting at import of its state",
        "def on_save():\n    while True:\n        pass\ndef attack():\n    return 1\n",
        steps=("run", "save"),
        ends=("timeout", ""),
    ),
    _burns(
        "waiting when its parameters change",
        "class Strategy:\n    def generate_signal(self, data, parameters):\n        return None\n"
        "    def on_save(self):\n        while True:\n            pass\n",
        whole=True,
        steps=("run", "save"),
        ends=("timeout", ""),
    ),
)
