"""messages.md and runtime.md: the messages and the Python interface of the runtime.

Of protocols/control.py and runtime/administration.py, and of what `runtime` exports.
"""

from __future__ import annotations

import enum
import inspect
import re
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import msgspec

import runtime
from actors.cli.config import docstrings_of
from docs.generating.fields import default_of
from docs.generating.markdown import prose, table
from protocols import control
from runtime import administration


def messages() -> Iterator[str]:
    """What the runtime itself says."""
    yield "# Messages of the runtime"
    yield (
        "What every actor can meet, whatever the troupe is about. `protocols.control` holds the messages, outcomes and "
        "exit reasons; `runtime` exports the requests that supervisors answer."
    )
    yield "## `protocols.control`"
    yield prose(control)
    for each in _structs(control):
        yield from _struct(each)
    for outcome in (control.Refused, control.Unknown):
        yield f"### `{outcome.__name__}`"
        yield prose(outcome)
    yield "## Requests to a supervisor"
    yield prose(administration)
    for each in _structs(administration):
        yield from _struct(each)


def _structs(module: ModuleType) -> list[type[msgspec.Struct]]:
    found = vars(module).values()
    return [
        each
        for each in found
        if isinstance(each, type) and issubclass(each, msgspec.Struct) and each.__module__ == module.__name__
    ]


def _struct(struct: type[msgspec.Struct]) -> Iterator[str]:
    bases = [_base(base) for base in getattr(struct, "__orig_bases__", struct.__bases__)]
    of = ", ".join(base for base in bases if base not in ("Struct", ""))
    yield f"### `{struct.__name__}`" + (f" ({of})" if of else "")
    yield prose(struct)
    told = docstrings_of(struct)
    annotations = {
        name: text for each in reversed(struct.__mro__) for name, text in inspect.get_annotations(each).items()
    }
    rows = []
    for field in msgspec.structs.fields(struct):
        default = "" if field.required else f"`{_code(default_of(field))}`"
        rows.append((f"`{field.name}`", f"`{annotations[field.name]}`", default, told.get(field.name, "")))
    if rows:
        yield table(("Field", "Type", "Default", "Meaning"), rows)


def _code(value: Any) -> str:
    return f"{type(value).__name__}.{value.name}" if isinstance(value, enum.Enum) else repr(value)


def _base(base: Any) -> str:
    return re.sub(r"[\w.]+\.(?=\w)|~", "", base.__name__ if isinstance(base, type) else str(base))


def python_interface() -> Iterator[str]:
    """What `runtime` exports, with its docstrings."""
    yield "# Python interface"
    yield "Everything that `runtime` exports: `from runtime import Actor, ChildSpec, open_node, receive, supervisor`."
    exported = [(name, getattr(runtime, name)) for name in runtime.__all__]
    elsewhere = set(_structs(administration))
    classes = [(name, each) for name, each in exported if isinstance(each, type) and each not in elsewhere]
    functions = [(name, each) for name, each in exported if not isinstance(each, type)]
    yield "Requests to a supervisor (`StartChild` and the others) are in [messages of the runtime](messages.md)."
    yield "## Functions"
    for name, function in functions:
        yield f"### `{name}`"
        yield f"`{name}{_signature(function)}`"
        yield prose(function)
    yield "## Classes"
    for name, each in classes:
        if issubclass(each, msgspec.Struct):
            yield from _struct(each)
            continue
        yield f"### `{name}`"
        yield prose(each)
        if issubclass(each, enum.Enum):
            told = _docstrings_of_members(each)
            rows = [(f"`{member.name}`", f"`{member.value}`", told.get(member.name, "")) for member in each]
            yield table(("Member", "Value", "Meaning"), rows)
        elif rows := list(_members(each)):
            yield table(("Member", "Meaning"), rows)


def _docstrings_of_members(kind: type) -> dict[str, str]:
    """Member name to the string literal that follows the member in the source of an enumeration."""
    found = re.findall(r'^    (\w+) = [^\n]+\n    """(.*?)"""', inspect.getsource(kind), re.MULTILINE | re.DOTALL)
    return {name: " ".join(text.split()) for name, text in found}


def _members(kind: type) -> Iterator[tuple[str, str]]:
    """The public methods and properties that a class defines itself and documents."""
    for name, member in vars(kind).items():
        function = member.fget if isinstance(member, property) else member
        if name.startswith("_") or not inspect.isfunction(function) or not function.__doc__:
            continue
        prefix = "await " if inspect.iscoroutinefunction(function) else ""
        shown = name if isinstance(member, property) else f"{prefix}{name}{_signature(function, method=True)}"
        yield f"`{shown}`", " ".join((inspect.getdoc(function) or "").split())


def _signature(function: Callable[..., Any], *, method: bool = False) -> str:
    signature = inspect.signature(function)
    parameters = list(signature.parameters.values())[1 if method else 0 :]
    plain = [each.replace(default=_shown_default(each)) for each in parameters]
    text = str(signature.replace(parameters=plain))
    return re.sub(r"'([^']*)'", r"\1", text)


class _Shown:
    """A default value that is shown as code, not as its `repr`."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def _shown_default(parameter: inspect.Parameter) -> Any:
    default = parameter.default
    if default is inspect.Parameter.empty:
        return default
    if isinstance(default, enum.Enum):
        return _Shown(f"{type(default).__name__}.{default.name}")
    if isinstance(default, msgspec.Struct):
        return _Shown(f"{type(default).__name__}()")
    return _Shown("SystemClock()") if type(default).__name__ == "SystemClock" else default
