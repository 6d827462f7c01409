"""Which names a strategy may use. One rule for what stands in the source and for what is asked by `getattr`.

Names come NFKC-normalised: Python itself reads `ｏs` as `os`.
"""

from __future__ import annotations

import types
import unicodedata
from typing import Final

INTERNAL_PREFIXES: Final = ("gi_", "cr_", "ag_", "tb_", "f_", "co_")
"""Generators, coroutines, tracebacks, frames and code objects name all their attributes so."""

INTERNAL: Final = frozenset(
    name
    for kind in (
        types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType, types.TracebackType, types.FrameType,
        types.CodeType,
    )
    for name in vars(kind)
    if name.startswith(INTERNAL_PREFIXES)
)  # fmt: skip
"""The same, exactly: as attributes they could also be reached by a pattern that names a field of a class."""

FORBIDDEN_ATTRIBUTES: Final = {
    "mro": "the order of base classes is nothing that a strategy needs",
    "ctypes": "memory addresses are not available",
    "cffi": "memory addresses are not available",
    "capsule": "memory addresses are not available",
    "tofile": "a strategy has no files; what is to survive goes into on_save()",
    "dump": "a strategy has no files; what is to survive goes into on_save()",
    "dumps": "only json.dumps of an imported json is available",
    "with_traceback": "raise the exception itself",
    "format_map": "use an f-string",
    "bit_generator": "its class begins with what the machine makes up; use numpy.random.default_rng(seed)",
    "obj": "choose another name: exceptions show objects under this one",
}

DEFINABLE: Final = frozenset(
    f"__{name}__"
    for name in (
        "init", "new", "post_init", "repr", "str", "bytes", "format", "hash", "bool", "len", "length_hint", "iter",
        "next", "reversed", "contains", "getitem", "setitem", "delitem", "missing", "call", "enter", "exit", "eq",
        "ne", "lt", "le", "gt", "ge", "add", "radd", "iadd", "sub", "rsub", "isub", "mul", "rmul", "imul", "matmul",
        "rmatmul", "imatmul", "truediv", "rtruediv", "itruediv", "floordiv", "rfloordiv", "ifloordiv", "mod", "rmod",
        "imod", "divmod", "rdivmod", "pow", "rpow", "ipow", "lshift", "rlshift", "ilshift", "rshift", "rrshift",
        "irshift", "and", "rand", "iand", "or", "ror", "ior", "xor", "rxor", "ixor", "neg", "pos", "abs", "invert",
        "int", "float", "complex", "index", "round", "trunc", "floor", "ceil", "getattr", "setattr", "delattr", "get",
        "set", "delete", "set_name", "init_subclass", "class_getitem", "copy", "deepcopy",
    )
)  # fmt: skip
"""Methods with two underscores that a class may define, and call of a base class."""

READABLE: Final = frozenset({"__name__", "__qualname__", "__doc__", "__version__", "__members__"})
"""Attributes with two underscores that may be read."""

BY_STRING: Final = frozenset({"__setattr__", "__delattr__"})
"""Methods of a base class that take an attribute's name as text."""

VARIABLES: Final = frozenset(
    {"__name__", "__doc__", "__debug__", "__all__", "__version__", "__author__", "__slots__", "__hash__"}
)
"""Names with two underscores that may stand alone."""

OWN: Final = frozenset({"self", "cls", "other"})
"""Whose attributes with one underscore may be used."""

PUBLIC: Final = frozenset({"_asdict", "_replace", "_fields", "_make", "_field_defaults", "_value_", "_name_"})
"""What named tuples and enumerations offer, under names that look private."""

CREATORS: Final = frozenset(
    {"object", "tuple", "str", "int", "float", "bytes", "frozenset", "dict", "list", "set", "complex"}
)
"""Classes whose `__new__` may be called by name."""

CLASS_BODY: Final = frozenset(
    {
        "__module__", "__qualname__", "__annotations__", "__doc__", "__slots__", "__match_args__", "__hash__",
        "__classcell__", "__orig_bases__", "__parameters__", "__static_attributes__", "__firstlineno__",
    }
)  # fmt: skip
"""What a class statement may put into a class, besides methods."""

FORBIDDEN_KEYWORDS: Final = {"refcheck": "memory that others still use cannot be given back"}

FORBIDDEN_BUILTINS: Final = {
    "open": "a strategy has no files; what is to survive goes into on_save()",
    "eval": "write the expression itself",
    "exec": "write the statements themselves",
    "compile": "write the code itself",
    "input": "a strategy is alone; declare a Parameter for what is to be set from outside",
    "breakpoint": "use print(), it goes to the strategy's log",
    "globals": "keep what you need in a dictionary of your own",
    "locals": "keep what you need in a dictionary of your own",
    "vars": "keep what you need in a dictionary of your own, or use a dataclass and dataclasses.asdict()",
    "dir": "name the attributes that you need",
    "help": "use print(), it goes to the strategy's log",
    "memoryview": "use numpy arrays and their slices",
    "exit": "return from the function",
    "quit": "return from the function",
}


def normalised(name: str) -> str:
    """A name as Python reads it."""
    return name if name.isascii() else unicodedata.normalize("NFKC", name)


def is_special(name: str) -> bool:
    """Whether it has two underscores on both sides."""
    return len(name) > 4 and name.startswith("__") and name.endswith("__")


def variable_problem(name: str) -> str | None:
    """Why a name may not stand for a variable, an argument, a function or a class; None: it may."""
    name = normalised(name)
    if is_special(name) and name not in VARIABLES and name not in DEFINABLE:
        return "names with two underscores on both sides belong to Python itself"
    if name in INTERNAL:
        return "Python's frames and generators use this name; choose another"
    return None


def attribute_problem(name: str, *, own: bool) -> str | None:
    """Why an attribute may not be used; None: it may. `own`: of `self` and the like."""
    name = normalised(name)
    if name.startswith("_"):
        if is_special(name):
            if name in BY_STRING:
                return (
                    "inside of __setattr__(self, name, value) write super().__setattr__(name, value); elsewhere "
                    "object.__setattr__(self, 'a literal name', value)"
                )
            if name in DEFINABLE or name in READABLE:
                return None
            return _SPECIAL.get(name, "attributes with two underscores on both sides belong to Python itself")
        if name == "_evaluate":
            return "text is not evaluated: write the expression itself"
        if own or name in PUBLIC:
            return None
        return "a leading underscore makes it private: it can be used through self or cls only"
    if name.startswith(INTERNAL_PREFIXES):
        return f"attributes that begin with {name.partition('_')[0]}_ belong to Python's frames and generators"
    return FORBIDDEN_ATTRIBUTES.get(name)


_SPECIAL: Final = {
    "__class__": "use type(value)",
    "__dict__": "name the attributes, or use a dataclass and dataclasses.asdict()",
    "__import__": "use an import statement",
}
