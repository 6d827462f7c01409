"""Shared state: what one strategy changes must be felt by no other, running or started later.

A neighbour's answers to the same inputs are compared before and after, and so are those of a worker made afterwards.
"""

# ruff: noqa: E501 - a source is a line

from __future__ import annotations

from typing import Final

from tests.actors.strategies.sandbox.corpus.attack import Aim, Attack, attack

ALL: Final = "node"


def _changes(name: str, source: str, aim: Aim = "neighbour", **more: object) -> Attack:
    return attack(name, "state", aim, ALL, source, bare=False, **more)  # type: ignore[arg-type]


ATTACKS: Final[tuple[Attack, ...]] = (
    _changes(
        "a function of numpy's replaced",
        "import numpy as np\ndef attack():\n    np.mean = lambda *a, **k: 666.0\n    return np.mean([1])\n",
    ),
    _changes(
        "a function of math's replaced",
        "import math\ndef attack():\n    math.sqrt = lambda x: 666.0\n    return math.sqrt(4)\n",
    ),
    _changes("setattr on a facade", "import math\ndef attack():\n    setattr(math, 'pi', 3)\n    return math.pi\n"),
    _changes(
        "a facade emptied", "import math\ndef attack():\n    for n in list(dir(math)):\n        delattr(math, n)\n"
    ),
    _changes(
        "the builtins changed",
        "def attack():\n    b = __builtins__\n    (b if isinstance(b, dict) else vars(b))['len'] = lambda x: 666\n    return len('a')\n",
    ),
    _changes(
        "a global of the data's module",
        "def generate_signal(data, parameters):\n    for t in data.values():\n        type(t).close = 666\n        t.close[:] = 666\n",
        whole=True,
    ),
    _changes(
        "the window's arrays written",
        "def generate_signal(data, parameters):\n    for t in data.values():\n        t.close.flags.writeable = True\n        t.close[:] = 666.0\n",
        whole=True,
    ),
    _changes(
        "the random generator seeded",
        "import random\nimport numpy as np\ndef attack():\n    random.seed(1)\n    np.random.seed(1)\n    return random.random()\n",
    ),
    _changes(
        "numpy's error state",
        "import numpy as np\ndef attack():\n    np.seterr(all='raise')\n    np.seterrcall(lambda *a: None)\n",
    ),
    _changes(
        "numpy's print options",
        "import numpy as np\ndef attack():\n    np.set_printoptions(precision=1, formatter={'all': lambda x: 'owned'})\n",
    ),
    _changes("numpy's buffer size", "import numpy as np\ndef attack():\n    np.setbufsize(16)\n"),
    _changes(
        "numpy's default dtype by a constant's flags",
        "import numpy as np\ndef attack():\n    np.pi.real\n    np.False_.flags\n",
    ),
    _changes(
        "decimal's context",
        "import decimal\ndef attack():\n    decimal.getcontext().prec = 1\n    decimal.setcontext(decimal.Context(prec=1))\n    decimal.DefaultContext.prec = 1\n",
    ),
    _changes(
        "the cache of regular expressions",
        "import re\ndef attack():\n    re.purge()\n    for i in range(600):\n        re.compile('a' + str(i))\n",
    ),
    _changes("a type's attribute", "def attack():\n    int.__add__ = lambda a, b: 666\n"),
    _changes(
        "a cached number's digits by ctypes",
        "import ctypes\ndef attack():\n    ctypes.c_uint32.from_address(id(7) + 24).value = 8\n    return 7\n",
        call_s=0.4,
    ),
    _changes(
        "the integer cache by numpy",
        "import numpy as np\ndef attack():\n    class A:\n        __array_interface__ = {'shape': (1,), 'typestr': '<u4', 'data': (id(7) + 24, False), 'version': 3}\n    np.asarray(A())[0] = 8\n    return 7\n",
        call_s=0.4,
    ),
    _changes(
        "the environment",
        "import os\ndef attack():\n    os.environ['PYTHONHASHSEED'] = '1'\n    os.environ['TZ'] = 'Mars'\n",
    ),
    _changes("the working folder", "import os\ndef attack():\n    os.chdir('/tmp')\n", "kernel"),
    _changes("the file mode mask", "import os\ndef attack():\n    os.umask(0)\n"),
    _changes("sys.modules", "import sys\ndef attack():\n    sys.modules.clear()\n"),
    _changes(
        "sys.path and hooks",
        "import sys\ndef attack():\n    sys.path.insert(0, '@DIR@')\n    sys.meta_path.clear()\n    sys.excepthook = None\n",
    ),
    _changes(
        "sys.setswitchinterval and limits",
        "import sys\ndef attack():\n    sys.setrecursionlimit(50)\n    sys.setswitchinterval(1000)\n    sys.set_int_max_str_digits(0)\n",
    ),
    _changes("the collector switched off", "import gc\ndef attack():\n    gc.disable()\n    gc.freeze()\n"),
    _changes(
        "a function to run at the end",
        "import atexit, os\ndef attack():\n    atexit.register(open, '@DIR@/at-exit-@MARK@', 'w')\n",
    ),
    _changes(
        "a function to run at a fork",
        "import os\ndef attack():\n    os.register_at_fork(before=lambda: open('@DIR@/at-fork-@MARK@', 'w'))\n",
    ),
    _changes(
        "a finalizer to run at the end",
        "import weakref\nclass A:\n    pass\nKEEP = A()\ndef attack():\n    weakref.finalize(KEEP, print, 'late')\n",
    ),
    _changes(
        "a warning filter and a log handler",
        "import warnings, logging\ndef attack():\n    warnings.simplefilter('error')\n    logging.disable(100)\n",
    ),
    _changes("the locale", "import locale\ndef attack():\n    locale.setlocale(locale.LC_ALL, 'C')\n"),
    _changes(
        "the SDK's class changed",
        "from actors.strategies.sdk import BaseStrategy\nBaseStrategy.on_bar = lambda self, bar: 666\nBaseStrategy.owned = 666\ndef attack():\n    return 1\n",
    ),
    _changes(
        "the SDK's indicators replaced",
        "from actors.strategies.sdk import indicators\nindicators.sma = lambda *a, **k: 666\ndef attack():\n    return 1\n",
    ),
    _changes(
        "subclasses registered for others",
        "from actors.strategies.sdk import BaseStrategy\nclass A(BaseStrategy):\n    def __init_subclass__(cls):\n        raise ValueError\ndef attack():\n    return 1\n",
    ),
    _changes(
        "a state full of hostile text",
        "class Strategy:\n    def generate_signal(self, data, parameters):\n        return None\n    def on_save(self):\n        return {'\\x00': 'x' * 1000, 'a': [1, 2.5, None, True], '__class__': 'os'}\n    def on_load(self, state):\n        print(state)\n",
        whole=True,
        steps=("run", "save", "restore", "run"),
    ),
    _changes(
        "a state of hostile objects",
        "class D(dict):\n    def items(self):\n        raise MemoryError\n    def __iter__(self):\n        while True:\n            yield 'a'\nclass Strategy:\n    def generate_signal(self, data, parameters):\n        return None\n    def on_save(self):\n        return D(a=1)\n",
        whole=True,
        steps=("run", "save", "run"),
        call_s=0.3,
    ),
    _changes(
        "a state that contains itself",
        "class Strategy:\n    def generate_signal(self, data, parameters):\n        return None\n    def on_save(self):\n        a = []\n        a.append(a)\n        return a\n",
        whole=True,
        steps=("run", "save", "run"),
    ),
    _changes(
        "parameters with hostile values",
        "class Strategy:\n    def generate_signal(self, data, parameters):\n        parameters['a'] = self\n        parameters.clear()\n        return None\n",
        whole=True,
        steps=("run", "configure", "run"),
    ),
    _changes(
        "System V memory shared with a later one",
        "def attack():\n    return syscall(@nr:shmget@, @KEY@, 4096, 0o1666)\n",
        "kernel",
        raw=True,
    ),
    _changes("a file in shared memory", "def attack():\n    open('/dev/shm/@MARK@', 'w').write('x')\n", "files"),
    _changes(
        "a named semaphore",
        "def attack():\n    return _libc.sem_open(b'/@MARK@', 0o100, 0o666, 1)\n",
        "files",
        raw=True,
    ),
    _changes(
        "a file in the folder of temporary files", "def attack():\n    open('/tmp/@MARK@', 'w').write('x')\n", "files"
    ),
    _changes(
        "a key in the kernel",
        "def attack():\n    return syscall(@nr:add_key@, b'user', b'@MARK@', b'shared', 6, -5)\n",
        "kernel",
        raw=True,
        ends=("forbidden_syscall",),
    ),
    _changes("the hash secret", "def attack():\n    return hash('a'), hash('b')\n"),
)
