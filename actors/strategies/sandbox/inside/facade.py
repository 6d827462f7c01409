"""A facade: the public names of a module, and nothing of the module itself.

Real modules show what they import: `statistics.sys`, `json.codecs.builtins`. A facade holds copies of chosen names.
It has no `__name__`: with one, `from facade import missing` would find the real submodule among the loaded ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any, NoReturn


class Facade:
    """Chosen names of a module, to be read only."""

    def __init__(self, name: str, content: Mapping[str, Any]) -> None:
        self.__dict__.update(content)
        # In the instance, or a look-up of a missing name would find the class's.
        object.__setattr__(self, "_called", name)

    def __getattr__(self, name: str) -> NoReturn:
        # Without the object itself in the exception, as AttributeError would have it by default.
        raise AttributeError(f"{object.__getattribute__(self, '_called')} has no {name!r} for strategies") from None

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("what was imported cannot be changed")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("what was imported cannot be changed")

    def __repr__(self) -> str:
        return f"<module {object.__getattribute__(self, '_called')!r}>"

    def __copy__(self) -> Facade:
        return self

    def __deepcopy__(self, memo: object) -> Facade:
        return self


def title(facade: Facade) -> str:
    """The name of the module."""
    return str(object.__getattribute__(facade, "_called"))


def names_of(facade: Facade) -> frozenset[str]:
    """The public names of a facade."""
    return frozenset(name for name in vars(facade) if not name.startswith("_"))


def facade_of(
    module: ModuleType,
    name: str | None = None,
    *,
    only: Iterable[str] | None = None,
    without: Iterable[str] = (),
    instead: Mapping[str, Any] | None = None,
) -> Facade:
    """A facade of a module's public names: those of `only`, or of its `__all__`, or all that are no modules.

    `instead` replaces and adds names.
    """
    chosen = only if only is not None else getattr(module, "__all__", None) or vars(module)
    left_out = frozenset(without)
    content = {
        each: value
        for each in chosen
        if not each.startswith("_")
        and each not in left_out
        and not isinstance(value := getattr(module, each), ModuleType)
    }
    return Facade(name or module.__name__, {**content, **(instead or {})})
