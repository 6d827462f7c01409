"""Text: identifiers that become others, directions, look-alikes, cookies of encodings, NUL, line ends, surrogates."""

# ruff: noqa: E501 - a source is a line

from __future__ import annotations

from typing import Final

from tests.actors.strategies.sandbox.corpus.attack import Aim, Attack, attack

ALL: Final = "language seccomp landlock"


def _writes(name: str, source: str, aim: Aim = "secret", **more: object) -> Attack:
    return attack(name, "unicode", aim, ALL, source, **more)  # type: ignore[arg-type]


ATTACKS: Final[tuple[Attack, ...]] = (
    _writes("mathematical letters for open", "def attack():\n    return 𝐨𝐩𝐞𝐧('@SECRET_FILE@').read()\n"),
    _writes("full-width letters for eval", "def attack():\n    return ｅｖａｌ(\"open('@SECRET_FILE@').read()\")\n"),
    _writes(
        "an attribute in mathematical letters", "def attack():\n    return len.__𝐬𝐞𝐥𝐟__.open('@SECRET_FILE@').read()\n"
    ),
    _writes("low lines in full width", "def attack():\n    return len._＿self_＿.open('@SECRET_FILE@').read()\n"),
    _writes(
        "low lines of another kind",
        "def attack():\n    return len.︳_self_︳.open('@SECRET_FILE@').read()\n",
        bare=False,
    ),
    _writes(
        "an import in mathematical letters",
        "import 𝐨𝐬\ndef attack():\n    return 𝐨𝐬.read(𝐨𝐬.open('@SECRET_FILE@', 0), 100)\n",
    ),
    _writes(
        "a name from a module in other letters",
        "from 𝓸𝓼 import 𝓸pen as o, read as r\ndef attack():\n    return r(o('@SECRET_FILE@', 0), 100)\n",
    ),
    _writes(
        "a keyword in other letters",
        "def f(**names):\n    return [getattr(len, n) for n in names]\ndef attack():\n    return f(__ｓelf__=1)[0].open('@SECRET_FILE@').read()\n",
    ),
    _writes(
        "a match in other letters",
        "def attack():\n    match len:\n        case object(__ｓelf__=m):\n            return m.open('@SECRET_FILE@').read()\n",
    ),
    _writes(
        "a global in other letters",
        "def attack():\n    global __ｂuiltins__\n    b = __builtins__\n    return (b['open'] if isinstance(b, dict) else b.open)('@SECRET_FILE@').read()\n",
    ),
    _writes(
        "an argument in other letters",
        "def g(__ｂuiltins__=__ｂuiltins__):\n    b = __builtins__\n    return (b['open'] if isinstance(b, dict) else b.open)('@SECRET_FILE@').read()\ndef attack():\n    return g()\n",
    ),
    _writes(
        "an exception's name in other letters",
        "def attack():\n    try:\n        1 / 0\n    except Exception as __ｅ__:\n        return __e__.__ｔraceback__.tb_frame.f_builtins['open']('@SECRET_FILE@').read()\n",
    ),
    _writes(
        "getattr with other letters",
        "def attack():\n    return getattr(len, '__ｓelf__').open('@SECRET_FILE@').read()\n",
        bare=False,
    ),
    _writes(
        "ligatures",
        "def attack():\n    ﬁ = __builtins__\n    return (fi['open'] if isinstance(fi, dict) else fi.open)('@SECRET_FILE@').read()\n",
    ),
    _writes(
        "a direction turned round", "def attack():\n    x = 'a\u202e'; return open('@SECRET_FILE@').read() # '\u2066\n"
    ),
    _writes(
        "directions that hide a comment",
        "def attack():\n    '''\u202e\u2066 a \u2069\u2066'''; return open('@SECRET_FILE@').read()\n",
    ),
    _writes("look-alikes of another script", "def attack():\n    return оpen('@SECRET_FILE@').read()\n", bare=False),
    _writes(
        "a cookie for UTF-7",
        "# -*- coding: utf-7 -*-\n# +AAo-OPEN = open\ndef attack():\n    return OPEN('@SECRET_FILE@').read()\n",
        bare=False,
    ),
    _writes(
        "a cookie for unicode_escape",
        "# coding: unicode_escape\n# \\x0aOPEN = open\ndef attack():\n    return OPEN('@SECRET_FILE@').read()\n",
        bare=False,
    ),
    _writes(
        "a cookie for rot13", "# coding: rot13\nqrs nggnpx():\n    erghea bcra('@SECRET_FILE@').ernq()\n", bare=False
    ),
    _writes(
        "a byte order mark",
        "\ufeffimport os\ndef attack():\n    return os.read(os.open('@SECRET_FILE@', 0), 100)\n",
        bare=False,
    ),
    _writes("NUL in the source", "def attack():\n    return 1\n\0\nOPEN = open('@SECRET_FILE@')\n", bare=False),
    _writes("NUL in a name of a file", "def attack():\n    return open('@SECRET_FILE@\\0.txt').read()\n", bare=False),
    _writes(
        "a line separator in a comment",
        "# a\u2028OPEN = open\ndef attack():\n    return OPEN('@SECRET_FILE@').read()\n",
        bare=False,
    ),
    _writes(
        "a lone carriage return in a comment",
        "# a\rOPEN = open\ndef attack():\n    return OPEN('@SECRET_FILE@').read()\n",
    ),
    _writes("a form feed at the indentation", "def attack():\n\x0c    return open('@SECRET_FILE@').read()\n"),
    _writes(
        "a next-line character",
        "# a\x85OPEN = open\ndef attack():\n    return OPEN('@SECRET_FILE@').read()\n",
        bare=False,
    ),
    _writes(
        "a backslash at the line's end", "def attack():\n    return op\\\nen('@SECRET_FILE@').read()\n", bare=False
    ),
    _writes(
        "names with invisible characters", "def attack():\n    return o\u200bpen('@SECRET_FILE@').read()\n", bare=False
    ),
    _writes(
        "a tag character in a name", "def attack():\n    return ope\U000e0001n('@SECRET_FILE@').read()\n", bare=False
    ),
    _writes(
        "surrogates in a signal",
        "def generate_signal(data, parameters):\n    return {'action': 'BUY', 'confidence': 0.5, 'trend': '\\ud800'}\n",
        "accepted",
        whole=True,
        bare=False,
    ),
    _writes(
        "surrogates in the log",
        "def attack():\n    print('\\ud800' * 10)\n    raise ValueError('\\udfff')\n",
        "neighbour",
        bare=False,
    ),
    _writes(
        "text that changes a terminal, in the log",
        "def attack():\n    print('\\x1b]0;owned\\x07\\x1b[2J\\x00\\x08')\n    return 1\n",
        "neighbour",
        bare=False,
    ),
    _writes(
        "a name of \\N form",
        "def attack():\n    return getattr(len, '\\N{LOW LINE}\\N{LOW LINE}self\\N{LOW LINE}\\N{LOW LINE}').open('@SECRET_FILE@').read()\n",
    ),
    _writes(
        "bytes that become a name",
        "def attack():\n    return getattr(len, b'__self__'.decode()).open('@SECRET_FILE@').read()\n",
    ),
    _writes(
        "a name by a codec",
        "def attack():\n    return getattr(len, b'X19zZWxmX18='.decode('ascii') and __import__('codecs').decode(b'X19zZWxmX18=', 'base64').decode()).open('@SECRET_FILE@').read()\n",
    ),
    _writes(
        "a codec that runs code",
        "import codecs\ndef attack():\n    codecs.register(lambda n: (open, open, open, open))\n    return codecs.lookup('a').decode('@SECRET_FILE@').read()\n",
        bare=False,
    ),
)
