"""Parser bombs: sources made to cost whoever parses them time or memory.

The node never parses: what they could breach is the worker's limit of memory and the node's deadline.
"""

from __future__ import annotations

from typing import Final

from tests.actors.strategies.sandbox.corpus.attack import Aim, Attack, attack

END: Final = "\ndef generate_signal(data, parameters):\n    return None\n"


def _parses(name: str, source: str, aim: Aim = "memory", **more: object) -> Attack:
    return attack(name, "parser", aim, "language rlimits node", source + END, whole=True, bare=False, **more)  # type: ignore[arg-type]


ATTACKS: Final[tuple[Attack, ...]] = (
    _parses("half a mebibyte of statements", "x=1;" * 120_000),
    _parses("sixty kibibytes of statements", "x=1;" * 15_000),
    _parses("a list of 150,000 elements", "x = [" + "1," * 150_000 + "]"),
    _parses("a list of 30,000 elements", "x = [" + "1," * 30_000 + "]"),
    _parses("a dictionary of 10,000 entries", "x = {" + "1:1," * 10_000 + "}"),
    _parses("parentheses", "x = " + "(" * 10_000 + "1" + ")" * 10_000),
    _parses("brackets", "x = " + "[" * 190 + "]" * 190),
    _parses("brackets without an end", "x = " + "[" * 30_000),
    _parses("minus signs", "x = " + "-" * 60_000 + "1"),
    _parses("not, not, not", "x = " + "not " * 15_000 + "1"),
    _parses("lambdas", "x = " + "lambda: " * 7_000 + "1"),
    _parses("sums", "x = " + "1+" * 30_000 + "1"),
    _parses("powers", "x = " + "2**" * 12_000 + "1"),
    _parses("attributes", "x = 1\ny = x" + ".a" * 30_000),
    _parses("calls", "x = print" + "()" * 30_000),
    _parses("subscripts", "x = y" + "[0]" * 20_000),
    _parses("comparisons", "x = " + "1<" * 30_000 + "1"),
    _parses("if in if", "".join(" " * depth + "if 1:\n" for depth in range(99)) + " " * 99 + "pass\n"),
    _parses("if in if, deeper", "".join(" " * depth + "if 1:\n" for depth in range(300)) + " " * 300 + "pass\n"),
    _parses("functions in functions", "".join(" " * depth + "def f():\n" for depth in range(95)) + " " * 95 + "pass\n"),
    _parses("for in for", "".join(" " * depth + "for i in ():\n" for depth in range(60)) + " " * 60 + "pass\n"),
    _parses("comprehensions in comprehensions", "x = " + "[" * 80 + "1" + " for a in ()]" * 80),
    _parses("f-strings", "x = " + "f'{1}' " * 8_000),
    _parses("f-strings in f-strings", "x = f'{f\"{1}\"}'\n" * 3_000),
    _parses("a long f-string", "x = f'" + "{1}" * 20_000 + "'"),
    _parses("a giant integer", "x = 1" + "0" * 60_000),
    _parses("a giant integer in hexadecimal", "x = 0x" + "f" * 60_000),
    _parses("constants folded: a power", "x = 10 ** 10_000 ** 3"),
    _parses("constants folded: a shift", "x = 1 << (1 << 30)"),
    _parses("constants folded: a text", "x = 'a' * 4000 * 4000 * 8"),
    _parses("constants folded: a tuple", "x = ((((1,) * 200) * 200) * 100) * 4"),
    _parses("constants folded, many", "x = 'a' * 4096\n" * 4_000),
    _parses("ten thousand arguments", "def f(" + ",".join(f"a{i}" for i in range(9_000)) + "): pass"),
    _parses("ten thousand names", "\n".join(f"a{i} = {i}" for i in range(5_000))),
    _parses("ten thousand decorators", "@d\n" * 15_000 + "def f(): pass"),
    _parses("many except clauses", "try:\n  pass\n" + "except a:\n  pass\n" * 3_500),
    _parses("many elif", "if 1:\n  pass\n" + "elif 1:\n  pass\n" * 3_500),
    _parses("many cases", "match 1:\n" + "  case 1: pass\n" * 4_000),
    _parses("patterns in patterns", "match 1:\n  case " + "[" * 90 + "]" * 90 + ": pass"),
    _parses("alternatives", "match 1:\n  case " + "1|" * 15_000 + "1: pass"),
    _parses("many with items", "with " + ",".join(["a"] * 8_000) + ": pass"),
    _parses(
        "finally in finally",
        "".join(" " * d + "try:\n" for d in range(18))
        + " " * 18
        + "pass\n"
        + "".join(" " * d + "finally:\n" + " " * (d + 1) + "x = 1\n" for d in reversed(range(18))),
    ),
    _parses("a long name", "a" * 60_000 + " = 1"),
    _parses("a long comment and nothing else", "#" * 65_000),
    _parses("a megabyte of comment", "#" * 1_000_000),
    _parses("a text without an end", "x = '''" + "a" * 60_000),
    _parses("line continuations", "x = 1 + \\\n" + "\\\n" * 30_000 + "1"),
    _parses("blank lines", "\n" * 60_000),
    _parses("tabs and spaces", "if 1:\n\tx = 1\n        y = 2\n"),
    _parses("annotations that are deep", "x: " + "a[" * 95 + "1" + "]" * 95 + " = 1"),
    _parses("starred targets", "*a, " * 200 + "= b"),
    _parses("global statements", "def f():\n" + " global a\n" * 5_000),
    _parses("numbers with low lines", "x = 1" + "_0" * 30_000),
    _parses(
        "escapes by name",
        "x = '" + "\\N{GREEK SMALL LETTER ALPHA WITH PSILI AND PERISPOMENI AND YPOGEGRAMMENI}" * 800 + "'",
    ),
    _parses("escapes that are wrong", "x = '" + "\\d" * 30_000 + "'"),
    _parses("identifiers that expand", "".join(f"\ufdfa{i} = 1\n" for i in range(3_000))),
    _parses("a docstring in every function", "".join(f"def f{i}():\n 'd'\n" for i in range(3_000))),
    _parses("a syntax error far behind", "x = 1\n" * 9_000 + "x = = 1\n"),
    _parses("indentation far out", " " * 60_000 + "x = 1\n"),
)
