"""A file that arrives as multipart/form-data (RFC 7578), written to the disk as it comes. Knows no actor.

The parser is the package `multipart`; the bytes that wait here are those of one piece of a body and of the buffer.
"""

from __future__ import annotations

from collections.abc import AsyncIterable
from pathlib import Path
from typing import BinaryIO, Final

import msgspec
import trio
from multipart import (
    MultipartError,
    MultipartSegment,
    PushMultipartParser,
    parse_options_header,
)

from actors.edge.errors import HttpError, unavailable

BUFFER_BYTES: Final = 1 << 20
FIELD_BYTES: Final = 65_536
SEGMENTS: Final = 64
OVERHEAD: Final = 1 << 20
"""What a form may have beside the file."""


class Form(msgspec.Struct):
    """The fields of a form, each as often as it came, and the file. `size` in bytes."""

    fields: dict[str, list[str]]
    file_name: str
    size: int


class Arriving:
    """Takes the file of a form into the folder of `path`. `most_bytes`: of the file.

    Raises HttpError: 415 for another content type, 400 for what is no form, 413 for too much.
    """

    def __init__(self, content_type: str | None) -> None:
        kind, options = parse_options_header(content_type or "")
        if kind.lower() != "multipart/form-data" or not options.get("boundary"):
            message = f"expected multipart/form-data with a boundary, got {(content_type or 'none')[:100]}"
            raise HttpError(415, "content_type", message, "content-type", headers=(("accept", "multipart/form-data"),))
        self.boundary = options["boundary"]

    async def take(self, body: AsyncIterable[bytes], path: Path, most_bytes: int) -> Form:
        """Read the whole form; the file is at `path` when this returns."""
        fields: dict[str, list[str]] = {}
        file_name: str | None = None
        size = 0
        parts: list[bytearray] = []
        waiting = bytearray()
        in_file = False
        segment: MultipartSegment | None = None
        try:
            parser = PushMultipartParser(self.boundary, max_segment_count=SEGMENTS, max_segment_size=most_bytes)
            async with _Open(path) as file:
                async for piece in body:
                    for event in parser.parse(piece):
                        if isinstance(event, MultipartSegment):
                            segment, parts, in_file = event, [], event.filename is not None
                            if in_file and file_name is not None:
                                raise HttpError(400, "invalid", "expected one file, got two", event.name[:100])
                            file_name = event.filename if in_file else file_name
                        elif event is None:
                            if segment is not None and not in_file:
                                fields.setdefault(segment.name, []).append(_text(parts, segment.name))
                            segment = None
                        elif in_file:
                            size += len(event)
                            waiting += event
                        else:
                            parts.append(event)
                            if sum(map(len, parts)) > FIELD_BYTES:
                                name = "" if segment is None else segment.name[:100]
                                raise HttpError(413, "too_large", f"expected at most {FIELD_BYTES} bytes", name)
                    if len(waiting) >= BUFFER_BYTES:
                        await file.write(waiting)
                        waiting = bytearray()
                await file.write(waiting)
            parser.close()
        except MultipartError as error:
            if error.http_status == 413:
                raise HttpError(413, "body_too_large", f"a file has at most {most_bytes} bytes here", "file",
                                close=True) from None  # fmt: skip
            raise HttpError(400, "malformed_form", f"the form cannot be read: {error}", "file", close=True) from None
        except OSError as error:
            raise unavailable("not_stored", f"the file cannot be written: {error.strerror}", close=True) from None
        if file_name is None:
            raise HttpError(400, "invalid", "expected a form with a file, got none", "file")
        return Form(fields, file_name, size)


class _Open:
    """A file that is written on a thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None

    async def __aenter__(self) -> _Open:
        self._file = await trio.to_thread.run_sync(self._path.open, "xb")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._file is not None
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(self._file.close)

    async def write(self, content: bytearray) -> None:
        assert self._file is not None
        if content:
            await trio.to_thread.run_sync(self._file.write, content)


def _text(parts: list[bytearray], name: str) -> str:
    try:
        return b"".join(parts).decode()
    except UnicodeDecodeError:
        raise HttpError(400, "invalid", "expected text in UTF-8", name[:100]) from None
