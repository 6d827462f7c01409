"""The breaker of an account: it opens by itself when orders fail or money is lost fast, or by hand.

It is asymmetric: while it is open, cancels and orders that only reduce pass. What it refuses itself is no failure, so
it cannot keep itself open. It closes after a time, or by hand; one that was opened by hand, only by hand. Times are
arguments, integer nanoseconds that do not go backwards.
"""

from __future__ import annotations

from collections import deque
from typing import Literal

import msgspec

from protocols.nanos import NANO, decimal_text, exact_nanos

OWN_CODES = frozenset({"breaker_open", "locked", "kill_switch", "reducing_only", "parent_denied", "reduce_only"})
"""Denials that say nothing about the orders: they follow from an earlier one, or there was nothing left to reduce."""

HARMLESS = frozenset({"never_arrived", "not_sent", "locked", "reduce_only_exceeds_position"})
"""Rejections that say nothing about the orders: by our own gateway, which they did not leave, or before which a crash
came; and of an exit that another one was faster than."""


class BreakerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When the breaker opens. 0: never for that reason. Raises ValueError for what is out of its bounds."""

    max_rejections: int = 5
    """So many rejections of the venue within `window_seconds`."""
    max_denials: int = 20
    """So many denials of ours within `window_seconds`."""
    max_loss: str = "0"
    """Share of the equity lost within `window_seconds`, from its highest there; decimal text."""
    window_seconds: int = 60
    open_seconds: int = 300
    """How long it stays open; 0: until it is closed by hand."""

    def __post_init__(self) -> None:
        for field, least in (("max_rejections", 0), ("max_denials", 0), ("window_seconds", 1), ("open_seconds", 0)):
            value = getattr(self, field)
            if value < least:
                raise ValueError(f"{field}: expected at least {least}, got {value}")
        try:
            share = exact_nanos(self.max_loss)
        except ValueError as error:
            raise ValueError(f"max_loss: expected a decimal number as text, {error}") from None
        if not 0 <= share <= NANO:
            raise ValueError(f"max_loss: expected from 0 to 1, got {self.max_loss}")


class _State(msgspec.Struct, frozen=True, array_like=True):
    version: Literal[1]
    rejections: list[int]
    denials: list[int]
    equities: list[tuple[int, int]]
    reason: str
    until: int | None
    opened: int


class RiskBreaker:
    """Open or closed. `reason`: why it is open, empty while closed; `until`: None, by hand. `opened`: how often."""

    def __init__(self, settings: BreakerSettings | None = None) -> None:
        self.settings = settings or BreakerSettings()
        self.reason = ""
        self.until: int | None = None
        self.opened = 0
        self._window = self.settings.window_seconds * NANO
        self._max_loss = exact_nanos(self.settings.max_loss)
        self._rejections: deque[int] = deque()
        self._denials: deque[int] = deque()
        self._equities: deque[tuple[int, int]] = deque()
        """Moments and equities, falling: the first is the highest of the window."""

    def is_open(self, ts: int) -> bool:
        """Whether only what reduces may pass now."""
        if self.reason and self.until is not None and ts >= self.until:
            self.reset()
        return bool(self.reason)

    def trip(self, reason: str) -> None:
        """Open it by hand; only `reset` closes it."""
        self._open(reason or "by hand", None)

    def reset(self) -> None:
        """Close it; what went wrong before does not count any more."""
        self.reason = ""
        self.until = None
        self._rejections.clear()
        self._denials.clear()
        self._equities.clear()

    def on_reject(self, code: str, ts: int) -> None:
        """An order was rejected, for this reason; only those of the venue count."""
        if code in HARMLESS:
            return
        self._failed(self._rejections, self.settings.max_rejections, "rejections by the venue", ts)

    def on_denial(self, code: str, ts: int) -> None:
        """An order was denied by us, for this reason."""
        if code not in OWN_CODES:
            self._failed(self._denials, self.settings.max_denials, f"denials, the last for {code}", ts)

    def on_equity(self, equity: int, ts: int) -> None:
        """The equity now, nanos."""
        if not self._max_loss or self.is_open(ts):
            return
        equities = self._equities
        while equities and equities[-1][1] <= equity:
            equities.pop()
        equities.append((ts, equity))
        while equities[0][0] <= ts - self._window:
            equities.popleft()
        highest = equities[0][1]
        lost = highest - equity
        if lost > 0 and lost * NANO >= self._max_loss * highest:
            self._open(
                f"{decimal_text(lost)} of {decimal_text(highest)} was lost within {self.settings.window_seconds} s",
                self._until(ts),
            )

    def on_transfer(self, amount: int) -> None:
        """Money came in, or went out if negative: neither profit nor loss."""
        self._equities = deque((ts, equity + amount) for ts, equity in self._equities)

    def snapshot(self) -> bytes:
        """All of it but the settings, as msgpack."""
        return msgspec.msgpack.encode(
            _State(
                1,
                list(self._rejections),
                list(self._denials),
                list(self._equities),
                self.reason,
                self.until,
                self.opened,
            )
        )

    def restore(self, data: bytes) -> None:
        """Go on from a snapshot. Raises msgspec.ValidationError."""
        state = msgspec.msgpack.decode(data, type=_State)
        self._rejections = deque(state.rejections)
        self._denials = deque(state.denials)
        self._equities = deque(state.equities)
        self.reason, self.until, self.opened = state.reason, state.until, state.opened

    def _failed(self, moments: deque[int], most: int, what: str, ts: int) -> None:
        if not most or self.is_open(ts):
            return
        moments.append(ts)
        while moments[0] <= ts - self._window:
            moments.popleft()
        if len(moments) >= most:
            self._open(f"{len(moments)} {what}, within {self.settings.window_seconds} s", self._until(ts))

    def _open(self, reason: str, until: int | None) -> None:
        self.opened += 1
        self.reason, self.until = reason, until

    def _until(self, ts: int) -> int | None:
        return ts + self.settings.open_seconds * NANO if self.settings.open_seconds else None
