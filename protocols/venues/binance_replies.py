"""What Binance answers to commands on a WebSocket, and how it words an error there and over REST."""

from __future__ import annotations

from typing import Final

import msgspec

UNREADABLE: Final = (msgspec.DecodeError, UnicodeError)
"""What decoding raises: for what is no JSON, has another shape, or holds text that is no UTF-8."""


class Fault(msgspec.Struct, gc=False):
    """What an error says. Codes of a connection: 0-4 and negative ones as over REST."""

    code: int
    msg: str = ""


class Reply(msgspec.Struct, gc=False, kw_only=True):
    """The answer to a command: `result` is null, or the list of streams that was asked for. `id` is the command's."""

    result: tuple[str, ...] | bool | None = None
    id: int | str | None = None


class ErrorReply(msgspec.Struct, gc=False, kw_only=True, omit_defaults=True):
    """A command was refused. Old servers write `code` and `msg` flat, new ones within `error`."""

    code: int | None = None
    msg: str = ""
    error: Fault | None = None
    id: int | str | None = None

    @property
    def fault(self) -> Fault:
        """Code and text, whichever way they came."""
        return self.error or Fault(self.code or 0, self.msg)
