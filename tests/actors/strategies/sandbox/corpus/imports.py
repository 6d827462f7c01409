"""Imports: what is not allowed, what an allowed module leads to, and ways around the import statement."""

# ruff: noqa: E501 - a source is a line

from __future__ import annotations

from typing import Final

from tests.actors.strategies.sandbox.corpus.attack import Attack, attack

ALL: Final = "language seccomp landlock"
USE: Final = """
def use(os):
    return os.read(os.open('@SECRET_FILE@', 0), 100)
"""


def _imports(name: str, source: str, **more: object) -> Attack:
    return attack(name, "imports", "secret", ALL, USE + source, **more)  # type: ignore[arg-type]


ATTACKS: Final[tuple[Attack, ...]] = (
    _imports("import os", "import os\ndef attack():\n    return use(os)\n"),
    _imports("import inside a function", "def attack():\n    import posix\n    return use(posix)\n"),
    _imports("import under another name", "import os as math\ndef attack():\n    return use(math)\n"),
    _imports(
        "from os import",
        "from os import open as o, read as r\ndef attack():\n    return r(o('@SECRET_FILE@', 0), 100)\n",
    ),
    _imports(
        "import star",
        "from os import *\ndef attack():\n    import builtins\n    return builtins.open('@SECRET_FILE@').read()\n",
    ),
    _imports("a submodule of an allowed module", "import os.path\ndef attack():\n    return use(os)\n"),
    _imports("importlib", "import importlib\ndef attack():\n    return use(importlib.import_module('os'))\n"),
    _imports(
        "importlib of an allowed package",
        "import importlib.util\ndef attack():\n    return use(importlib.util.sys.modules['os'])\n",
    ),
    _imports("a relative import", "from . import zygote\ndef attack():\n    return 1\n", bare=False),
    _imports(
        "the sandbox's own modules",
        "from actors.strategies.sandbox import wire\ndef attack():\n    return use(wire.struct.__loader__ and __import__('os'))\n",
    ),
    _imports(
        "the worker's loop",
        "from actors.strategies.sandbox.inside import loop\ndef attack():\n    return use(loop.os)\n",
    ),
    _imports(
        "the lock-down", "from actors.strategies.sandbox import lockdown\ndef attack():\n    return use(lockdown.os)\n"
    ),
    _imports("the runtime", "import runtime\ndef attack():\n    return use(__import__('sys').modules['os'])\n"),
    _imports("msgspec", "import msgspec\ndef attack():\n    import sys\n    return use(sys.modules['os'])\n"),
    _imports(
        "__main__",
        "import __main__\ndef attack():\n    return use(__main__.__loader__ and __import__('sys').modules['os'])\n",
    ),
    _imports("builtins", "import builtins\ndef attack():\n    return builtins.open('@SECRET_FILE@').read()\n"),
    _imports(
        "_frozen_importlib",
        "import _frozen_importlib\ndef attack():\n    return use(_frozen_importlib._gcd_import('posix'))\n",
    ),
    _imports("imp", "import _imp\ndef attack():\n    import sys\n    return use(sys.modules['posix'])\n"),
    _imports(
        "zipimport", "import zipimport\ndef attack():\n    return zipimport._io.open_code('@SECRET_FILE@').read()\n"
    ),
    _imports("pkgutil.resolve_name", "import pkgutil\ndef attack():\n    return use(pkgutil.resolve_name('os'))\n"),
    _imports("pydoc.locate", "import pydoc\ndef attack():\n    return use(pydoc.locate('os'))\n"),
    _imports(
        "code.InteractiveInterpreter",
        "import code\ndef attack():\n    n = {}\n    code.InteractiveInterpreter(n).runsource('import os')\n    return use(n['os'])\n",
    ),
    _imports(
        "timeit",
        "import timeit\ndef attack():\n    out = []\n    timeit.timeit(\"out.append(__import__('os'))\", number=1, globals={'out': out})\n    return use(out[0])\n",
    ),
    _imports(
        "cProfile",
        "import cProfile\ndef attack():\n    return cProfile.Profile().runcall(open, '@SECRET_FILE@').read()\n",
    ),
    _imports("doctest", "import doctest\ndef attack():\n    return use(doctest.os)\n"),
    _imports("antigravity of names: a dictionary's import", "def attack():\n    return use([__import__][0]('os'))\n"),
    _imports(
        "the import hook itself",
        "def attack():\n    f = __import__\n    return f('os', {'__builtins__': {}}, {}, ['open']) and use(f('os'))\n",
    ),
    _imports(
        "an import with a list of its own",
        "def attack():\n    class L(list):\n        def __iter__(self):\n            return iter(['a'])\n    return use(__import__('os', fromlist=L()))\n",
    ),
    _imports(
        "an import with a name whose class lies",
        "class N(str):\n    def __eq__(self, o):\n        return True\n    def __hash__(self):\n        return hash('math')\n    def split(self, *a):\n        return ['math']\n    def partition(self, *a):\n        return ('math', '', '')\ndef attack():\n    return use(__import__(N('os')))\n",
        bare=False,
    ),
    _imports("numpy.os", "import numpy as np\ndef attack():\n    return use(np.os)\n", bare=False),
    _imports("numpy.lib.npyio", "from numpy.lib import npyio\ndef attack():\n    return use(npyio.os)\n", bare=False),
    _imports("numpy.lib._npyio_impl", "import numpy.lib._npyio_impl as n\ndef attack():\n    return use(n.os)\n"),
    _imports(
        "numpy.ctypeslib",
        "import numpy.ctypeslib as c\ndef attack():\n    import sys\n    return use(sys.modules['os'])\n",
    ),
    _imports(
        "numpy.ctypeslib.load_library",
        "import numpy as np\ndef attack():\n    c = np.ctypeslib.load_library('libc.so.6', '/lib/x86_64-linux-gnu')\n    room = np.ctypeslib.ctypes.create_string_buffer(100)\n    c.read(c.open(b'@SECRET_FILE@', 0), room, 100)\n    return room.value\n",
        bare=False,
    ),
    _imports("numpy.f2py", "import numpy.f2py.crackfortran as f\ndef attack():\n    return use(f.os)\n"),
    _imports(
        "numpy.testing",
        "import numpy.testing as t\ndef attack():\n    return t.measure(\"print(open('@SECRET_FILE@').read())\") and use(t._private.utils.os)\n",
    ),
    _imports(
        "numpy.testing.rundocs",
        "from numpy.testing import rundocs\ndef attack():\n    return use(rundocs.__globals__['os'])\n",
    ),
    _imports("numpy.distutils", "import numpy.distutils as d\ndef attack():\n    return d\n", bare=False),
    _imports(
        "numpy._core",
        "from numpy._core import _internal\ndef attack():\n    return _internal.sys.modules['posix'] and use(_internal.sys.modules['os'])\n",
    ),
    _imports("numpy.core", "import numpy.core as c\ndef attack():\n    return use(c.sys.modules['os'])\n", bare=False),
    _imports(
        "numpy.random's insides",
        "from numpy.random import _pickle\ndef attack():\n    return _pickle.__loader__ and _pickle.__builtins__['open']('@SECRET_FILE@').read()\n",
    ),
    _imports("numpy.ma's modules", "import numpy.ma as m\ndef attack():\n    return use(m.core.inspect.os)\n"),
    _imports(
        "numpy.polynomial's modules", "import numpy.polynomial as p\ndef attack():\n    return use(p._polybase.os)\n"
    ),
    _imports("numpy.lib.utils' source", "import numpy as np\ndef attack():\n    return use(np.lib._utils_impl.os)\n"),
    _imports(
        "numpy's eval of text",
        "import numpy as np\ndef attack():\n    return np.safe_eval(\"1\") and np.matrix('1 2')\n",
        bare=False,
    ),
    _imports(
        "np.bmat evaluates names in the caller's frame",
        "import numpy as np\ndef attack():\n    __builtins__x = 1\n    return np.bmat('a,a', ldict={'a': np.ones((1, 1))}, gdict={}) is None\n",
        bare=False,
    ),
    _imports(
        "numpy's show_config",
        "import numpy as np\ndef attack():\n    return np.show_config.__globals__['__builtins__']['open']('@SECRET_FILE@').read()\n",
        bare=False,
    ),
    _imports(
        "np.info and np.lookfor",
        "import numpy as np\ndef attack():\n    class F:\n        def write(self, text):\n            pass\n    return np.info(len, output=F()) or np.info.__globals__['np'].lib._utils_impl.os and use(np.info.__globals__['np'].lib._utils_impl.os)\n",
        bare=False,
    ),
    _imports("a module's __getattr__", "import numpy\ndef attack():\n    return use(numpy.__getattr__('f2py').os)\n"),
    _imports(
        "numpy.dtype's metadata",
        "import numpy as np\ndef attack():\n    return np.dtype('V8', metadata={'o': len}).metadata['o'].__self__.open('@SECRET_FILE@').read()\n",
    ),
    _imports(
        "talib",
        "import talib\ndef attack():\n    return use(talib.os if hasattr(talib, 'os') else talib._ta_lib.__builtins__['__import__']('os'))\n",
        bare=False,
    ),
    _imports(
        "ctypes",
        "import ctypes\ndef attack():\n    c = ctypes.CDLL(None)\n    room = ctypes.create_string_buffer(100)\n    c.read(c.open(b'@SECRET_FILE@', 0), room, 100)\n    return room.value\n",
    ),
    _imports(
        "ctypes runs Python",
        "import ctypes\ndef attack():\n    f = ctypes.pythonapi.PyImport_ImportModule\n    f.restype = ctypes.py_object\n    return use(f(b'posix'))\n",
    ),
    _imports(
        "ctypes loads a library",
        "import ctypes\ndef attack():\n    return ctypes.CDLL('libutil.so.1') and use(__import__('os'))\n",
    ),
    _imports(
        "a library loaded from a made file",
        "import _ctypes\ndef attack():\n    return _ctypes.dlopen('/lib/x86_64-linux-gnu/libutil.so.1', 2) and use(__import__('os'))\n",
    ),
    _imports("cffi-like: _testcapi", "import _testcapi\ndef attack():\n    return _testcapi\n", bare=False),
    _imports(
        "readline, curses and others that open terminals", "import curses\ndef attack():\n    return use(curses._os)\n"
    ),
    _imports("site and its hooks", "import site\ndef attack():\n    return use(site.os)\n"),
    _imports("sysconfig", "import sysconfig\ndef attack():\n    return use(sysconfig.os)\n"),
    _imports(
        "distutils by setuptools", "import setuptools\ndef attack():\n    return use(setuptools.os)\n", bare=False
    ),
    _imports("pandas", "import pandas\ndef attack():\n    return pandas.read_csv('@SECRET_FILE@')\n", bare=False),
)
