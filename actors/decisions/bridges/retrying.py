"""When a call may be made again, and how long to wait before: exponential backoff with full jitter.

Full jitter (Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015): the wait is uniform between 0 and
min(most, first * 2 ** number), so that many who failed together do not come back together.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Final

import msgspec

Uniform = Callable[[float, float], float]
RETRIED: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses that may pass by themselves."""
BUSY: Final = frozenset({429, 502, 503, 504})
"""Statuses with which an upstream says that it cannot serve now."""


class Repeat(enum.Enum):
    """Whether a call may be made again after an attempt that may have arrived."""

    SAFE = "safe"
    """A question: it changes nothing."""
    IDEMPOTENT = "idempotent"
    """Twice is as good as once (RFC 9110, 9.2.2), by its meaning or by an idempotency key."""
    NEVER = "never"
    """It might be done twice: again only after an attempt that certainly did not arrive."""

    @property
    def changes(self) -> bool:
        """Whether an attempt without an answer leaves something unknown upstream."""
        return self is not Repeat.SAFE


class Backoff(msgspec.Struct, frozen=True):
    """`retries` beyond the first attempt; the waits in seconds."""

    retries: int = 3
    first_s: float = 0.2
    most_s: float = 2.0

    def wait(self, number: int, uniform: Uniform) -> float:
        """Seconds before retry `number` (0 is the first)."""
        return uniform(0.0, min(self.most_s, self.first_s * 2.0**number))


def retry_after(text: str | None, now: int) -> float | None:
    """Seconds of a `Retry-After` header (RFC 9110, 10.2.3: seconds or a date); None without a readable one."""
    if text is None:
        return None
    text = text.strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    try:
        at = parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None
    return max(0.0, at - now / 1e9) if math.isfinite(at) else None
