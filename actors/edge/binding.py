"""Typed requests: what a handler's signature asks for, and how it is made from path, query and body.

The fields of a request struct are filled by name. Those that the path names come from the path; of GET and DELETE all
others come from the query string; of POST and PUT they come from the JSON body, or from the query where it has them.
Strings of path and query are converted to the field's type one by one, spliced into the JSON object, and the whole is
decoded by one precompiled decoder: so digits stay exact, and every rule of the struct holds for every field.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from actors.edge.call import BodyStream, Call
from actors.edge.errors import HttpError
from actors.edge.explaining import decoded, explained
from actors.edge.parser import HttpRequest
from actors.edge.responses import Response, StreamingResponse
from actors.edge.websocket import WebSocket

_QUERY_FIELDS = 100
_encode = msgspec.json.Encoder().encode
_USUAL = ("request", "call")
_SEQUENCES = (list, tuple, set, frozenset)


class _Field:
    """One field of a request struct as path and query see it."""

    __slots__ = ("as_json", "many", "name", "required", "type", "wire_name")

    def __init__(self, field: msgspec.structs.FieldInfo) -> None:
        self.name = field.name
        self.wire_name = field.encode_name
        self.type = field.type
        self.required = field.required
        self.many = _is_sequence(field.type)
        self.as_json = _encode(field.encode_name) + b":"

    def member(self, texts: list[str]) -> bytes:
        """This field as a member of a JSON object. Raises HttpError 400."""
        try:
            if self.many:
                value = msgspec.convert(texts, self.type, strict=False)
            elif len(texts) > 1:
                raise HttpError(400, "invalid", f"{self.wire_name} is given {len(texts)} times", self.wire_name)
            else:
                value = msgspec.convert(texts[0], self.type, strict=False)
        except msgspec.ValidationError as error:
            message, field = explained(error, self.type, texts if self.many else texts[0])
            raise HttpError(400, "invalid", message, f"{self.wire_name}{field}") from None
        return self.as_json + _encode(value)


class Binding:
    """A handler's signature, compiled. Raises TypeError for one that cannot be served."""

    __slots__ = (
        "_by_wire_name",
        "_decode",
        "_extra",
        "_in_path",
        "_shape",
        "answer_type",
        "has_body",
        "in_query",
        "path_names",
        "request_type",
        "streams",
    )

    def __init__(
        self, handler: Callable[..., Any], path_names: tuple[str, ...], *, in_query: bool, websocket: bool
    ) -> None:
        self.path_names = path_names
        self.in_query = in_query
        self.request_type: Any = None
        try:
            hints = typing.get_type_hints(handler)
        except NameError as error:
            raise TypeError(f"the types of {handler.__qualname__} must be importable at run time ({error})") from None
        self.answer_type = hints.get("return")
        self._shape = self._read_signature(handler, hints, websocket)
        self.streams = "body" in self._shape
        """Whether the handler takes the body while it arrives."""
        self._decode: Callable[[bytes], Any] = msgspec.json.decode
        self._by_wire_name: dict[str, _Field] = {}
        self._in_path: dict[str, _Field] = {}
        self._extra = False
        if self.request_type is not None:
            self._read_request_type()
        self.has_body = (
            self.request_type is not None
            and not in_query
            and not self.streams
            and (not self._by_wire_name or len(self._in_path) < len(self._by_wire_name))
        )
        """Whether a JSON body fills (a part of) the request."""

    def fields(self) -> tuple[list[_Field], list[_Field]]:
        """The fields that come from the path, and all others."""
        inside = list(self._in_path.values())
        return inside, [field for field in self._by_wire_name.values() if field not in inside]

    def arguments(self, request: HttpRequest, call: Call, stream: BodyStream | WebSocket | None) -> Sequence[Any]:
        """What to call the handler with: `stream` is the body's, or the WebSocket.

        Raises HttpError 400 that names the field, what was expected and what came.
        """
        if self._shape == _USUAL:
            return self.request(request, call.path_params), call
        arguments: list[Any] = []
        for part in self._shape:
            if part == "request":
                arguments.append(self.request(request, call.path_params))
            elif part == "call":
                arguments.append(call)
            else:
                arguments.append(None if part == "none" else stream)
        return arguments

    def request(self, request: HttpRequest, path_params: dict[str, str]) -> Any:
        """The typed request. Raises HttpError 400."""
        content = b""
        try:
            if self.has_body and not self._in_path and not request.query:
                content = request.body
            else:
                content = self._spliced(request, path_params)
            return self._decode(content)
        except msgspec.ValidationError as error:
            raise self.invalid(error, content) from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            detail = "a JSON body is missing" if not request.body.strip() else f"the body is not JSON: {error}"
            raise HttpError(400, "malformed_json", detail) from None
        except RecursionError:
            raise HttpError(400, "malformed_json", "the body is nested too deeply") from None

    def invalid(self, error: msgspec.ValidationError, content: bytes) -> HttpError:
        """400 that names the field, what was expected and what came."""
        message, field = explained(error, self.request_type, decoded(content))
        return HttpError(400, "invalid", message, field or None)

    def _spliced(self, request: HttpRequest, path_params: dict[str, str]) -> bytes:
        members: list[bytes] = []
        if request.query:
            given: dict[str, list[str]] = {}
            for name, text in _pairs(request.query):
                if name in self._by_wire_name:
                    given.setdefault(name, []).append(text)
                elif self._extra:
                    raise HttpError(400, "invalid", f"there is no parameter {name[:100]}", name[:100])
            members += [self._by_wire_name[name].member(texts) for name, texts in given.items()]
        # Last, because of two equal members of an object the decoder takes the last: the path cannot be overruled.
        members += [field.member([path_params[name]]) for name, field in self._in_path.items()]
        inside = b",".join(members)
        if not self.has_body:
            return b"{" + inside + b"}"
        body = request.body.strip()
        if not inside:
            return body
        if not (body.startswith(b"{") and body.endswith(b"}")):
            if not body:
                return b"{" + inside + b"}"
            msgspec.json.decode(body)
            raise HttpError(400, "invalid", "Expected `object` as the body")
        rest = body[1:-1].strip()
        return b"{" + rest + b"," + inside + b"}" if rest else b"{" + inside + b"}"

    def _read_signature(self, handler: Callable[..., Any], hints: dict[str, Any], websocket: bool) -> tuple[str, ...]:
        if not inspect.iscoroutinefunction(handler):
            raise TypeError(f"{handler!r} is not a coroutine function")
        shape: list[str] = []
        for parameter in inspect.signature(handler).parameters.values():
            if parameter.name not in hints:
                raise TypeError(f"parameter {parameter.name} of {handler.__qualname__} has no type")
            kind = hints[parameter.name]
            if kind is Call:
                shape.append("call")
            elif kind is BodyStream:
                shape.append("body")
            elif kind is WebSocket:
                shape.append("socket")
            elif kind is type(None):
                shape.append("none")
            else:
                shape.append("request")
                self.request_type = kind
        if websocket and ("socket" not in shape or "body" in shape):
            raise TypeError(f"{handler.__qualname__} serves a WebSocket: (socket, call) or (request, socket, call)")
        if not websocket and "socket" in shape:
            raise TypeError(f"{handler.__qualname__} takes a WebSocket, so its route is made by websocket()")
        if len(set(shape)) != len(shape):
            raise TypeError(f"{handler.__qualname__} takes two parameters of the same kind: {', '.join(shape)}")
        return tuple(shape)

    def _read_request_type(self) -> None:
        kind = self.request_type
        is_struct = isinstance(kind, type) and issubclass(kind, msgspec.Struct)
        if is_struct:
            for info in msgspec.structs.fields(kind):
                field = _Field(info)
                self._by_wire_name[field.wire_name] = field
                if field.name in self.path_names:
                    self._in_path[field.name] = field
            self._extra = bool(kind.__struct_config__.forbid_unknown_fields)
        elif self.in_query or self.streams:
            raise TypeError(f"a request that comes from path and query is a struct, not {kind!r}")
        self._decode = msgspec.json.Decoder(kind).decode


def is_answer_struct(kind: Any) -> bool:
    """Whether the type of a handler's answer has a schema (a `Response` has none)."""
    return kind is not None and kind is not type(None) and kind not in (Response, StreamingResponse, Any)


def _is_sequence(kind: Any) -> bool:
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return any(_is_sequence(member) for member in typing.get_args(kind))
    return (typing.get_origin(kind) or kind) in _SEQUENCES


def _pairs(query: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(query.decode("ascii"), keep_blank_values=True, max_num_fields=_QUERY_FIELDS, errors="strict")
    except UnicodeDecodeError:
        raise HttpError(400, "invalid", "the query is not UTF-8") from None
    except ValueError:
        raise HttpError(400, "invalid", f"a query has at most {_QUERY_FIELDS} fields") from None
