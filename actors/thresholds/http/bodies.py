"""How the threshold service speaks over HTTP: the envelope of answers, the names of users and thresholds, times.

A threshold `rsi` is called `rsi_threshold` here. Success is `{"success": true, "data": …}`. What is not known is null.
"""

from __future__ import annotations

from typing import Annotated, Final, Generic, Literal, TypeVar

import msgspec

from protocols.signal_stream import timestamp

T = TypeVar("T")
User = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
Name = Annotated[str, msgspec.Meta(max_length=256)]
BATCH: Final = 1000
"""The most signals, or trades, of one request."""


class Success(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """How every answer looks."""

    success: Literal[True] = True
    data: T


def named(parameter: str) -> str:
    """A threshold's name here."""
    return f"{parameter}_threshold"


def when(ns: int | None) -> str | None:
    """A time, or null for none."""
    return timestamp(ns) if ns else None
