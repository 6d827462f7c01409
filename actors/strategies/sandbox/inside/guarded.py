"""Functions and classes of Python that would reach attributes by text, in forms that keep the rules on names."""

from __future__ import annotations

import builtins
import dataclasses
import functools
import keyword
import operator
from collections.abc import Callable
from types import GenericAlias
from typing import Any, Final, NoReturn

from actors.strategies.sandbox.inside import names
from actors.strategies.sandbox.inside.facade import Facade

MODULE: Final = "strategy"
"""The module of classes that a strategy defines."""

_MISSING: Final = object()


def _checked(value: object, name: object) -> str:
    """The name of an attribute that may be used. Raises AttributeError, or TypeError for what is no plain text."""
    if type(name) is not str:
        raise TypeError(f"attribute name must be string, not {type(name).__name__!r}")
    kind = type(value)
    own = builtins.type.__getattribute__(kind, "__module__") == MODULE
    if name in ("dump", "dumps") and kind is Facade:
        return name
    problem = names.attribute_problem(name, own=own)
    if problem is None and name == "format" and isinstance(value, str | builtins.type):
        problem = "use an f-string"
    if problem is not None:
        raise AttributeError(f"{name} cannot be used: {problem}")
    return name


def guarded_getattr(value: object, name: str, default: Any = _MISSING, /) -> Any:
    """Python's getattr within the rules on names."""
    if default is _MISSING:
        return getattr(value, _checked(value, name))
    return getattr(value, _checked(value, name), default)


def guarded_hasattr(value: object, name: str, /) -> bool:
    """Python's hasattr within the rules on names: what must not be read is not there."""
    try:
        return hasattr(value, _checked(value, name))
    except AttributeError:
        return False


def guarded_setattr(value: object, name: str, new: object, /) -> None:
    """Python's setattr within the rules on names."""
    setattr(value, _writable(value, name), new)


def guarded_delattr(value: object, name: str, /) -> None:
    """Python's delattr within the rules on names."""
    delattr(value, _writable(value, name))


def _writable(value: object, name: object) -> str:
    checked = _checked(value, name)
    if names.is_special(checked):
        raise AttributeError(f"{checked} cannot be set")
    return checked


class _OneArgument(builtins.type):
    def __call__(cls, *arguments: Any) -> Any:
        if len(arguments) != 1:
            raise TypeError("type() takes 1 argument: write a class statement to make a class")
        kind = builtins.type(arguments[0])
        return guarded_type if issubclass(kind, builtins.type) else kind

    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, builtins.type)

    def __subclasscheck__(cls, kind: builtins.type) -> bool:
        return issubclass(kind, builtins.type)

    def __repr__(cls) -> str:
        return "<class 'type'>"


class _Type(metaclass=_OneArgument):
    """`type(value)`, `isinstance(value, type)` and `type[X]`; classes are made by class statements."""

    def __init_subclass__(cls) -> NoReturn:
        raise TypeError("type cannot be a base class here")

    def __class_getitem__(cls, item: Any) -> GenericAlias:
        return GenericAlias(builtins.type, item)


_Type.__name__ = _Type.__qualname__ = "type"
guarded_type: Final[Any] = _Type


def attrgetter(name: str, /, *more: str) -> Callable[[Any], Any]:
    """operator.attrgetter within the rules on names."""
    paths = [_path(each) for each in (name, *more)]

    def read(value: Any) -> Any:
        found = tuple(functools.reduce(guarded_getattr, path, value) for path in paths)
        return found if len(found) > 1 else found[0]

    return read


def _path(name: object) -> list[str]:
    if type(name) is not str:
        raise TypeError("attribute name must be a string")
    return name.split(".")


def methodcaller(name: str, /, *arguments: Any, **named: Any) -> Callable[[Any], Any]:
    """operator.methodcaller within the rules on names."""

    def call(value: Any) -> Any:
        return guarded_getattr(value, name)(*arguments, **named)

    return call


def update_wrapper(wrapper: Any, wrapped: Any) -> Any:
    """functools.update_wrapper of the usual attributes; no others can be named."""
    return functools.update_wrapper(wrapper, wrapped)


def wraps(wrapped: Any) -> Callable[[Any], Any]:
    """functools.wraps of the usual attributes; no others can be named."""
    return functools.wraps(wrapped)


def dataclass(cls: Any = None, /, **options: Any) -> Any:
    """dataclasses.dataclass. The fields' names become code there, so they have to be names."""
    if cls is None:
        return lambda found: dataclass(found, **options)
    for base in builtins.type.mro(cls):
        for name in vars(base).get("__annotations__", {}):
            if type(name) is not str or not name.isidentifier() or keyword.iskeyword(name) or names.is_special(name):
                raise TypeError(f"a field of a dataclass needs a name, got {str(name)[:80]!r}")
    return dataclasses.dataclass(**options)(cls)


index_of: Final = operator.index
