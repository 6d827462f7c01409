"""One call of a venue's REST interface, as data: who builds it does no I/O, who sends it knows no venue."""

from __future__ import annotations

from urllib.parse import urlencode

import msgspec


class RestCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call, what it is for, and what it costs of the venue's budget.

    `purpose` and `market` come back with the answer, so that whoever made the call knows it again. `query` is in the
    order in which it is sent. `signed`: it needs the account's key.
    """

    purpose: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    method: str = "GET"
    body: bytes = b""
    cost: int = 1
    market: str = ""
    signed: bool = False

    @property
    def target(self) -> str:
        """The path with its query."""
        return f"{self.path}?{urlencode(self.query)}" if self.query else self.path
