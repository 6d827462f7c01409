"""What travels over a link: records, and how messages are put into them.

A frame is four bytes of length (big-endian) and a msgpack array of records; a record is an array that begins with its
tag. A message travels as the import path of its class and its msgpack form, and consecutive messages of one class to
one path share a record: a run is encoded and decoded by one call. A ref inside a message is (node, path), a class its
import path.
"""

from __future__ import annotations

import functools
import importlib
import sys
import typing
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import msgspec

from protocols.control import ExitReason, Message, Request
from runtime.metrics import Family
from runtime.ref import ActorRef
from runtime.tree import ActorView

VERSION = 1
"""Both ends of a link must speak the same; a host of another one is not let in."""


class Mark(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Who sent something, and in which of its lives."""

    path: str
    epoch: int
    count: int


class Record(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The base of what a frame holds."""


# The beginning and the end of a link.


class Hello(Record, frozen=True, array_like=True, tag=0):
    """The first word of a host."""

    version: int
    host: str
    token: str
    pid: int


class Welcome(Record, frozen=True, array_like=True, tag=1):
    """The node takes the host in."""


class Unwelcome(Record, frozen=True, array_like=True, tag=2):
    """The node does not know this host, or has given it up: it must end."""

    reason: str


class Heartbeat(Record, frozen=True, array_like=True, tag=3):
    """Somebody lives there."""


class Bye(Record, frozen=True, array_like=True, tag=4):
    """The host is needed no more."""


# The lives of placed actors.


class Start(Record, frozen=True, array_like=True, tag=10):
    """Start this life of an actor. `journal`: the last number of its journal, where its spec has one."""

    path: str
    spec: msgspec.Raw
    count: int
    journal: int


class Stop(Record, frozen=True, array_like=True, tag=11):
    """Ask it to end."""

    path: str
    reason: ExitReason


class Kill(Record, frozen=True, array_like=True, tag=12):
    """End it."""

    path: str
    detail: str


class Pause(Record, frozen=True, array_like=True, tag=13):
    """Suspend or resume its data lane."""

    path: str
    paused: bool


class StateIs(Record, frozen=True, array_like=True, tag=14):
    """An actor has come to this state of its life: it is up, or recovers."""

    path: str
    state: str


class Leftover(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Something that was taken and not begun: the number of an ask, or (0) a message."""

    ask: int
    cls: str
    item: msgspec.Raw
    sender: Mark | None


class Ended(Record, frozen=True, array_like=True, tag=15):
    """A life is over. `culprit`: what was being handled, if it crashed in a handler; `last`: the last messages as
    text."""

    path: str
    reason: ExitReason
    leftovers: tuple[Leftover, ...]
    culprit: Leftover | None
    last: tuple[str, ...]


class Begun(Record, frozen=True, array_like=True, tag=16):
    """So many of what was delivered in this life have been taken to be handled."""

    path: str
    count: int


class Handled(Record, frozen=True, array_like=True, tag=17):
    """So many of what was delivered in this life have been handled."""

    path: str
    count: int


# Messages.


class Tell(Record, frozen=True, array_like=True, tag=20):
    """Messages of one class to one path, in their order."""

    path: str
    cls: str
    items: msgspec.Raw
    sender: Mark | None


class Control(Record, frozen=True, array_like=True, tag=21):
    """One of the runtime's own messages, for the control lane."""

    path: str
    cls: str
    items: msgspec.Raw


class Gap(Record, frozen=True, array_like=True, tag=22):
    """The place where a lossless subscription lost something."""

    path: str
    topic: str
    key: str
    count: int


class Ask(Record, frozen=True, array_like=True, tag=23):
    """A request. `left` is the rest of its time (seconds); `waits`: the sender's handler waits for the answer; `send`:
    only whether it was accepted is to be answered."""

    number: int
    path: str
    cls: str
    items: msgspec.Raw
    left: float
    sender: Mark | None
    waits: bool
    send: bool


class Answer(Record, frozen=True, array_like=True, tag=24):
    """Done."""

    number: int
    value: msgspec.Raw


class Refusal(Record, frozen=True, array_like=True, tag=25):
    """Refused."""

    number: int
    code: str
    message: str
    field: str | None


class Lost(Record, frozen=True, array_like=True, tag=26):
    """Unknown."""

    number: int
    why: str


class Revoke(Record, frozen=True, array_like=True, tag=27):
    """Nobody waits for this ask any more."""

    number: int


# Topics and watches.


class Publish(Record, frozen=True, array_like=True, tag=30):
    """Messages of one class for whoever subscribed."""

    cls: str
    items: msgspec.Raw
    sender: Mark | None


class Missed(Record, frozen=True, array_like=True, tag=31):
    """So many publishes under a key did not fit into the link."""

    cls: str
    key: str
    count: int


class Subscribe(Record, frozen=True, array_like=True, tag=32):
    """An actor of the host subscribes."""

    path: str
    cls: str
    key: str | None
    lossless: bool


class Unsubscribe(Record, frozen=True, array_like=True, tag=33):
    """And undoes it."""

    path: str
    cls: str
    key: str | None


class Interest(Record, frozen=True, array_like=True, tag=34):
    """Who wants messages of a class at the other end: nobody, everybody's (`every`), or those under these keys."""

    cls: str
    every: bool
    keys: tuple[str, ...]


class Offer(Record, frozen=True, array_like=True, tag=35):
    """The host publishes messages of this class: it wants to know who is interested."""

    cls: str


class Watch(Record, frozen=True, array_like=True, tag=36):
    """An actor of the host watches a path of the node, or (`on` is False) does no more."""

    path: str
    target: str
    on: bool


class Gone(Record, frozen=True, array_like=True, tag=37):
    """A life of an actor below a placed supervisor is over: its subscriptions and watches are void."""

    path: str


# What the node is to know of a host.


class Row(Record, frozen=True, array_like=True, tag=40):
    """A row for the node's log."""

    cls: str
    items: msgspec.Raw


class LogLine(Record, frozen=True, array_like=True, tag=41):
    """A line of the host's log, as JSON."""

    line: str


class Views(Record, frozen=True, array_like=True, tag=42):
    """The placed branches as they are."""

    views: tuple[ActorView, ...]


class Figures(Record, frozen=True, array_like=True, tag=43):
    """The host's memory (bytes) and metrics."""

    rss: int
    families: tuple[Family, ...]


Records = (
    Hello | Welcome | Unwelcome | Heartbeat | Bye
    | Start | Stop | Kill | Pause | StateIs | Ended | Begun | Handled
    | Tell | Control | Gap | Ask | Answer | Refusal | Lost | Revoke
    | Publish | Missed | Subscribe | Unsubscribe | Interest | Offer | Watch | Gone
    | Row | LogLine | Views | Figures
)  # fmt: skip

_RECORDS = msgspec.msgpack.Decoder(list[Records])
_PLAIN = msgspec.msgpack.Encoder()
_BYTES = msgspec.msgpack.Decoder(bytes)


class NotTransferable(Exception):
    """A message cannot leave its process, or cannot be made in another one."""


def frame(records: Sequence[Record]) -> bytearray:
    """Records as the bytes of one frame."""
    buffer = bytearray(4)
    _PLAIN.encode_into(records, buffer, 4)
    buffer[:4] = (len(buffer) - 4).to_bytes(4, "big")
    return buffer


def records(body: bytes | memoryview) -> list[Any]:
    """The records of a frame without its length. Raises msgspec.MsgspecError for anything else."""
    found: list[Any] = _RECORDS.decode(body)
    return found


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
