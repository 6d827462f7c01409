"""What a venue can say that is no data."""

from __future__ import annotations


class WireError(Exception):
    """The bytes are no frame of the venue: the connection that sent them cannot be trusted."""


class VenueError(Exception):
    """The venue refused a call, or its answer is none. `status` is HTTP's; `code` the venue's own word.

    `retry_s`: how long to wait before it may be tried again; None: trying again will not help.
    """

    def __init__(self, status: int, code: str, message: str, retry_s: float | None = None) -> None:
        super().__init__(status, code, message)
        self.status = status
        self.code = code
        self.message = message
        self.retry_s = retry_s

    def __str__(self) -> str:
        return f"HTTP {self.status} {self.code}: {self.message}"
