"""The documentation of the SDK, made of what its modules say of themselves."""

from __future__ import annotations

import functools
import importlib
import inspect
import re
import types
from collections.abc import Iterator
from typing import Any, Final, Literal

import msgspec

SDK: Final = "actors.strategies.sdk"
_FORWARD: Final = re.compile(r"ForwardRef\('([^']*)'\)")


class SdkMember(msgspec.Struct, frozen=True):
    """A method, property or field of a class, or a function of a module. `signature` of a field is its type."""

    name: str
    kind: Literal["method", "property", "field", "function"]
    signature: str
    description: str


class SdkItem(msgspec.Struct, frozen=True):
    """A name that the SDK offers."""

    name: str
    kind: Literal["class", "function", "module", "value"]
    signature: str
    description: str
    members: tuple[SdkMember, ...]


class SdkDocumentation(msgspec.Struct, frozen=True):
    """What `from actors.strategies.sdk import …` offers."""

    package: str
    description: str
    items: tuple[SdkItem, ...]


@functools.cache
def sdk_documentation() -> SdkDocumentation:
    """Imports the SDK, and with it numpy; reads docstrings and signatures alone."""
    package = importlib.import_module(SDK)
    items = tuple(_item(name, getattr(package, name)) for name in package.__all__)
    return SdkDocumentation(SDK, inspect.getdoc(package) or "", items)


def _item(name: str, value: Any) -> SdkItem:
    description = inspect.getdoc(value) or ""
    if inspect.isclass(value):
        return SdkItem(name, "class", _signature(value), description, tuple(_members(value)))
    if inspect.ismodule(value):
        return SdkItem(name, "module", "", description, tuple(_functions(value)))
    if callable(value):
        return SdkItem(name, "function", _signature(value), description, ())
    return SdkItem(name, "value", type(value).__name__, description, ())


def _members(kind: type) -> Iterator[SdkMember]:
    seen: set[str] = set()
    fields = getattr(kind, "__annotations__", {})
    for name, annotation in fields.items():
        if not name.startswith("_"):
            seen.add(name)
            yield SdkMember(name, "field", repr(_Plain(annotation)), "")
    for base in kind.__mro__:
        # What the SDK itself defines, and not what every object, enumeration or struct has.
        if not base.__module__.startswith(SDK):
            continue
        for name, value in vars(base).items():
            if name.startswith("_") or name in seen:
                continue
            function = value.__func__ if isinstance(value, staticmethod | classmethod) else value
            if isinstance(value, property):
                seen.add(name)
                returns = inspect.signature(value.fget).return_annotation if value.fget else ""
                yield SdkMember(name, "property", repr(_Plain(returns)), inspect.getdoc(value) or "")
            elif isinstance(function, types.FunctionType):
                seen.add(name)
                yield SdkMember(name, "method", _signature(function), inspect.getdoc(function) or "")


def _functions(module: types.ModuleType) -> Iterator[SdkMember]:
    for name in getattr(module, "__all__", sorted(vars(module))):
        value = getattr(module, name)
        if not name.startswith("_") and callable(value) and not inspect.isclass(value):
            yield SdkMember(name, "function", _signature(value), inspect.getdoc(value) or "")


class _Plain:
    """An annotation that is shown as it was written."""

    def __init__(self, annotation: Any) -> None:
        text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
        self._text = _FORWARD.sub(r"\1", text)

    def __repr__(self) -> str:
        return self._text


def _signature(value: Any) -> str:
    if getattr(value, "_is_protocol", False):
        return ""  # nobody makes one
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return ""
    empty = inspect.Signature.empty
    parameters = [
        each if each.annotation is empty else each.replace(annotation=_Plain(each.annotation))
        for each in signature.parameters.values()
        if each.name not in ("self", "cls")
    ]
    returns = signature.return_annotation
    return str(inspect.Signature(parameters, return_annotation=returns if returns is empty else _Plain(returns)))
