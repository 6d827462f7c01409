"""Floods: logs, print, signals, metadata, metrics, giant texts; more than the node is willing to hear."""

# ruff: noqa: E501 - a source is a line

from __future__ import annotations

from typing import Final

from tests.actors.strategies.sandbox.corpus.attack import Attack, attack


def _floods(name: str, source: str, *, whole: bool = False, **more: object) -> Attack:
    return attack(name, "floods", "node", "node", source, bare=False, whole=whole, **more)  # type: ignore[arg-type]


def _returns(value: str) -> str:
    return f"def generate_signal(data, parameters):\n    return {value}\n"


ATTACKS: Final[tuple[Attack, ...]] = (
    _floods("print without end", "def attack():\n    while True:\n        print('x' * 1000)\n", call_s=0.2),
    _floods("one print of many megabytes", "def attack():\n    print('x' * 20_000_000)\n", steps=("run",) * 4),
    _floods("many small prints", "def attack():\n    for i in range(200_000):\n        print(i)\n", call_s=2.0),
    _floods(
        "prints at every input",
        "def generate_signal(data, parameters):\n    print('y' * 60_000)\n",
        whole=True,
        steps=("run_many", "run_many", "run", "run", "run"),
    ),
    _floods("print of many arguments", "def attack():\n    print(*range(500_000))\n"),
    _floods("print with a giant end", "def attack():\n    print('a', end='b' * 10_000_000, sep='c' * 10_000_000)\n"),
    _floods(
        "print to where the node's output is", "import sys\ndef attack():\n    print('x' * 100_000, file=sys.stderr)\n"
    ),
    _floods(
        "print to a thing of its own",
        "class F:\n    def write(self, text):\n        while True:\n            pass\ndef attack():\n    print('a', file=F())\n",
        call_s=0.2,
    ),
    _floods(
        "warnings",
        "import warnings\ndef attack():\n    for i in range(10_000):\n        warnings.warn('x' * 10_000 + str(i))\n",
    ),
    _floods(
        "an error of many megabytes",
        "def generate_signal(data, parameters):\n    raise ValueError('x' * 30_000_000)\n",
        whole=True,
    ),
    _floods(
        "an error type with a giant name",
        "def generate_signal(data, parameters):\n    raise type('E' * 1_000_000, (ValueError,), {})('x')\n",
        whole=True,
    ),
    _floods("ten thousand signals", _returns("[{'action': 'BUY', 'confidence': 0.5}] * 10_000"), whole=True),
    _floods(
        "sixty-four signals at each of many inputs, with metadata",
        _returns("[{'action': 'BUY', 'confidence': 0.5, 'metadata': {'a': 'x' * 16_000}}] * 64"),
        whole=True,
        steps=("run_many",),
    ),
    _floods(
        "metadata of many megabytes",
        _returns("{'action': 'BUY', 'confidence': 0.5, 'metadata': {'a': 'x' * 9_000_000}}"),
        whole=True,
    ),
    _floods(
        "metadata of many keys",
        _returns("{'action': 'BUY', 'confidence': 0.5, 'metadata': dict.fromkeys(map(str, range(300_000)), 0)}"),
        whole=True,
    ),
    _floods(
        "a giant trend",
        _returns("{'action': 'BUY', 'confidence': 0.5, 'trend': 'x' * 9_000_000}"),
        whole=True,
    ),
    _floods("a giant unknown key", _returns("{'action': 'BUY', 'x' * 9_000_000: 1}"), whole=True),
    _floods(
        "metrics without end",
        "from actors.strategies.sdk import BaseStrategy\n"
        "class S(BaseStrategy):\n    def on_bar(self, bar):\n"
        "        for i in range(100_000):\n            self.record_metric('m' * 100 + str(i), float(i))\n",
        whole=True,
        steps=("run", "run_many"),
    ),
    _floods(
        "a metric with a giant name",
        "from actors.strategies.sdk import BaseStrategy\n"
        "class S(BaseStrategy):\n    def on_bar(self, bar):\n        self.record_metric('m' * 9_000_000, 1.0)\n",
        whole=True,
    ),
    _floods(
        "an SDK strategy's log",
        "from actors.strategies.sdk import BaseStrategy\n"
        "class S(BaseStrategy):\n    def on_bar(self, bar):\n"
        "        for i in range(20_000):\n            self.log('x' * 1000)\n",
        whole=True,
    ),
    _floods(
        "a state beyond its size",
        "class Strategy:\n    def generate_signal(self, data, parameters):\n        return None\n"
        "    def on_save(self):\n        return {'a': 'x' * 5_000_000}\n",
        whole=True,
        steps=("run", "save", "run"),
    ),
    _floods(
        "a thousand parameters",
        "from actors.strategies.sdk import Parameter\n"
        "PARAMETERS = {'p' + str(i): Parameter.int(1, least=0, most=2, description='x' * 900) for i in range(1000)}\n"
        "def generate_signal(data, parameters):\n    return None\n",
        whole=True,
    ),
    _floods(
        "a default of many megabytes",
        "from actors.strategies.sdk import Parameter\n"
        "PARAMETERS = {'p': Parameter.str('x' * 9_000_000)}\n"
        "def generate_signal(data, parameters):\n    return None\n",
        whole=True,
    ),
    _floods(
        "a strategy with a giant name",
        "Strategy = type('S' * 900_000, (), {'generate_signal': lambda self, data, parameters: None})\n",
        whole=True,
    ),
    _floods(
        "five thousand problems",
        "import os\n" * 5000 + "def attack():\n    return 1\n",
    ),
    _floods(
        "bytes without end on the data socket",
        "import os\ndef attack():\n"
        "    for fd in range(3, 64):\n"
        "        try:\n            os.write(fd, b'')\n"
        "        except OSError:\n            continue\n"
        "        while True:\n            os.write(fd, b'x' * 65536)\n",
        call_s=0.5,
        ends=("protocol", "timeout", "crashed"),
    ),
    _floods(
        "text on the standard outputs",
        "import os\ndef attack():\n    for fd in (0, 1, 2):\n"
        "        try:\n            os.write(fd, b'@MARK@' * 1000)\n        except OSError:\n            pass\n",
    ),
)
