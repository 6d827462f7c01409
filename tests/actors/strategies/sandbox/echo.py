"""What a worker of these tests runs: it does whatever a Configure request tells it, and says what came of it.

The parameters are a msgpack map: `do` names a function here, the rest are its arguments. Done: it returned, and its
result is a log line; Failed: it raised. A Run is answered by Done at once. Stands in the place of
`actors.strategies.sandbox.inside.loop`, with nothing but the operating system between it and the machine.
"""

from __future__ import annotations

import os
import struct
from typing import Any, NoReturn

import msgspec

from actors.strategies.sandbox import wire
from tests.actors.strategies.sandbox import deeds

HEADER = struct.Struct("<I")
ENCODER = msgspec.msgpack.Encoder()


def prepare() -> None:
    """All is imported."""


def serve(fd: int, *, language: bool) -> NoReturn:
    while True:
        head = _read(fd, 4)
        if len(head) < 4:
            os._exit(0)
        request = wire.REQUEST.decode(_read(fd, HEADER.unpack(head)[0]))
        send(fd, answer(fd, request))


def send(fd: int, reply: object) -> None:
    payload = reply if isinstance(reply, bytes) else ENCODER.encode(reply)
    frame = memoryview(HEADER.pack(len(payload)) + payload)
    while frame:
        frame = frame[os.write(fd, frame) :]


def answer(fd: int, request: wire.Request) -> object:
    if isinstance(request, wire.Run):
        return wire.Done(request.id, len(request.inputs))
    if isinstance(request, wire.Save):
        return wire.Saved(request.id, b"x" * request.now)
    if not isinstance(request, wire.Configure):
        return wire.Done(request.id, 0)
    wish: dict[str, Any] = msgspec.msgpack.decode(request.parameters)
    deed = getattr(deeds, wish.pop("do"))
    if getattr(deed, "forges", False):
        return deed(fd, request, **wish)
    try:
        result = deed(**wish)
    except BaseException as error:
        return wire.Failed(request.id, 0, type(error).__name__, str(error)[:1000], memory=type(error) is MemoryError)
    return wire.Done(request.id, 0, logs=(wire.LogLine("info", str(result)[:1000]),))


def _read(fd: int, size: int) -> bytes:
    parts = b""
    while len(parts) < size:
        part = os.read(fd, size - len(parts))
        if not part:
            return b""
        parts += part
    return parts
