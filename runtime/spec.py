"""Child specs: how an actor is started, stopped and restarted, as data.

A spec can be sent to another process: the actor is an import path, its arguments are msgpack-encodable, and both are
checked when the spec is made. Words and defaults are Erlang/OTP's (`supervisor`), with backoff added.
"""

from __future__ import annotations

import enum
import functools
import importlib
import math
import re
from typing import Any

import msgspec

from protocols.control import Message
from runtime.breaker import BreakerSettings
from runtime.mailbox import Mailbox
from runtime.replicas import ReplicaSettings
from runtime.router import RouterSettings


class Restart(enum.Enum):
    """When a child that exited is started again."""

    PERMANENT = "permanent"
    TRANSIENT = "transient"
    TEMPORARY = "temporary"


class Strategy(enum.Enum):
    """Which children are restarted together with one that exited."""

    ONE_FOR_ONE = "one_for_one"
    ONE_FOR_ALL = "one_for_all"
    REST_FOR_ONE = "rest_for_one"


class AutoShutdown(enum.Enum):
    """When a supervisor ends by itself because of its significant children."""

    NEVER = "never"
    ANY_SIGNIFICANT = "any_significant"
    ALL_SIGNIFICANT = "all_significant"


class RestartLimit(msgspec.Struct, frozen=True):
    """More than `count` restarts within `seconds` and the supervisor gives up."""

    count: int = 3
    seconds: float = 5.0

    def __post_init__(self) -> None:
        if self.count < 0 or self.seconds <= 0:
            raise ValueError(f"a restart limit is count >= 0 in seconds > 0, got {self.count} in {self.seconds}")


class Backoff(msgspec.Struct, frozen=True):
    """The wait before a restart: none for the first in a period, then `first_s`, doubled each time up to `most_s`.

    Each wait is shortened by a random share of up to `jitter` (0 to 1) of it, so that restarts spread.
    """

    first_s: float = 0.1
    most_s: float = 30.0
    jitter: float = 0.2

    def __post_init__(self) -> None:
        if not (0 <= self.first_s <= self.most_s) or not (0 <= self.jitter <= 1):
            raise ValueError(f"a backoff is 0 <= first_s <= most_s and 0 <= jitter <= 1, got {self}")

    def delay(self, attempt: int, chance: float) -> float:
        """Seconds to wait before the `attempt`-th restart (from 1) of a period; `chance` is random in [0, 1)."""
        if attempt <= 1 or self.first_s == 0:
            return 0.0
        whole = self.most_s if attempt > 60 else min(self.most_s, self.first_s * 2.0 ** (attempt - 2))
        return float(whole * (1 - self.jitter * chance))

    def shortest(self, restarts: int) -> float:
        """Seconds that so many restarts in one period take at least."""
        return sum(self.delay(attempt, 1.0) for attempt in range(1, min(restarts, 1000) + 1))


class SupervisorOptions(msgspec.Struct, frozen=True):
    """What makes a child a supervisor."""

    children: tuple[ChildSpec, ...] = ()
    strategy: Strategy = Strategy.ONE_FOR_ONE
    limit: RestartLimit = RestartLimit()
    auto_shutdown: AutoShutdown = AutoShutdown.NEVER
    dynamic: bool = False
    max_children: int | None = None


class HostOptions(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True, kw_only=True):
    """The worker process that a placed child (`placement` other than "local") runs in.

    Raises ValueError for amounts below 0, or for both an affinity and a spread.
    """

    share: str = ""
    """Children with the same name here share one worker, and its death. Empty: one of its own."""
    cpus: float = 0.0
    """Processors that Ray sets aside (its `num_cpus`); 0: none, it may run anywhere."""
    memory_mb: float = 0.0
    """Memory that Ray sets aside, in MiB; 0: none."""
    resources: dict[str, float] = {}
    """Amounts of Ray's custom resources by name."""
    node: str = ""
    """The id, name or address of the cluster's node on which it must run; empty: any."""
    spread: bool = False
    """Whether Ray spreads such workers over its nodes; else it fills one first."""

    def __post_init__(self) -> None:
        if self.cpus < 0 or self.memory_mb < 0 or any(amount < 0 for amount in self.resources.values()):
            raise ValueError(f"amounts of cpus, memory_mb and resources must be 0 or more, got {self}")
        if self.node and self.spread:
            raise ValueError(f"a worker is bound to a node ({self.node}) or spread, not both")


NO_ARGUMENTS: dict[str, Any] = {}


class ChildSpec(msgspec.Struct, frozen=True, gc=False):
    """One child of a supervisor.

    `actor` is an import path (`package.module:Class`) or the class itself, `arguments` are its constructor's.
    Raises ValueError (with the reason) for a spec that could never work.
    """

    name: str
    actor: Any = None
    arguments: dict[str, Any] = {}
    restart: Restart = Restart.PERMANENT
    start_s: float = 10.0
    stop_s: float = 5.0
    significant: bool = False
    backoff: Backoff = Backoff()
    mailbox: Mailbox | None = None
    journal: bool = False
    breaker: BreakerSettings | None = None
    router: RouterSettings | None = None
    placement: str | tuple[str, ...] = "local"
    """`local` (this loop), `process` (a child process) or `ray` (a worker of the cluster); several: the first that can
    be had."""
    host: HostOptions = HostOptions()
    services: tuple[ChildSpec, ...] = ()
    """What it needs beside it in its worker, at `/<name>` there: what it looks up by that path is then the worker's
    own. Of those with one name the first that comes is started."""
    supervisor: SupervisorOptions | None = None
    replicas: ReplicaSettings | None = None
    """Run it several times, behind this path; breaker, journal, mailbox and placement hold for each replica."""

    def __post_init__(self) -> None:
        if not self.name or "/" in self.name:
            raise ValueError(f"a child's name is not empty and holds no '/', got {self.name!r}")
        if self.name in RESERVED_NAMES:
            raise ValueError(f"the name {self.name!r} is reserved: it is a verb of the control routes")
        if self.significant and self.restart is Restart.PERMANENT:
            raise ValueError(f"child {self.name!r}: a permanent child cannot be significant")
        if self.supervisor is None:
            _check_actor(self.name, self.actor)
        if self.start_s <= 0 or self.stop_s < 0:  # both in seconds
            raise ValueError(
                f"child {self.name!r}: expected start_s > 0 and stop_s >= 0, got {self.start_s}, {self.stop_s}"
            )
        places = self.placements()
        if places != ("local",) and not (places and set(places) <= {"process", "ray"}):
            raise ValueError(
                f"child {self.name!r}: expected placement 'local', 'process', 'ray' or several of the last two, "
                f"got {self.placement!r}"
            )
        if self.arguments:
            try:
                msgspec.msgpack.encode(self.arguments, enc_hook=_encode_ref)
            except (TypeError, msgspec.MsgspecError) as error:
                raise ValueError(f"child {self.name!r}: arguments must be msgpack-encodable: {error}") from None
        if self.supervisor is not None:
            _check_supervisor(self.name, self.supervisor)
        if self.replicas is not None:
            _check_replicas(self, self.replicas)

    def placements(self) -> tuple[str, ...]:
        """Where it may run, in the order of preference."""
        return (self.placement,) if isinstance(self.placement, str) else self.placement

    def expanded(self) -> ChildSpec:
        """The spec of the supervisor that a child with replicas is made of; it keeps the settings of the replicas."""
        replicas = self.replicas
        if replicas is None or self.supervisor is not None:
            return self
        replica = msgspec.structs.replace(self, replicas=None, significant=False)
        options = SupervisorOptions(
            children=tuple(msgspec.structs.replace(replica, name=str(number)) for number in range(replicas.count)),
            limit=RestartLimit(replicas.restart_count, replicas.restart_s),
        )
        return ChildSpec(
            name=self.name, restart=self.restart, start_s=math.inf, stop_s=math.inf, significant=self.significant,
            backoff=self.backoff, supervisor=options, replicas=replicas,
        )  # fmt: skip

    def actor_class(self) -> Any:
        """The actor's class, imported if need be."""
        return actor_class(self.actor) if isinstance(self.actor, str) else self.actor

    def actor_path(self) -> str:
        """The import path of the actor's class."""
        if self.actor is None:
            return "supervisor"
        return self.actor if isinstance(self.actor, str) else f"{self.actor.__module__}:{self.actor.__qualname__}"


RESERVED_NAMES = frozenset({"stop", "start", "restart", "pause", "resume", "resize", "kill"})


@functools.cache
def actor_class(path: str) -> Any:
    """Import `package.module:Class`. Raises ValueError if there is no such class."""
    module_name, _, name = path.partition(":")
    try:
        found = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"cannot import actor {path!r}: {error}") from error
    if not isinstance(found, type):
        raise ValueError(f"expected a class at {path!r}, got {type(found).__name__}")  # noqa: TRY004
    return found


def _encode_ref(value: object) -> object:
    path = getattr(value, "path", None)
    if isinstance(path, str):
        return {"$ref": path}
    raise TypeError(f"cannot encode a {type(value).__name__}")


def _check_actor(name: str, actor: object) -> None:
    if isinstance(actor, str):
        if not re.fullmatch(r"[\w.]+:[\w.]+", actor):
            raise ValueError(f"child {name!r}: expected an import path 'package.module:Class', got {actor!r}")
    elif not (isinstance(actor, type) and hasattr(actor, "_sync_handlers")):
        raise ValueError(f"child {name!r}: expected an actor class or its import path, got {actor!r}")


def _check_supervisor(name: str, options: SupervisorOptions) -> None:
    seen: set[str] = set()
    for child in options.children:
        if child.name in seen:
            raise ValueError(f"supervisor {name!r} has two children named {child.name!r}")
        seen.add(child.name)
        check_child(name, options, child)
    if options.dynamic and options.strategy is not Strategy.ONE_FOR_ONE:
        raise ValueError(f"dynamic supervisor {name!r}: the strategy must be one_for_one")
    if options.max_children is not None and options.max_children < 0:
        raise ValueError(f"supervisor {name!r}: expected max_children >= 0, got {options.max_children}")
    if options.max_children is not None and not options.dynamic:
        raise ValueError(f"supervisor {name!r}: max_children is for dynamic supervisors")


def _check_replicas(spec: ChildSpec, replicas: ReplicaSettings) -> None:
    if spec.router is not None:
        raise ValueError(f"child {spec.name!r} has replicas and no router of its own: let one elsewhere name its path")
    if spec.supervisor is None:
        spec.expanded()
    elif [child.name for child in spec.supervisor.children] != [str(number) for number in range(replicas.count)]:
        raise ValueError(f"child {spec.name!r}: replicas are of an actor, not of a supervisor")


def check_child(name: str, options: SupervisorOptions, child: ChildSpec) -> None:
    """Raise ValueError if `child` cannot be a child of a supervisor with these options."""
    if child.significant and options.auto_shutdown is AutoShutdown.NEVER:
        raise ValueError(f"child {child.name!r} is significant, but supervisor {name!r} has auto_shutdown never")
    if child.significant and options.dynamic:
        raise ValueError(f"child {child.name!r}: a dynamic child cannot be significant")
    shortest = child.backoff.shortest(options.limit.count)
    if child.restart is not Restart.TEMPORARY and shortest >= options.limit.seconds:
        raise ValueError(
            f"child {child.name!r}: its backoff takes at least {shortest:g} s for {options.limit.count} restarts, "
            f"so the limit of {options.limit.count} in {options.limit.seconds:g} s of supervisor {name!r} "
            "can never be reached"
        )


def supervisor(
    name: str,
    *children: ChildSpec,
    strategy: Strategy = Strategy.ONE_FOR_ONE,
    limit: RestartLimit = RestartLimit(),  # noqa: B008 - frozen
    auto_shutdown: AutoShutdown = AutoShutdown.NEVER,
    restart: Restart = Restart.PERMANENT,
    stop_s: float = math.inf,
    significant: bool = False,
    backoff: Backoff = Backoff(),  # noqa: B008 - frozen
) -> ChildSpec:
    """Return the spec of a supervisor with these children, started left to right and stopped right to left."""
    options = SupervisorOptions(children=children, strategy=strategy, limit=limit, auto_shutdown=auto_shutdown)
    return ChildSpec(
        name=name, restart=restart, start_s=math.inf, stop_s=stop_s, significant=significant, backoff=backoff,
        supervisor=options,
    )  # fmt: skip


def dynamic_supervisor(
    name: str,
    *,
    max_children: int | None = None,
    limit: RestartLimit = RestartLimit(),  # noqa: B008 - frozen
    restart: Restart = Restart.PERMANENT,
    stop_s: float = math.inf,
    significant: bool = False,
    backoff: Backoff = Backoff(),  # noqa: B008 - frozen
) -> ChildSpec:
    """Return the spec of a supervisor whose children are started at run time with `StartChild`."""
    options = SupervisorOptions(limit=limit, dynamic=True, max_children=max_children)
    return ChildSpec(
        name=name, restart=restart, start_s=math.inf, stop_s=stop_s, significant=significant, backoff=backoff,
        supervisor=options,
    )  # fmt: skip


class ChildFigures(Message, frozen=True, gc=False, tag="child_figures"):
    """How many children a supervisor has: `specs` known, `active` running, of which `supervisors`, `restarting`."""

    specs: int
    active: int
    supervisors: int
    restarting: int
