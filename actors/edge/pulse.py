"""What all connections of a server share and touch at every request: the coarse time, and the counts."""

from __future__ import annotations


class Pulse:
    """Monotonic seconds, moved on by the server's sweep: reading a clock for every deadline would cost more."""

    __slots__ = ("now",)

    def __init__(self, now: float = 0.0) -> None:
        self.now = now


class Figures:
    """What a server has done since it was made."""

    __slots__ = (
        "aborted_websockets",
        "accept_failures",
        "accepted",
        "expired",
        "failed",
        "frames",
        "refused_connections",
        "refused_frames",
        "refused_requests",
        "requests",
        "websockets",
    )

    def __init__(self) -> None:
        self.accepted = 0
        """Connections taken."""
        self.refused_connections = 0
        """Connections answered 503 because the server, or their address, had enough of them."""
        self.accept_failures = 0
        """Times that no descriptor or memory was left for a connection."""
        self.requests = 0
        """Requests answered, whatever the answer."""
        self.refused_requests = 0
        """Requests answered with a status from 400 to 499."""
        self.failed = 0
        """Requests answered with a status from 500 on."""
        self.expired = 0
        """Connections cut because the client or the handler was too slow."""
        self.websockets = 0
        """WebSockets opened."""
        self.aborted_websockets = 0
        """WebSockets cut because their client did not read, or was not heard of."""
        self.frames = 0
        """Messages taken for sending on WebSockets."""
        self.refused_frames = 0
        """Messages that a full backlog turned away."""
