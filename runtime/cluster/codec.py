"""How messages are put into the records of a link, and classes named so that another process can import them."""

from __future__ import annotations

import functools
import importlib
import sys
import typing
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import msgspec

from protocols.control import Message, Request
from runtime.ref import ActorRef

_PLAIN = msgspec.msgpack.Encoder()
_BYTES = msgspec.msgpack.Decoder(bytes)


class NotTransferable(Exception):
    """A message cannot leave its process, or cannot be made in another one."""


class Codec:
    """Messages to bytes and back, for one node or host: `ref` makes its refs, `name` is the node's."""

    def __init__(self, name: str, ref: Callable[[str], ActorRef]) -> None:
        self.name = name
        self.ref = ref
        self._encoder = msgspec.msgpack.Encoder(enc_hook=self._encode)
        self._json = msgspec.json.Encoder(enc_hook=self._encode)
        self._decoders: dict[str, Callable[[Any], Any]] = {}
        self._answers: dict[type, Callable[[Any], Any]] = {}

    def pack(self, value: Any, kind: Any = None) -> msgspec.Raw:
        """Anything as msgpack, in the form of its type (`kind`, see `form_of`). Raises NotTransferable."""
        try:
            form = None if kind is None else form_of(kind)
            if form == "json":
                return msgspec.Raw(_PLAIN.encode(self._json.encode(value)))
            if form == "any":
                return msgspec.Raw(self._encoder.encode(portable(value)))
            return msgspec.Raw(self._encoder.encode(value))
        except (TypeError, ValueError, NotImplementedError, OverflowError, RecursionError) as error:
            raise NotTransferable(f"{type(value).__name__} cannot be encoded: {error}") from error

    def messages(self, cls: str, items: msgspec.Raw) -> list[Any]:
        """The messages of a run. Raises NotTransferable."""
        decoder = self._decoders.get(cls)
        decoded: list[Any]
        try:
            if decoder is None:
                found = class_at(cls)
                decoder = self._decoders[cls] = self._decoder(list[found], found)  # type: ignore[valid-type]
            decoded = decoder(items)
        except (TypeError, ValueError, NameError, ImportError, AttributeError) as error:
            raise NotTransferable(f"{cls} cannot be decoded: {error}") from error
        return decoded

    def answer(self, request: type, value: msgspec.Raw) -> Any:
        """The answer to a request of this class. Raises NotTransferable."""
        decoder = self._answers.get(request)
        try:
            if decoder is None:
                kind = answer_type(request)
                decoder = self._answers[request] = self._decoder(kind, kind)
            return decoder(value)
        except (TypeError, ValueError, NameError) as error:
            raise NotTransferable(f"the answer to {request.__name__} cannot be decoded: {error}") from error

    def _decoder(self, kind: Any, judged: Any) -> Callable[[Any], Any]:
        if form_of(judged) != "json":
            return msgspec.msgpack.Decoder(kind, dec_hook=self._decode, ext_hook=_from_extension).decode
        from_json = msgspec.json.Decoder(kind, dec_hook=self._decode).decode
        return lambda packed: from_json(_BYTES.decode(packed))

    def convert(self, value: Any, annotation: Any) -> Any:
        """A decoded value as what an annotation says. Raises NotTransferable."""
        try:
            return msgspec.convert(value, annotation, dec_hook=self._decode)
        except (TypeError, ValueError) as error:
            raise NotTransferable(str(error)) from error

    def _encode(self, value: object) -> object:
        if isinstance(value, ActorRef):
            return (self.name, value.path)
        if isinstance(value, type):
            return path_of(value)
        raise NotImplementedError(f"cannot encode a {type(value).__name__}")

    def _decode(self, kind: type, value: Any) -> Any:
        if kind is ActorRef:
            return self.ref(value[1])
        raise NotImplementedError(f"cannot decode a {kind.__name__}")


@functools.cache
def form_of(kind: Any) -> Literal["plain", "json", "any"]:
    """How what is of a type travels.

    `json`: it has a field of free JSON (`msgspec.Raw`), which msgpack cannot hold as it is; `any`: it has a field that
    may be anything, so that JSON and decimals in it must say what they are; `plain`: msgpack knows all of it.
    """
    found: set[str] = set()
    seen: set[int] = set()

    def look(info: Any) -> None:
        if id(info) in seen:
            return
        seen.add(id(info))
        found.add(type(info).__name__)
        parts: list[Any] = []
        for name in ("fields", "types", "item_types"):
            parts += getattr(info, name, ())
        parts += [getattr(info, name, None) for name in ("type", "item_type", "key_type", "value_type")]
        for part in parts:
            if isinstance(part, msgspec.inspect.Type | msgspec.inspect.Field):
                look(part)

    look(msgspec.inspect.type_info(kind))
    return "json" if "RawType" in found else "any" if "AnyType" in found else "plain"


JSON_EXTENSION = 1
DECIMAL_EXTENSION = 2


def portable(value: Any) -> Any:
    """A value in which free JSON and decimals say what they are."""
    if isinstance(value, msgspec.Struct):
        config = value.__struct_config__
        fields = [portable(getattr(value, name)) for name in value.__struct_fields__]
        if config.array_like:
            return fields if config.tag is None else [config.tag, *fields]
        named = dict(zip(value.__struct_encode_fields__, fields, strict=True))
        return named if config.tag is None else {config.tag_field: config.tag, **named}
    if isinstance(value, dict):
        return {key: portable(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [portable(each) for each in value]
    if isinstance(value, msgspec.Raw):
        return msgspec.msgpack.Ext(JSON_EXTENSION, bytes(value))
    if isinstance(value, Decimal):
        return msgspec.msgpack.Ext(DECIMAL_EXTENSION, str(value).encode())
    return value


def _from_extension(code: int, content: memoryview) -> Any:
    if code == JSON_EXTENSION:
        return msgspec.Raw(bytes(content))
    if code == DECIMAL_EXTENSION:
        return Decimal(bytes(content).decode())
    raise ValueError(f"unknown extension {code}")


@functools.cache
def answer_type(request: type) -> Any:
    """What a request's class says of its answer; Any where it says nothing."""
    for base in getattr(request, "__orig_bases__", ()):
        origin = typing.get_origin(base)
        if origin is Request:
            (found,) = typing.get_args(base)
            if isinstance(found, typing.ForwardRef):
                return eval(found.__forward_arg__, vars(sys.modules[request.__module__]))  # noqa: S307 - our own source
            return Any if isinstance(found, typing.TypeVar) else found
    for parent in request.__bases__:
        if parent is not Message and issubclass(parent, Request) and parent is not Request:
            return answer_type(parent)
    return Any


@functools.cache
def path_of(cls: type) -> str:
    """The import path of a class; of the script that was started, as another process can import it.

    Raises NotTransferable for a class inside a function.
    """
    if "<locals>" in cls.__qualname__:
        raise NotTransferable(f"{cls.__qualname__} is inside a function: another process cannot import it")
    module = cls.__module__
    return f"{main_name() if module == '__main__' else module}:{cls.__qualname__}"


@functools.cache
def class_at(path: str) -> type:
    """The class at an import path. Raises ImportError or AttributeError."""
    module, _, name = path.partition(":")
    is_main = not _main and module == main_name()
    found: Any = sys.modules["__main__"] if is_main else importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return typing.cast("type", found)


def set_main(name: str) -> None:
    """In a worker: the node runs this module as its main program."""
    _main.append(name)


_main: list[str] = []
"""In a worker, the node's main program; it is imported by its name there."""


@functools.cache
def main_name() -> str:
    """By what name another process can import what runs here as `__main__`."""
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return str(spec.name)
    file = getattr(main, "__file__", None)
    return "__main__" if file is None else Path(file).stem
