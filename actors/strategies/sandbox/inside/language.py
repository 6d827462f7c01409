"""The language that strategies are written in: Python without what would lead out of a strategy.

`check` runs inside the locked worker, before the source is compiled. It is an early and readable refusal, not the
wall: the wall is the kernel's. Whatever it lets through still has no files, no network and no other process.
"""

from __future__ import annotations

import ast
import re
import string
from collections.abc import Iterator
from typing import Final

from actors.strategies.sandbox.inside import facades, names
from actors.strategies.sandbox.inside.facade import Facade, names_of
from actors.strategies.sandbox.inside.facades_pandas import FORBIDDEN_ATTRIBUTES
from actors.strategies.sandbox.inside.journal import clean
from actors.strategies.sandbox.wire import Problem

MOST_BYTES: Final = 65_536
MOST_NODES: Final = 20_000
DEEPEST: Final = 100
MOST_PROBLEMS: Final = 50

# What makes a source look like another one: controls of direction, and ends of lines that only some readers see.
_DIRECTION: Final = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_LINE_END: Final = re.compile("\r(?!\n)|[\x0b\x1c-\x1e\x85\u2028\u2029]")
_PLAIN_FIELD: Final = re.compile(r"\w*", re.ASCII)


def check(source: str, filename: str) -> list[Problem]:
    """Why a source is not accepted, at most 50 reasons in the order of its lines; empty: it is.

    A source of at most 64 KiB takes some 100 ms and tens of MiB at worst: call it where that is no harm.
    """
    if problem := _text_problem(source):
        return [problem]
    try:
        tree = ast.parse(source, filename)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return [syntax_problem(error)]
    return _Reader(source).read(tree)


def syntax_problem(error: BaseException) -> Problem:
    """A source that is no Python."""
    if isinstance(error, SyntaxError):
        # Python's columns are of characters here, from 1.
        return Problem("syntax", clean(error.msg), max(error.lineno or 0, 0), max(error.offset or 0, 0))
    if isinstance(error, RecursionError | MemoryError):
        return Problem("depth", "it is nested too deeply to be read: break it up into several statements")
    return Problem("syntax", clean(str(error)))


def _text_problem(source: str) -> Problem | None:
    try:
        size = len(source.encode())
    except UnicodeEncodeError as error:
        return Problem("encoding", "expected UTF-8, got half of a character", *_place(source, error.start))
    if size > MOST_BYTES:
        return Problem("size", f"expected at most {MOST_BYTES} bytes, got {size}: split the strategy, or load less")
    if (at := source.find("\0")) >= 0:
        return Problem("character", "expected text, got a NUL character", *_place(source, at))
    if found := _DIRECTION.search(source):
        text = f"U+{ord(found[0]):04X} changes the direction of text, so the source is not what it looks like"
        return Problem("character", f"{text}: write it as an escape", *_place(source, found.start()))
    if found := _LINE_END.search(source):
        text = f"U+{ord(found[0]):04X} ends a line for some readers and not for others: end lines with a newline"
        return Problem("character", text, *_place(source, found.start()))
    return None


def _place(source: str, at: int) -> tuple[int, int]:
    before = source[:at]
    return before.count("\n") + 1, at - before.rfind("\n")


class _Reader:
    """Walks a tree, without recursion, and collects what is not accepted."""

    def __init__(self, source: str) -> None:
        self.lines = source.split("\n")
        self.problems: list[Problem] = []
        self.bound: set[str] = set()
        """Every name that the source gives a meaning anywhere."""
        self.free: list[ast.Name] = []
        """Uses of names that builtins forbid."""
        self.modules: dict[str, Facade] = {}
        """What names of imports stand for."""
        self.imported: set[str] = set()
        self.read_from: list[ast.Attribute] = []
        """Attributes that may be those of modules."""
        self.text_evaluated: dict[str, str] = {}
        self.json: set[str] = set()
        self.granted: set[ast.AST] = set()
        """Attributes that are accepted for where they stand."""

    def read(self, tree: ast.Module) -> list[Problem]:
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                self.json |= {alias.asname or alias.name for alias in node.names if alias.name == "json"}
                if any(alias.name == "pandas" for alias in node.names):
                    self.text_evaluated = FORBIDDEN_ATTRIBUTES
        count = 0
        stack: list[tuple[ast.AST, int]] = [(tree, 0)]
        while stack:
            node, depth = stack.pop()
            count += 1
            if count > MOST_NODES:
                return [Problem("size", f"expected at most {MOST_NODES} elements: split the strategy, or load less")]
            if depth > DEEPEST:
                return [self._at(node, "depth", f"nested deeper than {DEEPEST} levels: break it up into statements")]
            self._node(node)
            children = list(ast.iter_child_nodes(node))
            stack += [(child, depth + 1) for child in reversed(children)]
        for name in self.free:
            if name.id not in self.bound | self.imported:
                self._add(name, "builtin", f"{name.id} is not available: {names.FORBIDDEN_BUILTINS[name.id]}")
        for attribute in self.read_from:
            self._of_module(attribute)
        return sorted(self.problems, key=lambda each: (each.line, each.column))[:MOST_PROBLEMS]

    def _node(self, node: ast.AST) -> None:
        if isinstance(node, ast.Attribute):
            if node not in self.granted:
                self._attribute(node, node.attr, node.value)
        elif isinstance(node, ast.MatchClass):
            for attribute in node.kwd_attrs:
                if names.is_special(names.normalised(attribute)):
                    self._add(node, "attribute", f"{attribute} cannot be matched: it belongs to Python itself")
                else:
                    self._attribute(node, attribute, None)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            self._import(node)
        elif isinstance(node, ast.alias | ast.Constant):
            return
        elif isinstance(node, ast.AsyncFunctionDef | ast.AsyncFor | ast.AsyncWith | ast.Await):
            self._add(node, "async", "async is of no use here: a strategy is called, and answers; use def")
        else:
            if isinstance(node, ast.Call):
                self._call(node)
            elif isinstance(node, ast.FunctionDef) and node.name in names.BY_STRING:
                self._setter(node)
            elif isinstance(node, ast.Assign):
                self._match_arguments(node)
            elif isinstance(node, ast.keyword) and node.arg is not None and node.arg in names.FORBIDDEN_KEYWORDS:
                self._add(node, "keyword", f"{node.arg} is not available: {names.FORBIDDEN_KEYWORDS[node.arg]}")
            elif isinstance(node, ast.comprehension) and node.is_async:
                self._add(node.target, "async", "async is of no use here: use for")
            for name in _identifiers(node):
                self._variable(node, name)

    def _variable(self, node: ast.AST, name: str) -> None:
        name = names.normalised(name)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            if name in names.FORBIDDEN_BUILTINS:
                self.free.append(node)
        elif not isinstance(node, ast.keyword):
            self.bound.add(name)
        if node in self.granted:
            return
        if isinstance(node, ast.Name) and names.is_special(name) and name in names.DEFINABLE - names.VARIABLES:
            # As a variable in a class body it is a method, too: `__iadd__ = __add__`.
            return
        if problem := names.variable_problem(name):
            self._add(node, "name", f"{name} cannot be used: {problem}")

    def _attribute(self, node: ast.AST, name: str, base: ast.expr | None) -> None:
        name = names.normalised(name)
        if name == "format":
            self._add(node, "format", "format() works on a literal with plain fields only: use an f-string")
        elif name == "dumps" and isinstance(base, ast.Name) and base.id in self.json:
            return
        elif problem := names.attribute_problem(name, own=_is_own(base)) or self.text_evaluated.get(name):
            self._add(node, "attribute", f"{name} cannot be used: {problem}")
        elif name == "__new__" and not _makes_instances(base):
            self._add(node, "attribute", "__new__ cannot be used: write super().__new__(cls), or call the class")
        elif isinstance(node, ast.Attribute):
            self.read_from.append(node)

    def _call(self, node: ast.Call) -> None:
        function = node.func
        if not isinstance(function, ast.Attribute):
            return
        base = function.value
        if function.attr == "format" and isinstance(base, ast.Constant) and isinstance(base.value, str):
            if _has_plain_fields(base.value):
                self.granted.add(function)
        elif function.attr in names.BY_STRING:
            literal = node.args[1] if len(node.args) > 1 else None
            if (
                isinstance(base, ast.Name)
                and base.id == "object"
                and isinstance(literal, ast.Constant)
                and isinstance(literal.value, str)
                and names.attribute_problem(literal.value, own=True) is None
                and not names.is_special(literal.value)
            ):
                self.granted.add(function)

    def _setter(self, node: ast.FunctionDef) -> None:
        """Accept `super().__setattr__(name, …)` in a `__setattr__`, with the very name that it was given.

        That name stands in the source, or came through `setattr`, which looks at it.
        """
        parameters = [each.arg for each in (*node.args.posonlyargs, *node.args.args)]
        if len(parameters) < 2:
            return
        inner = list(ast.walk(node))
        name = parameters[1]
        changed = any(
            (isinstance(each, ast.Name) and each.id == name and not isinstance(each.ctx, ast.Load))
            or (isinstance(each, ast.FunctionDef | ast.Lambda | ast.ClassDef) and each is not node)
            or (not isinstance(each, ast.Name | ast.arg) and name in _identifiers(each))
            for each in inner
        )
        for each in inner:
            if (
                not changed
                and isinstance(each, ast.Call)
                and isinstance(each.func, ast.Attribute)
                and each.func.attr == node.name
                and _is_super(each.func.value)
                and each.args
                and isinstance(each.args[0], ast.Name)
                and each.args[0].id == name
            ):
                self.granted.add(each.func)

    def _match_arguments(self, node: ast.Assign) -> None:
        """`__match_args__` names attributes as text: only a literal says which."""
        for target in node.targets:
            if (
                isinstance(target, ast.Name)
                and target.id == "__match_args__"
                and isinstance(node.value, ast.Tuple)
                and all(
                    isinstance(each, ast.Constant)
                    and isinstance(each.value, str)
                    and names.attribute_problem(each.value, own=False) is None
                    and not each.value.startswith("_")
                    for each in node.value.elts
                )
            ):
                self.granted.add(target)

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        for alias in node.names:
            bound = names.normalised(alias.asname or alias.name.partition(".")[0])
            self.imported.add(bound)
            if isinstance(node, ast.Import):
                found = facades.find(alias.name if alias.asname else bound)
                if found is not None:
                    self.modules[bound] = found
            if problem := names.variable_problem(bound):
                self._add(alias, "name", f"{bound} cannot be used: {problem}")
        if isinstance(node, ast.Import):
            for alias in node.names:
                if problem := facades.import_problem(names.normalised(alias.name)):
                    self._add(alias, "import", problem)
            return
        if node.level:
            self._add(node, "import", "a strategy is one file: there is nothing that a relative import could name")
            return
        module = names.normalised(node.module or "")
        if problem := facades.import_problem(module):
            self._add(node, "import", problem)
            return
        for alias in node.names:
            if alias.name == "*":
                self._add(alias, "import", f"name what you need: from {module} import …")
            elif problem := facades.import_problem(module, names.normalised(alias.name)):
                self._add(alias, "import", problem)

    def _of_module(self, node: ast.Attribute) -> None:
        """Tell what a module does not have while it can still be read, and not only when it runs."""
        path: list[ast.Attribute] = []
        base: ast.expr = node
        while isinstance(base, ast.Attribute):
            path.append(base)
            base = base.value
        if not isinstance(base, ast.Name) or base.id in self.bound or base.id not in self.modules:
            return
        found: object = self.modules[base.id]
        for each in reversed(path):
            if not isinstance(found, Facade) or each.attr.startswith("_"):
                return
            if each.attr not in names_of(found):
                if each is node:
                    self._add(node, "import", facades.missing(found, each.attr))
                return
            found = getattr(found, each.attr)

    def _add(self, node: ast.AST, rule: str, message: str) -> None:
        if len(self.problems) < 10 * MOST_PROBLEMS:
            self.problems.append(self._at(node, rule, message))

    def _at(self, node: ast.AST, rule: str, message: str) -> Problem:
        line = getattr(node, "lineno", 0)
        if not line:
            return Problem(rule, clean(message))
        # `ast` counts columns in bytes of UTF-8; people count characters.
        before = self.lines[line - 1].encode()[: getattr(node, "col_offset", 0)] if line <= len(self.lines) else b""
        return Problem(rule, clean(message), line, len(before.decode(errors="replace")) + 1)


def _identifiers(node: ast.AST) -> Iterator[str]:
    """Every text that a node holds besides its children: whatever the kind of node, it is an identifier."""
    for field, value in ast.iter_fields(node):
        if field == "type_comment":
            continue
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            yield from (each for each in value if isinstance(each, str))


def _is_super(base: ast.expr | None) -> bool:
    return (
        isinstance(base, ast.Call)
        and isinstance(base.func, ast.Name)
        and base.func.id == "super"
        and not base.args
        and not base.keywords
    )


def _makes_instances(base: ast.expr | None) -> bool:
    return _is_super(base) or (isinstance(base, ast.Name) and base.id in names.CREATORS)


def _is_own(base: ast.expr | None) -> bool:
    return _is_super(base) or (isinstance(base, ast.Name) and base.id in names.OWN)


def _has_plain_fields(template: str, depth: int = 0) -> bool:
    """Whether a format string names its fields by number or name alone, in their formats, too."""
    try:
        for _, field, spec, _ in string.Formatter().parse(template):
            if field is not None and not _PLAIN_FIELD.fullmatch(field):
                return False
            if spec and (depth > 1 or not _has_plain_fields(spec, depth + 1)):
                return False
    except ValueError:
        return False
    return True
