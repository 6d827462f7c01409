"""The blocks of the documents, and what it means that one is true.

    python      runs; with a first line `# name.py` it is a file that the reader saves, and a command runs it
    console     `$ command` lines are typed into the page's shell; what comes is what the page shows
    toml        is loaded as a configuration, and the tree of it is built; `# name.toml` saves it, too
    json        is decoded as the message of the signal stream that it is
    diff        is applied to the sources
    text        is a picture, and nothing to be run

`<!-- skip: reason -->` above a block says why it cannot run. `console exact` compares figures, too.
"""

from __future__ import annotations

import ast
import inspect
import re
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from sybil import Document, Example, Region
from sybil.parsers.markdown.lexers import RawFencedCodeBlockLexer

from actors import node
from actors.cli.config import structs_in
from protocols import signal_stream, signal_update_stream
from runtime.settings import load
from tests.docs.expectation import mismatch
from tests.docs.reader import REPOSITORY, Reader

LANGUAGES = ("python", "console", "toml", "json", "diff", "text")
READER = "reader"
SKIP = re.compile(r"<!-- skip: ([^\n]+?) -->\n\Z")
_NAMED = re.compile(r"# ([\w/.-]+\.(?:py|toml))\n")
_TOP_LEVEL_AWAIT = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
_MESSAGES = tuple(
    each
    for module in (signal_stream, signal_update_stream)
    for each in vars(module).values()
    if isinstance(each, type)
    and issubclass(each, msgspec.Struct)
    and each.__module__ == module.__name__
    and each.__struct_config__.tag is not None
)

lexer = RawFencedCodeBlockLexer(re.compile(r"(?P<language>\w*)(?P<options>[^\n]*)$\n?", re.MULTILINE))


def documents() -> list[Path]:
    """All pages, the README first."""
    return [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]


def parse(document: Document) -> Iterable[Region]:
    """A sybil parser: every fenced block is an example."""
    for region in lexer(document):
        region.parsed = str(region.lexemes["source"])
        region.evaluator = evaluate
        yield region


def language_of(example: Example) -> str:
    """What the fence says."""
    return str(example.region.lexemes["language"])


def skipped(example: Example) -> str | None:
    """Why the block does not run; None if it does."""
    found = SKIP.search(example.document.text[: example.region.start])
    return found[1] if found else None


def evaluate(example: Example) -> None:
    """Run one block. Raises AssertionError, or whatever the block raises, where the page is wrong."""
    if reason := skipped(example):
        pytest.skip(reason)
    runners = {"python": _python, "console": _console, "toml": _toml, "json": _json, "diff": _diff, "text": _text}
    runners[language_of(example)](example)


def _reader(example: Example) -> Reader:
    reader = example.namespace[READER]
    assert isinstance(reader, Reader)
    return reader


def _text(example: Example) -> None:
    assert not re.search(r"^\$ ", example.parsed, re.MULTILINE), "a command is a console block"


def _python(example: Example) -> None:
    named = _NAMED.match(example.parsed)
    if named:
        compile(example.parsed, named[1], "exec")
        _reader(example).save(named[1], example.parsed)
        return
    # The line numbers of a failure are those of the page.
    source = "\n" * example.line + example.parsed
    code = compile(source, example.path, "exec", flags=_TOP_LEVEL_AWAIT, dont_inherit=True)
    with _importable(_reader(example).folder):
        if not code.co_flags & inspect.CO_COROUTINE:
            exec(code, example.namespace)
            return

        async def run() -> None:
            await eval(code, example.namespace)

        trio.run(run)


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """The files that the reader has saved can be imported in the block."""
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            if str(getattr(sys.modules[name], "__file__", None)).startswith(str(folder)):
                del sys.modules[name]


def _diff(example: Example) -> None:
    _reader(example).apply(example.parsed)


def _toml(example: Example) -> None:
    named = _NAMED.match(example.parsed)
    reader = _reader(example)
    path = reader.save(named[1] if named else "block.toml", example.parsed)
    with _importable(reader.folder):
        configuration = load(path, node.sections(), environ={}, directory=reader.folder)
        assert node.children(configuration)


def _json(example: Example) -> None:
    decoded = msgspec.json.decode(example.parsed, type=dict[str, Any])
    kinds = [each for each in _MESSAGES if each.__struct_config__.tag == decoded.get("type")]
    assert kinds, f"no message of the signal stream: {decoded}"
    # Of messages with the same type, the first that knows all fields.
    known = [each for each in kinds if set(decoded) <= {*each.__struct_encode_fields__, "type"}]
    _fits((known or kinds)[0], decoded)


def _fits(kind: type[msgspec.Struct], value: dict[str, Any]) -> None:
    """Every field that the struct has to have is there, none that it does not know, each of its type."""
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    assert set(value) <= set(fields) | {"type"}, f"not in {kind.__name__}: {set(value) - set(fields)}"
    for name, field in fields.items():
        if name not in value:
            assert not field.required, f"not here, but in {kind.__name__}: {name}"
        elif isinstance(value[name], dict) and (inside := structs_in(field.type)):
            _fits(inside[0], value[name])
        elif "Raw" not in str(field.type):  # a number with exactly its digits, or any JSON
            msgspec.convert(value[name], field.type)


def steps(text: str) -> list[tuple[str, str]]:
    """Commands (a trailing backslash or `> ` goes on) with the output shown for each."""
    found: list[tuple[str, str]] = []
    continued = False
    for line in text.splitlines(keepends=True):
        if line.startswith("$ "):
            found.append((line[2:], ""))
        elif continued or (line.startswith("> ") and found and not found[-1][1]):
            found[-1] = (found[-1][0] + line.removeprefix("> "), "")
        else:
            assert found, f"output before any command: {line!r}"
            found[-1] = (found[-1][0], found[-1][1] + line)
        continued = line.endswith("\\\n") and not found[-1][1]
    return [(command.rstrip("\n"), output) for command, output in found]


def _console(example: Example) -> None:
    for tool in ("curl", "git"):
        if f"{tool} " in example.parsed and shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    exact = "exact" in example.region.lexemes["options"]
    for command, expected in steps(example.parsed):
        came = _reader(example).type(command)
        wrong = mismatch(expected, came, exact=exact)
        assert wrong is None, f"{example.path}:{example.line}\n$ {command}\n{wrong}"
