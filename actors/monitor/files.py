"""Small files in the data folder, which are whole or the ones before. Blocking: for a thread."""

from __future__ import annotations

import os
from pathlib import Path


def read(file: Path) -> bytes:
    """What is in it; empty where there is none. Raises OSError."""
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return b""


def write(file: Path, content: bytes) -> None:
    """Put this in its place, or leave it as it is. Raises OSError."""
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_name(f"{file.name}.new")
    with beside.open("wb") as opened:
        opened.write(content)
        opened.flush()
        os.fsync(opened.fileno())
    beside.replace(file)
