"""`troupe config [CONFIG]`: every setting as it is resolved, and where its value is from. Secrets are hidden."""

from __future__ import annotations

import argparse
import ast
import importlib
import inspect
import json
import os
import textwrap
from typing import Any, get_args

import msgspec

from actors.cli.configuration import configuration_file, load
from actors.cli.profiles import explained, profile
from actors.cli.report import Report, paint, table


def config(arguments: argparse.Namespace) -> Report:
    """The resolved configuration as a table; `--explain` adds what each key means. Raises CommandError."""
    configuration = load(arguments)
    settings = list(configuration.settings())
    rows = [(setting.key, json.dumps(setting.value, ensure_ascii=False), setting.source) for setting in settings]
    text = table(("KEY", "VALUE", "FROM"), rows)
    meanings: dict[str, str] = {}
    if arguments.explain:
        sections = importlib.import_module("actors.node").sections()
        meanings = {key: text for name, kind in sections.items() for key, text in meanings_of(name, kind).items()}
        text = _explained(text, [setting.key for setting in settings], meanings)
    wanted = None if arguments.profile is None else profile(arguments.profile)
    variables = [] if wanted is None else explained(wanted, os.environ)
    if arguments.explain and variables:
        text += "\n\n" + table(("OLD VARIABLE", "OURS", "WHAT BECOMES OF IT"), variables)
    data = {
        "file": str(configuration_file(arguments.config or (wanted.config if wanted else None))),
        "variables": [dict(zip(("old", "ours", "meaning"), each, strict=True)) for each in variables],
        "settings": [
            {"key": setting.key, "value": setting.value, "source": setting.source}
            | ({"meaning": meanings.get(_general(setting.key))} if arguments.explain else {})
            for setting in settings
        ],
        "resolved": configuration.resolved(),
    }
    return Report(text, data)


def _explained(text: str, keys: list[str], meanings: dict[str, str]) -> str:
    head, *lines = text.split("\n")
    told = [head]
    for line, key in zip(lines, keys, strict=True):
        told.append(line)
        if meaning := meanings.get(_general(key)):
            told += [
                paint(part, "grey")
                for part in textwrap.wrap(meaning, 100, initial_indent="    ", subsequent_indent="    ")
            ]
    return "\n".join(told)


def _general(key: str) -> str:
    """A key without its indices: `feeds.0.url` is explained as `feeds.url`."""
    return ".".join(part for part in key.split(".") if not part.isdecimal())


def meanings_of(key: str, kind: Any) -> dict[str, str]:
    """Dotted key to the docstring below its field, for a settings struct and the structs inside it."""
    found: dict[str, str] = {}
    for struct in structs_in(kind):
        told = docstrings_of(struct)
        for field in msgspec.structs.fields(struct):
            inner = f"{key}.{field.encode_name}"
            if field.name in told:
                found[inner] = told[field.name]
            found |= meanings_of(inner, field.type)
    return found


def structs_in(kind: Any) -> list[type[msgspec.Struct]]:
    """The struct types that a type is made of: itself, the members of a union, the elements of a tuple."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return [kind]
    return [struct for part in get_args(kind) for struct in structs_in(part)]


def docstrings_of(struct: type) -> dict[str, str]:
    """Field name to the string literal that follows the field in the source of its class, inherited ones too."""
    found: dict[str, str] = {}
    for each in reversed(struct.__mro__):
        try:
            source = textwrap.dedent(inspect.getsource(each))
        except (OSError, TypeError):
            continue
        (definition,) = ast.parse(source).body
        if not isinstance(definition, ast.ClassDef):
            continue
        for node, after in zip(definition.body, definition.body[1:], strict=False):
            if (
                isinstance(node, ast.AnnAssign)
                and isinstance(node.target, ast.Name)
                and isinstance(after, ast.Expr)
                and isinstance(after.value, ast.Constant)
                and isinstance(after.value.value, str)
            ):
                found[node.target.id] = " ".join(after.value.value.split())
    return found
