"""The breaker of an account: asymmetric, what reduces passes while it is open."""

from __future__ import annotations

import msgspec


class BreakerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When the breaker opens. 0: never for that reason."""

    max_rejections: int = 5
    """So many rejections of the venue within `window_seconds`."""
    max_denials: int = 20
    """So many denials of ours within `window_seconds`; those of the breaker, of locks and of halts do not count."""
    max_loss: str = "0"
    """Share of the equity lost within `window_seconds`, from its highest there."""
    window_seconds: int = 60
    open_seconds: int = 300
    """How long it stays open; 0: until it is closed by hand."""
