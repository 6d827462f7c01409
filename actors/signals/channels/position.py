"""How far a channel has delivered, and what it has left out, in files of the data folder.

`<name>.position` is two slots of one line each, written in turn, every line with a checksum:

    troupe-position 1 <writes> <signals> <updates> <floor signals> <floor updates> <identity> <crc32>

A write overwrites the older slot with one `pwrite` of a fixed length: it costs microseconds, needs no new disk space,
and whatever ends the process in the middle of it leaves the other slot whole. Without a sync, a machine that loses
power may come back with an older position; then some is delivered again, and nothing is lost. `identity` is drawn
when the file is made: targets that remember what they were sent know by it whose places they have. The floor is
where the channel began.

`<name>.undelivered.jsonl` has one JSON line for every message that was left out; at 1 MiB it is renamed to `.1`.
"""

from __future__ import annotations

import os
import secrets
import zlib
from collections import deque
from pathlib import Path
from typing import Final

import msgspec

from actors.signals.channels.outbox import Position, Undelivered

FOLDER: Final = "channels"
_MAGIC: Final = "troupe-position 1"
_SLOT: Final = 256
_MOST_BYTES: Final = 1 << 20


class PositionDamaged(Exception):
    """The file is there and says nothing: where the channel was is not known."""


class PositionFile:
    """An open position file. Made by `open`."""

    def __init__(self, path: Path, descriptor: int, fields: tuple[int, Position, Position, str]) -> None:
        self.path = path
        self._descriptor = descriptor
        self._writes, self.position, self.floor, self.identity = fields

    @classmethod
    def open(cls, path: Path, start: Position) -> PositionFile:
        """Open the file, or make one that begins at `start`. Raises PositionDamaged, OSError."""
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _make(path, _line(0, start, start, secrets.token_hex(8)))
        text = path.read_bytes()
        slots = [fields for at in (0, _SLOT) if (fields := _parsed(text[at : at + _SLOT])) is not None]
        if not slots:
            raise PositionDamaged(
                f"{path} holds no whole position: remove it to begin anew as the channel's `from` says, "
                "or put a copy of it back"
            )
        # Of two whole slots the one that was written later.
        return cls(path, os.open(path, os.O_RDWR | os.O_CLOEXEC), max(slots, key=lambda fields: fields[0]))

    def write(self, position: Position) -> None:
        """Note that everything up to `position` is delivered."""
        self._writes += 1
        line = _line(self._writes, position, self.floor, self.identity)
        os.pwrite(self._descriptor, line, self._writes % 2 * _SLOT)
        self.position = position

    def close(self) -> None:
        """Close it; it may be closed already."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _line(writes: int, position: Position, floor: Position, identity: str) -> bytes:
    numbers = f"{writes} {position.signals} {position.updates} {floor.signals} {floor.updates}"
    text = f"{_MAGIC} {numbers} {identity}"
    return f"{text} {zlib.crc32(text.encode()):08x}".ljust(_SLOT - 1).encode() + b"\n"


def _parsed(slot: bytes) -> tuple[int, Position, Position, str] | None:
    text, _, checksum = slot.decode("ascii", "replace").strip().rpartition(" ")
    if not text.startswith(_MAGIC + " ") or checksum != f"{zlib.crc32(text.encode()):08x}":
        return None
    numbers = text.removeprefix(_MAGIC).split()
    writes, *places = map(int, numbers[:5])
    return writes, Position(*places[:2]), Position(*places[2:]), numbers[5]


def _make(path: Path, line: bytes) -> None:
    # Both slots, so that a write never makes the file longer; a half-made file never has the name.
    half = path.with_suffix(".new")
    with half.open("wb") as file:
        file.write(line * 2)
        file.flush()
        os.fsync(file.fileno())
    half.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


class UndeliveredFile:
    """What a channel has left out; the newest `kept` are remembered."""

    def __init__(self, path: Path, kept: int = 100) -> None:
        self.path = path
        self.newest: deque[Undelivered] = deque(maxlen=kept)

    def load(self) -> None:
        """Remember what is in the file. A line that was cut by an end of the process is left out."""
        for name in (self.path.with_suffix(".jsonl.1"), self.path):
            if not name.exists():
                continue
            for line in name.read_bytes().splitlines():
                try:
                    self.newest.append(msgspec.json.decode(line, type=Undelivered))
                except msgspec.DecodeError:
                    continue

    def add(self, undelivered: Undelivered) -> None:
        """Write one down. Raises OSError."""
        if self.path.exists() and self.path.stat().st_size > _MOST_BYTES:
            self.path.replace(self.path.with_suffix(".jsonl.1"))
        with self.path.open("ab+") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    file.write(b"\n")  # the last line was cut
            file.write(msgspec.json.encode(undelivered) + b"\n")
        self.newest.append(undelivered)
