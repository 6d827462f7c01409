"""What the node and the zygote say to each other: one message a packet of a SEQPACKET socket, in msgpack.

Both sides are trusted: no strategy's text passes here, and a worker does not have this socket. Descriptors come along
by SCM_RIGHTS: with Hello a pidfd of the zygote, with Created a pidfd of the worker and its data socket.
"""

from __future__ import annotations

from typing import Final

import msgspec

MOST_MESSAGE: Final = 64 * 1024
INSIDE: Final = "actors.strategies.sandbox.inside.loop"
"""The module that a worker runs: `prepare()` once in the zygote, `serve(fd, language=...)` in each worker."""
MEBIBYTE: Final = 1024 * 1024


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one worker may use."""

    memory_mb: int = 256
    """MiB of private writable memory beyond what the zygote has: exact."""
    call_s: float = 1.0
    """Seconds of wall clock for one call."""
    load_s: float = 5.0
    """Seconds for Load, History, Configure and Save."""
    batch_s_per_input: float = 0.05
    """Seconds for each input of a batch; a batch has `call_s` at least."""
    cpu_s: int = 86_400
    """Seconds of processor time in its whole life: a backstop."""
    nice: int = 0
    """Added to the zygote's niceness."""


class Layers(msgspec.Struct, frozen=True, kw_only=True):
    """What holds a worker. All of it, unless a test wants to see that the others hold."""

    language: bool = True
    """Rules for the source text, inside the worker."""
    seccomp: bool = True
    landlock: bool = True
    rlimits: bool = True
    user: bool = True
    """An id of its own (started as root), and no capabilities."""
    namespaces: bool = True


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What the zygote is started with: its one argument, as JSON."""

    path: tuple[str, ...]
    inside: str = INSIDE
    layers: Layers = Layers()


class Create(msgspec.Struct, frozen=True, tag="create"):
    """Make a worker. Answered by Created or Refused with the same number; its end is told by Ended."""

    number: int
    limits: Limits


class Hello(msgspec.Struct, frozen=True, tag="hello"):
    """The zygote is ready. `held`: what its workers are held by; `missing`: why the rest of the layers does not."""

    held: tuple[str, ...]
    missing: dict[str, str]
    namespaces: tuple[str, ...]
    """Which of user, pid, net, mnt, ipc and uts it has to itself."""
    landlock_abi: int


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The zygote could not start."""

    error: str


class Created(msgspec.Struct, frozen=True, tag="created"):
    """A worker runs and is locked down."""

    number: int


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """No worker was made, or it could not lock itself down."""

    number: int
    error: str


class Ended(msgspec.Struct, frozen=True, tag="ended"):
    """A worker has ended and is reaped. `status`: what it exited with, or minus the signal; `cpu_ns`: what it used."""

    number: int
    status: int
    cpu_ns: int


Told = Hello | Failed | Created | Refused | Ended

CREATE: Final = msgspec.msgpack.Decoder(Create)
TOLD: Final = msgspec.msgpack.Decoder(Told)
SETTINGS: Final = msgspec.json.Decoder(Settings)
ENCODER: Final = msgspec.msgpack.Encoder()
