"""What a node and its gateway say to each other: one message per line, as JSON.

    node → gateway    GatewaySettings first; then Place, Kill, Describe
    gateway → node    Connected; then Nodes, Placed, NotPlaced, Ended; Lost at the end

A `host` is the name that the node gives to a worker; it names one worker at a time. Each Place is answered by Placed or
NotPlaced, each Placed is followed by Ended, unless Lost comes first, which ends everything.
"""

from __future__ import annotations

import msgspec

from runtime.spec import HostOptions

LOST_STATUS = 75
"""The gateway's exit status after Lost (EX_TEMPFAIL of sysexits.h: it is worth trying again)."""
NAMESPACE = "troupe"


class Line(msgspec.Struct, frozen=True, gc=False, kw_only=True, tag_field="type", forbid_unknown_fields=True):
    """One message."""


class GatewaySettings(Line, frozen=True, gc=False, tag="settings"):
    """The first line: the cluster, and how long things may take, in seconds."""

    address: str
    """Of the cluster's head, `host:port`."""
    token: str = ""
    """Empty: the cluster asks for none."""
    namespace: str = NAMESPACE
    place_s: float = 60.0
    """Until a worker runs."""
    lost_s: float = 10.0
    """That the head may be silent."""


class Place(Line, frozen=True, gc=False, tag="place"):
    """Start a worker. Answered by Placed or NotPlaced; NotPlaced too if a host of this name is there."""

    host: str
    settings: bytes
    """For the worker's entry; opaque here."""
    options: HostOptions = HostOptions()
    avoid: tuple[str, ...] = ()
    """Ids of nodes that are not taken if another will do."""
    entry: str = "runtime.cluster.host:run_in_thread"
    """`package.module:function`, called in the worker with the settings; it returns the thread that it has started."""


class Kill(Line, frozen=True, gc=False, tag="kill"):
    """End a worker at once. Ended or NotPlaced follows; for an unknown host nothing does."""

    host: str


class Describe(Line, frozen=True, gc=False, tag="describe"):
    """Tell the nodes again. Answered by Nodes."""


class ClusterMember(msgspec.Struct, frozen=True):
    """A node of the cluster."""

    id: str
    name: str
    address: str
    alive: bool
    resources: dict[str, float]
    """What it offers in all, in Ray's words: `CPU`, `memory` (bytes), custom ones."""


class Connected(Line, frozen=True, gc=False, tag="connected"):
    """The gateway is in the cluster and takes commands; those that came before were kept."""

    address: str
    nodes: tuple[ClusterMember, ...]


class Nodes(Line, frozen=True, gc=False, tag="nodes"):
    """Another set of nodes is alive now. Nodes that died while the gateway was there are told with it."""

    nodes: tuple[ClusterMember, ...]


class Placed(Line, frozen=True, gc=False, tag="placed"):
    """A worker runs, and its entry was called."""

    host: str
    node_id: str
    node_name: str
    node_address: str
    pid: int


class NotPlaced(Line, frozen=True, gc=False, tag="not_placed"):
    """There is no such worker, and nothing of it is left."""

    host: str
    reason: str
    failed: bool = False
    """It was made, and failed; else there was no room for it, and there may be some later."""


class Ended(Line, frozen=True, gc=False, tag="ended"):
    """A worker that was placed has ended."""

    host: str
    reason: str


class Lost(Line, frozen=True, gc=False, tag="lost"):
    """The cluster cannot be reached, or not any more. All workers are given up, the gateway ends (LOST_STATUS)."""

    reason: str


Command = Place | Kill | Describe
Event = Connected | Nodes | Placed | NotPlaced | Ended | Lost


def encode(message: Line) -> bytes:
    """Return the message as a line, with the line end."""
    return msgspec.json.encode(message) + b"\n"


def decode_settings(line: bytes) -> GatewaySettings:
    """Read the first line. Raises msgspec.ValidationError or msgspec.DecodeError."""
    return msgspec.json.decode(line, type=GatewaySettings)


_commands: msgspec.json.Decoder[Command] = msgspec.json.Decoder(Command)
_events: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


def decode_command(line: bytes) -> Command:
    """Read what a node says. Raises msgspec.ValidationError or msgspec.DecodeError."""
    return _commands.decode(line)


def decode_event(line: bytes) -> Event:
    """Read what a gateway says. Raises msgspec.ValidationError or msgspec.DecodeError."""
    return _events.decode(line)


class Lines:
    """The lines in a stream of bytes that comes in pieces."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, piece: bytes) -> list[bytes]:
        """Take a piece; returns the lines that are whole now, without their ends."""
        *whole, self._rest = (self._rest + piece).split(b"\n")
        return whole
