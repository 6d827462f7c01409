"""Functions and classes of Python that would reach attributes by text, in forms that keep the rules on names."""

from __future__ import annotations

import abc
import builtins
import collections
import dataclasses
import enum
import functools
import keyword
import typing
import warnings
from collections.abc import Callable, Iterable
from types import FunctionType, GenericAlias
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
    if names.is_special(name) and name not in names.READABLE:
        problem = problem or "attributes with two underscores on both sides are not read by their text"
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
    if type(name) is str and name in names.DEFINABLE:
        return hasattr(value, name)
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
            _check_field(name)
    return dataclasses.dataclass(**options)(cls)


def _check_field(name: object) -> None:
    """A field can be matched by its place, and then its name is an attribute's. Raises TypeError."""
    if type(name) is not str or not name.isidentifier() or keyword.iskeyword(name):
        raise TypeError(f"expected the name of a field, got {str(name)[:80]!r}")
    if problem := names.variable_problem(name) or names.attribute_problem(name, own=True):
        raise TypeError(f"{name} cannot be the name of a field: {problem}")


def namedtuple(typename: str, field_names: str | Iterable[str], **options: Any) -> Any:
    """collections.namedtuple within the rules on names."""
    listed = field_names.replace(",", " ").split() if isinstance(field_names, str) else list(field_names)
    plain = [str.__str__(each) for each in listed]
    if not options.get("rename"):
        for each in plain:
            _check_field(each)
    make: Any = collections.namedtuple
    made = make(typename, plain, **{**options, "module": MODULE})
    for each in made._fields:
        _check_field(each)
    return made


class _NamedTuple:
    """typing.NamedTuple: as a base class, and with its fields given, within the rules on names."""

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[Any, ...]:
        real: Any = typing.NamedTuple
        entries: tuple[Any, ...] = real.__mro_entries__(tuple(real if each is self else each for each in bases))
        return entries

    def __call__(self, typename: str, fields: Iterable[tuple[str, Any]] = (), /) -> Any:
        pairs = list(fields)
        for name, _ in pairs:
            _check_field(name)
        return typing.NamedTuple(typename, pairs)


NAMED_TUPLE: Final = _NamedTuple()


def build_class(function: Any, name: str, /, *bases: Any, **named: Any) -> Any:
    """`__build_class__` of strategies: a class statement, and a look at what has come of it. Raises TypeError."""
    return _settled(builtins.__build_class__(function, name, *bases, **named))


def _settled(kind: Any) -> Any:
    """A class whose look-up of attributes keeps the rules on names."""
    if not isinstance(kind, builtins.type):
        return kind
    content = builtins.type.__getattribute__(kind, "__dict__")
    for each in content.get("__match_args__", ()):
        _check_field(each)
    look_up = content.get("__getattr__")
    if look_up is not None and all(look_up is not each for each in _SETTLED):
        if not isinstance(look_up, FunctionType):
            raise TypeError("__getattr__ has to be a function")
        builtins.type.__setattr__(kind, "__getattr__", _without_special(look_up))
    return kind


_SETTLED: Final[list[object]] = []


def _without_special(look_up: FunctionType) -> Any:
    # Whoever asks an object for `__array_interface__` takes the answer for an address in memory.
    @functools.wraps(look_up)
    def plain(value: Any, name: str) -> Any:
        if names.is_special(name):
            raise AttributeError(name)
        return look_up(value, name)

    _SETTLED.append(plain)
    return plain


def harden() -> None:
    """Close, in this process and for good, what cannot be given to a strategy in another form.

    A class that was registered for one of Python's own could name attributes of that by pattern, and members of an
    enumeration that is made by a call could be methods of Python's.
    """
    register, create = abc.ABCMeta.register, enum.EnumType._create_  # type: ignore[attr-defined]

    def guarded_register(cls: Any, subclass: Any) -> Any:
        if builtins.type.__getattribute__(subclass, "__module__") != MODULE:
            raise TypeError("only classes of the strategy's own can be registered")
        return register(cls, subclass)

    def guarded_create(cls: Any, class_name: str, found: Any, /, **named: Any) -> Any:
        if not isinstance(found, str):
            found = [(each, found[each]) for each in found] if isinstance(found, dict) else list(found)
            for each in found:
                name = each if isinstance(each, str) else each[0]
                if type(name) is not str or names.is_special(name):
                    raise TypeError(f"expected the name of a member, got {str(name)[:80]!r}")
        return create(cls, class_name, found, **named)

    abc.ABCMeta.register = guarded_register  # type: ignore[method-assign]
    enum.EnumType._create_ = guarded_create  # type: ignore[attr-defined]


class ABCMeta(abc.ABCMeta):
    """abc.ABCMeta for class statements: what it could be given besides is refused."""

    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], /, **named: Any) -> ABCMeta:
        """Make a class. Raises TypeError for names that a class statement cannot have."""
        for each in namespace:
            if names.is_special(each) and each not in names.DEFINABLE | names.CLASS_BODY:
                raise TypeError(f"{each} cannot be defined")
        made: ABCMeta = _settled(super().__new__(cls, name, bases, namespace, **named))
        return made

    def __init_subclass__(cls) -> NoReturn:
        raise TypeError("ABCMeta cannot be a base class here")


ABCMeta.__module__ = "abc"


class catch_warnings:  # noqa: N801 - the standard library's name
    """warnings.catch_warnings, which puts the filters back."""

    def __init__(self, *, action: Any = None, category: type[Warning] = Warning) -> None:
        self._action = action
        self._category = category

    def __enter__(self) -> None:
        self._filters = list(_filters())
        if self._action is not None:
            warnings.simplefilter(self._action, self._category)

    def __exit__(self, *_: object) -> None:
        _filters()[:] = self._filters
        _mutated()


def _filters() -> Any:
    found: Any = warnings.filters
    return found


def _mutated() -> None:
    # As catch_warnings does: what was decided for a line by other filters counts no more.
    mutated: Any = vars(warnings)["_filters_mutated"]
    mutated()
