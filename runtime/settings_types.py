"""What a setting's type says about its shape: a struct, an array, a table of free keys, or a single value."""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec


def bare(kind: object) -> object:
    """The type without `Annotated` and without `| None`."""
    while True:
        if get_origin(kind) is Annotated:
            kind = get_args(kind)[0]
        elif get_origin(kind) in (Union, types.UnionType):
            members = [each for each in get_args(kind) if each is not type(None)]
            if len(members) != 1:
                return kind
            kind = members[0]
        else:
            return kind


def struct_of(kind: object) -> type[msgspec.Struct] | None:
    """The struct, if the type is one (or one or None)."""
    kind = bare(kind)
    return kind if isinstance(kind, type) and issubclass(kind, msgspec.Struct) else None


def element_of(kind: object) -> object | None:
    """The type of the elements, if the type is an array of one type."""
    kind = bare(kind)
    arguments = get_args(kind)
    origin = get_origin(kind)
    if origin is tuple:
        return arguments[0] if len(arguments) == 2 and arguments[1] is Ellipsis else None
    return arguments[0] if origin in (list, set, frozenset, Sequence) and arguments else None


def value_of(kind: object) -> object | None:
    """The type of the values, if the type is a table of free keys."""
    kind = bare(kind)
    if kind is dict:
        return Any
    arguments = get_args(kind)
    return arguments[1] if get_origin(kind) in (dict, Mapping) and len(arguments) == 2 else None


def accepts_anything(kind: object) -> bool:
    """Whether the type is `Any` or `object`."""
    return bare(kind) in (Any, object)


def accepts_text(kind: object) -> bool:
    """Whether some text fits the type."""
    kind = bare(kind)
    if get_origin(kind) in (Union, types.UnionType):
        return any(accepts_text(each) for each in get_args(kind))
    return kind is str


def known_names(struct: type[msgspec.Struct]) -> list[str]:
    """The keys that a struct has in a file."""
    return [field.encode_name for field in msgspec.structs.fields(struct)]


def nearest(name: str, siblings: Sequence[str], sections: Mapping[str, object], parent: tuple[object, ...]) -> str:
    """What may have been meant by a key that nobody knows: one like it beside it, the same name elsewhere,
    or the list of what there is."""
    close = difflib.get_close_matches(name, siblings, n=1) or [each for each in siblings if each.startswith(name)]
    if close:
        return f"did you mean {'.'.join((*map(str, parent), close[0]))}?"
    elsewhere = [path for path in _all_names(sections) if path.rpartition(".")[2] == name]
    if elsewhere:
        return f"did you mean {elsewhere[0]}?"
    if not siblings:
        return "there are none here"
    return f"expected one of {', '.join(sorted(siblings))}"


def _all_names(sections: Mapping[str, object]) -> Iterator[str]:
    """Every dotted key of structs in structs; not of arrays, where the index is unknown."""
    for name, kind in sections.items():
        struct = struct_of(kind)
        if struct is not None:
            yield from _names_in(name, struct, depth=4)


def _names_in(prefix: str, struct: type[msgspec.Struct], depth: int) -> Iterator[str]:
    for field in msgspec.structs.fields(struct):
        key = f"{prefix}.{field.encode_name}"
        yield key
        inner = struct_of(field.type)
        if inner is not None and depth:
            yield from _names_in(key, inner, depth - 1)
