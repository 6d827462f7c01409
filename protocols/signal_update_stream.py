"""What became of signals, on `WS /api/signals/stream`, for clients that subscribe with `"updates": true`.

    {"type": "update", "seq": 4, "data": {"signal_id": "...", "symbol": "...", "status": "expired", ...},
     "timestamp": "..."}
    {"type": "lagged", "stream": "updates", "from": 5, "to": 9, "count": 5}

Updates have places of their own: `seq` is that of the stream of updates, not of signals. They begin with the
subscription; what became of a signal before is asked for over HTTP. An update may come ahead of its signal.
"""

from __future__ import annotations

from typing import Final

import msgspec

from protocols.signal_deliveries import WireUpdate, wire_update
from protocols.signal_stream import timestamp
from protocols.signals import StoredUpdate

UPDATES: Final = "updates"


class UpdateMessage(msgspec.Struct, frozen=True, tag_field="type", tag="update"):
    """What became of a signal. `timestamp`: when that was stored."""

    seq: int
    data: WireUpdate
    timestamp: str


class UpdatesLaggedMessage(
    msgspec.Struct, frozen=True, tag_field="type", tag="lagged", rename={"first": "from", "last": "to"}
):
    """Updates with places `from` to `to` were not sent: the client read too slowly, or they are not held any more.

    At most `count` of them were of its symbols.
    """

    stream: str
    first: int
    last: int
    count: int


_encode = msgspec.json.Encoder().encode


def encode_update(stored: StoredUpdate) -> bytes:
    """The `update` message of a stored update: the same for all subscribers."""
    return _encode(UpdateMessage(stored.seq, wire_update(stored), timestamp(stored.ts_stored)))


def encode_updates_lagged(first: int, last: int, count: int) -> bytes:
    """The message that tells of updates that were not sent."""
    return _encode(UpdatesLaggedMessage(UPDATES, first, last, count))
