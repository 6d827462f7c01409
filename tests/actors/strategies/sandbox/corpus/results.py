"""Bad results: what a strategy may return that is no signal. None of it may become one.

The breach is that the node gets a signal at all; where the contract takes the form (an object with a signal's fields, a
generator), or a value that it reads once (a number of a class of its own), that the node gets what no signal may hold.
"""

# ruff: noqa: E501 - a source is a line

from __future__ import annotations

from typing import Final

from tests.actors.strategies.sandbox.corpus.attack import Aim, Attack, attack

HEAD: Final = "import numpy as np\n"


def _returns(name: str, value: str, before: str = "", aim: Aim = "accepted") -> Attack:
    source = f"{HEAD}{before}def generate_signal(data, parameters):\n    return {value}\n"
    return attack(name, "results", aim, "node", source, whole=True, bare=False)


def _field(name: str, field: str, value: str, before: str = "", aim: Aim = "accepted") -> Attack:
    values = {"action": "'BUY'", "confidence": "0.5"} | {field: value}
    return _returns(name, "{" + ", ".join(f"{key!r}: {text}" for key, text in values.items()) + "}", before, aim)


ATTACKS: Final[tuple[Attack, ...]] = (
    _field("a confidence that is no number", "confidence", "float('nan')"),
    _field("an infinite confidence", "confidence", "float('inf')"),
    _field("a confidence of minus infinity", "confidence", "float('-inf')"),
    _field("a confidence above one", "confidence", "1.0000001"),
    _field("a negative confidence", "confidence", "-0.1"),
    _field("a confidence that is true", "confidence", "True"),
    _field("a confidence that is text", "confidence", "'0.9'"),
    _field("a confidence that is bytes", "confidence", "b'0.9'"),
    _field("a confidence that is complex", "confidence", "0.5 + 0j"),
    _field("a confidence in a list", "confidence", "[0.5]"),
    _field("a confidence that is an array", "confidence", "np.array([0.5, 0.6])"),
    _field("numpy's nan", "confidence", "np.float64('nan')"),
    _field("numpy's boolean", "confidence", "np.bool_(True)"),
    _field("a confidence of 10,000 digits", "confidence", "10 ** 10000"),
    _field("an object with __float__", "confidence", "E()", "class E:\n    def __float__(self):\n        return 0.7\n"),
    _field(
        "a float whose class lies",
        "confidence",
        "F(5)",
        "class F(float):\n    def __le__(self, o):\n        return True\n    def __ge__(self, o):\n        return True\n    def __float__(self):\n        return 0.5\n",
        aim="reply",
    ),
    _field(
        "an integer whose class lies",
        "confidence",
        "I(7)",
        "class I(int):\n    def __float__(self):\n        return 0.5\n    def __index__(self):\n        return 0\n",
        aim="reply",
    ),
    _field("an action that is none", "action", "'STEAL'"),
    _field("an action in another case with a space", "action", "' BUY '"),
    _field("an action in other letters", "action", "'ＢＵＹ'"),
    _field("an action that is a number", "action", "1"),
    _field("an action that is None", "action", "None"),
    _field("an action that is bytes", "action", "b'BUY'"),
    _field(
        "an action whose class lies",
        "action",
        "T('STEAL')",
        "class T(str):\n    def __eq__(self, o):\n        return o == 'BUY'\n    def __hash__(self):\n        return hash('BUY')\n    def upper(self):\n        return 'BUY'\n    def __str__(self):\n        return 'BUY'\n",
        aim="reply",
    ),
    _field("an action in a list", "action", "['BUY']"),
    _returns("no action", "{'confidence': 0.5}"),
    _field("a foreign symbol", "symbol", "'OTHER'"),
    _field("a symbol that is a number", "symbol", "1"),
    _field(
        "a symbol whose class lies",
        "symbol",
        "T('OTHER')",
        "class T(str):\n    def __eq__(self, o):\n        return True\n    def __hash__(self):\n        return hash('AAA')\n",
    ),
    _field("an empty symbol", "symbol", "''"),
    _field("a symbol with a path", "symbol", "'../AAA'"),
    _field("a symbol with a NUL", "symbol", "'AAA\\0'"),
    _field("another strategy's id", "strategy_id", "'neighbour'"),
    _field("a time of its own", "timestamp", "'2030-01-01T00:00:00Z'"),
    _field("a signal's id of its own", "signal_id", "'signal_1_abcdef00'"),
    _field("a state of its own", "status", "'EXECUTED'"),
    _field("an unknown key", "surprise", "1"),
    _field("a key that is a number", "confidence", "0.5, 7: 1"),
    _field("a key that is bytes", "confidence", "0.5, b'symbol': 1"),
    _field(
        "a key whose class lies",
        "confidence",
        "0.5, K('surprise'): 1",
        "class K(str):\n    def __eq__(self, o):\n        return True\n    def __hash__(self):\n        return hash('quantity')\n",
    ),
    _field("a quantity of zero", "quantity", "0"),
    _field("a negative quantity", "quantity", "-1.0"),
    _field("an infinite quantity", "quantity", "float('inf')"),
    _field("a quantity beyond everything", "quantity", "1e300"),
    _field("a quantity that is text", "quantity", "'1'"),
    _field("a target that is no number", "price_target", "float('nan')"),
    _field("a stop that is infinite", "stop_loss", "float('inf')"),
    _field("a stop that is an object", "stop_loss", "object()"),
    _field("an order type that is none", "order_type", "'GUARANTEED'"),
    _field("a time in force that is none", "time_in_force", "'FOREVER'"),
    _field("a slippage beyond one", "max_slippage", "1.5"),
    _field("a validity without end", "validity_s", "float('inf')"),
    _field("a validity of zero", "validity_s", "0"),
    _field("metadata that is text", "metadata", "'{}'"),
    _field("metadata with an object", "metadata", "{'a': object()}"),
    _field("metadata with a function", "metadata", "{'a': print}"),
    _field("metadata that is no number", "metadata", "{'a': float('nan')}"),
    _field("metadata with bytes", "metadata", "{'a': b'x'}"),
    _field("metadata that holds itself", "metadata", "M", "M = {}\nM['a'] = M\n"),
    _field("metadata with a key that is none", "metadata", "{(1, 2): 1}"),
    _field(
        "metadata that is a dict of its own kind",
        "metadata",
        "D(a=1)",
        "class D(dict):\n    def items(self):\n        return [('a', 's3')]\n",
        aim="reply",
    ),
    _field("metadata with surrogates", "metadata", "{'a': '\\ud800'}"),
    _field("a trend that is a number", "trend", "5"),
    _field("a trend that is long", "trend", "'x' * 201"),
    _returns("text", "'BUY'"),
    _returns("bytes", "b'BUY'"),
    _returns("a number", "1"),
    _returns("true", "True"),
    _returns("a type", "dict"),
    _returns("the data itself", "data"),
    _returns("a set of texts", "{'BUY'}"),
    _returns("a tuple of pairs", "(('action', 'BUY'), ('confidence', 0.5))"),
    _returns(
        "a list with one that is good and one that is not",
        "[{'action': 'BUY', 'confidence': 0.5}, 7]",
    ),
    _returns("a list of lists", "[[{'action': 'BUY', 'confidence': 0.5}]]"),
    _returns("a list that holds itself", "L", "L = []\nL.append(L)\n"),
    _returns("a dict of another kind", "D(action='BUY', confidence=0.5)", "class D(dict):\n    pass\n", aim="reply"),
    _returns(
        "a dict whose methods lie",
        "D()",
        "class D(dict):\n    def __getitem__(self, k):\n        return 'BUY' if k == 'action' else 0.5\n    def get(self, k, d=None):\n        return self[k]\n    def __contains__(self, k):\n        return True\n    def keys(self):\n        return ['action', 'confidence']\n    def __iter__(self):\n        return iter(self.keys())\n    def items(self):\n        return [('action', 'BUY'), ('confidence', 0.5)]\n    def __len__(self):\n        return 2\n",
        aim="reply",
    ),
    _returns(
        "a list whose length lies",
        "L([{'action': 'BUY', 'confidence': 0.5}] * 70)",
        "class L(list):\n    def __len__(self):\n        return 1\n",
    ),
    _returns(
        "a list whose iterator lies",
        "L([1])",
        "class L(list):\n    def __iter__(self):\n        while True:\n            yield {'action': 'BUY', 'confidence': 0.5}\n",
    ),
    _returns(
        "an object that looks like a signal",
        "S()",
        "class S:\n    action = 'BUY'\n    confidence = 0.5\n    symbol = 'AAA'\n",
        aim="reply",
    ),
    _returns(
        "an object whose class lies",
        "S()",
        "class S:\n    __class__ = dict\n    def keys(self):\n        return ['action']\n    def __getitem__(self, k):\n        return 'BUY'\n",
        aim="reply",
    ),
    _returns(
        "an object that raises on each look",
        "S()",
        "class S:\n    def __getattr__(self, n):\n        raise SystemExit\n    __eq__ = __bool__ = __len__ = __iter__ = __getattr__\n",
    ),
    _returns("a mapping proxy", "type.__dict__['__dict__'].__get__(A)", "class A:\n    action = 'BUY'\n"),
    _returns("a structured array", "np.array([('BUY', 0.5)], dtype=[('action', 'U4'), ('confidence', 'f8')])"),
    _returns("a generator", "({'action': 'BUY', 'confidence': 0.5} for _ in (1,))", aim="reply"),
    _returns("a coroutine", "c()", "async def c():\n    return {'action': 'BUY', 'confidence': 0.5}\n"),
    _returns("a lazy map", "map(dict, [{'action': 'BUY', 'confidence': 0.5}])"),
    _returns("not implemented", "NotImplemented"),
    _returns("an exception", "ValueError('BUY')"),
)
