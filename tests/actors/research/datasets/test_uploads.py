"""A form that arrives in pieces, wherever they are cut; and forms that are none."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.edge.errors import HttpError
from actors.research.datasets.uploads import Arriving, Form

BOUNDARY = "----WebKitFormBoundary7MA4YWxkTrZu0gW"
TYPE = f"multipart/form-data; boundary={BOUNDARY}"


def form(*parts: tuple[str, str | None, bytes], end: str = "--") -> bytes:
    found = b""
    for name, file_name, content in parts:
        told = f'; filename="{file_name}"' if file_name is not None else ""
        found += (
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{told}\r\n\r\n'.encode() + content + b"\r\n"
        )
    return found + f"--{BOUNDARY}{end}\r\n".encode()


async def pieces(content: bytes, size: int) -> AsyncIterator[bytes]:
    for at in range(0, len(content), size):
        yield content[at : at + size]


async def take(path: Path, content: bytes, size: int = 65_536, most: int = 10_000, kind: str | None = TYPE) -> Form:
    await trio.Path(path).unlink(missing_ok=True)
    return await Arriving(kind).take(pieces(content, size), path, most)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=300) | st.just(f"\r\n--{BOUNDARY[:-1]}x".encode()), size=st.integers(1, 400))
async def test_a_file_is_whole_wherever_its_pieces_are_cut(tmp_path: Path, content: bytes, size: int) -> None:
    path = tmp_path / "file"
    found = await take(path, form(("name", None, b"one"), ("file", "a.csv", content), ("tags", None, b"x")), size)
    assert path.read_bytes() == content
    assert (found.file_name, found.size, found.fields) == ("a.csv", len(content), {"name": ["one"], "tags": ["x"]})


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (form(("file", "a", b"x"), ("file", "b", b"y")), 400, "invalid"),
        (form(("name", None, b"x")), 400, "invalid"),
        (form(("name", None, b"\xff"), ("file", "a", b"x")), 400, "invalid"),
        (form(("file", "a", b"x"), end=""), 400, "malformed_form"),
        (b"no form at all", 400, "malformed_form"),
        (form(("file", "a", b"x" * 10_001)), 413, "body_too_large"),
        (form(("name", None, b"x" * 70_000), ("file", "a", b"x")), 413, "too_large"),
    ],
)
async def test_what_is_no_form_with_one_file_is_refused(tmp_path: Path, content: bytes, status: int, code: str) -> None:
    most = 10_000 if status == 413 and code == "body_too_large" else 100_000
    with pytest.raises(HttpError) as caught:
        await take(tmp_path / "file", content, 1000, most)
    assert (caught.value.status, caught.value.code) == (status, code)


@pytest.mark.parametrize("kind", [None, "application/json", "multipart/form-data", "text/csv; boundary=x"])
async def test_another_content_type_is_refused(tmp_path: Path, kind: str | None) -> None:
    with pytest.raises(HttpError) as caught:
        await take(tmp_path / "file", form(("file", "a", b"x")), kind=kind)
    assert (caught.value.status, caught.value.field) == (415, "content-type")
