"""configuration.md: the settings structs of every capability."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from actors import node
from actors.cli.config import docstrings_of, structs_in
from docs.generating.fields import default_of, type_of
from docs.generating.markdown import prose, table


def configuration() -> Iterator[str]:
    """Every section with its keys, from the structs that check them."""
    yield "# Configuration"
    yield (
        "A node reads one TOML file, then variables of the environment (`TROUPE__EDGE__PORT=0`), then `--set "
        "edge.port=0`; the later wins. A key that nobody knows, or of the wrong type, is an error that names the key, "
        "where it was written, and the nearest right name. Elements of an array of tables are named by their index or "
        "by their `name`: `feeds.0.url`, `feeds.demo.url`."
    )
    yield (
        "A path in a file is relative to the folder of that file; one from the environment, from `--set` or from a "
        "default is relative to the working directory. `bin/troupe config` prints what is in force, and from where."
    )
    for name, kind in node.sections().items():
        several = not isinstance(kind, type)
        for struct in structs_in(kind):
            yield f"## `{f'[[{name}]]' if several else f'[{name}]'}`"
            yield from _settings(name, struct)


def _settings(key: str, struct: type[msgspec.Struct]) -> Iterator[str]:
    inside = []
    rows = []
    told = docstrings_of(struct)
    for field in msgspec.structs.fields(struct):
        structs = structs_in(field.type)
        if structs:
            inside += [(f"{key}.{field.encode_name}", each) for each in structs]
            continue
        default = "required" if field.required else f"`{_toml(default_of(field))}`"
        rows.append((f"`{field.encode_name}`", type_of(field.type), default, told.get(field.name, "")))
    # The heading has said which section it is.
    if said := re.sub(r"^`\[+[\w.]+\]+`[:.]?\s*|\s*\(`\[[\w.]+\]`\)", "", prose(struct)):
        yield said[:1].upper() + said[1:]
    yield table(("Key", "Type", "Default", "Meaning"), rows)
    for inner, each in inside:
        yield f"### `[{inner}]`"
        yield from _settings(inner, each)


def _toml(value: Any) -> str:
    if value is None:
        return "unset"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_toml, value))}]"
    return "{}" if value == {} else str(value)
