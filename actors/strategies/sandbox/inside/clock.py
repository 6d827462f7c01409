"""The strategy's clock: it stands at the node's time of the input that is being handled."""

from __future__ import annotations

from typing import Final


class Clock:
    """The time of the input at hand, ns since the epoch, UTC."""

    __slots__ = ("now",)

    def __init__(self) -> None:
        self.now = 0


CLOCK: Final = Clock()
"""One process runs one strategy, and that has one clock."""
