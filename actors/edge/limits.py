"""Every bound of the edge, with its default, and the process limit they rest on."""

from __future__ import annotations

import resource

import msgspec

PIPELINED = 16
"""Requests of one connection that are taken in before their answers are out; more wait in the socket."""

READ_BYTES = 65_536
"""At most this much is read from an HTTP connection at once: it bounds what one wake may cost the loop."""

UNSENT_BYTES = 131_072
"""What the kernel takes of a connection's answers beyond what is on its way: left to itself it takes 4 MB of each that
does not read, before any bound of ours sees it (tcp(7), TCP_NOTSENT_LOWAT)."""

FILES_IN_RESERVE = 128
"""Descriptors that connections leave to everything else: log segments, database, feeds, child processes."""


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Bounds of one server. Durations in seconds, sizes in bytes.

    A slow sender is given `header_s` for a whole head, and for a body `body_s` plus one second for every
    `body_rate` bytes that have arrived; a slow reader is given `write_s` plus one second for every `write_rate`
    bytes that it has taken. The scheme is that of Apache's mod_reqtimeout.
    """

    connections: int = 4096
    """Connections at once; one more is answered 503."""
    connections_per_address: int = 3072
    """Connections of one address at once."""
    target_bytes: int = 8_192
    """The length of a request's target."""
    header_bytes: int = 32_768
    """A request's head, all of it."""
    header_count: int = 100
    """Headers of a request."""
    body_bytes: int = 1_048_576
    """A request's body; a route may have a limit of its own."""
    header_s: float = 10.0
    """How long a whole head may take."""
    body_s: float = 10.0
    """How long a body may take, and one second more for every `body_rate` bytes."""
    body_rate: int = 1_024
    """The slowest sender that is waited for, in bytes a second."""
    request_s: float = 30.0
    """How long a handler may take before the answer is 504."""
    keep_alive_s: float = 75.0
    """How long a connection may be idle between two requests."""
    write_s: float = 30.0
    """How long a client may take nothing of an answer, and one second more for every `write_rate` bytes."""
    write_rate: int = 4_096
    """The slowest reader that is waited for, in bytes a second."""
    linger_s: float = 1.0
    """How long what a refused client still sends is read and thrown away."""
    drain_s: float = 2.0
    """How long a stop waits for answers that are under way."""
    websocket_message_bytes: int = 65_536
    """A message of a client, all of its frames."""
    websocket_pings_per_s: int = 10
    """Pings and pongs of one client."""
    websocket_backlog_bytes: int = 262_144
    """What may wait for one client that reads slowly."""
    websocket_ping_s: float = 20.0
    """How often a silent client is pinged."""
    websocket_pong_s: float = 20.0
    """How long it may take to answer."""
    websocket_close_s: float = 2.0
    """How long a client may take to answer a close."""
    disk_reserve_bytes: int = 268_435_456
    """With less free on the disk, requests that store are refused."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            least = 0 if name == "disk_reserve_bytes" else 1 if isinstance(value, int) else 0.001
            if value < least:
                raise ValueError(f"{name} must be at least {least}, not {value}")

    def shortest_s(self) -> float:
        """The shortest of all durations: deadlines are looked at a few times within it."""
        return min(
            self.header_s,
            self.body_s,
            self.request_s,
            self.keep_alive_s,
            self.write_s,
            self.linger_s,
            self.websocket_ping_s,
            self.websocket_pong_s,
            self.websocket_close_s,
        )


def raise_file_limit() -> int:
    """Raise the soft limit of open files to the hard one; return what it is now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return 2**31 if hard == resource.RLIM_INFINITY else hard


def affordable_connections(wanted: int, files: int) -> int:
    """How many of the `wanted` connections fit under a limit of `files` descriptors, with a reserve left."""
    return max(1, min(wanted, files - FILES_IN_RESERVE))
