"""The supervisor tree as a table: a pure function from the node's JSON, so that any sample can be drawn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from actors.cli.report import paint, table

HEAD = ("PATH", "STATE", "SINCE", "RESTARTS", "MAILBOX", "RATE/s", "NOTES")
NONE = "—"
WELL = frozenset({"up", "running"})
UNDER_WAY = frozenset({"starting", "recovering", "backoff", "stopping", "paused", "degraded", "waiting"})


class MailboxView(msgspec.Struct, frozen=True):
    """How full a mailbox is, and what it has lost."""

    depth: int
    capacity: int | None = None
    dropped: int = 0


class ActorView(msgspec.Struct, frozen=True):
    """One entry of `GET /api/v1/actors`. `since` is in ns since the epoch, `rate` in messages per second."""

    path: str
    kind: str = "actor"
    cls: str = ""
    state: str = ""
    since: int | None = None
    incarnation: str | None = None
    restarts: int = 0
    restart_reason: str | None = None
    mailbox: MailboxView | None = None
    rate: float | None = None
    handling: str | None = None
    breaker: Any = None
    router: Any = None
    replicas: Any = None
    strategy: str | None = None
    next_try_s: float | None = None
    children: tuple[ActorView, ...] = ()
    remark: str = ""
    node: str = ""
    worker: str = ""
    hidden: int = 0
    """Children that the node has left out of its answer."""


class Row(NamedTuple):
    """One line of the table, before it is aligned."""

    branch: str
    state: str
    since: str
    restarts: str
    mailbox: str
    rate: str
    reason: str


def decode(document: Any) -> ActorView:
    """The tree in a node's answer. Raises msgspec.ValidationError when it is none."""
    return msgspec.convert(document, ActorView)


def render(root: ActorView, now: int, *, depth: int | None = None, limit: int = 50) -> str:
    """The table. `now` in ns since the epoch; `depth` levels below the root, `limit` children per branch."""
    rows = list(lines(root, now, depth=depth, limit=limit))
    # Coloured only after the columns are aligned: escape sequences have a length but no width.
    text = table(HEAD, rows).split("\n")
    states = [row.state for row in rows]
    width = max(len(row.branch) for row in [*rows, Row(*HEAD)]) + 2
    coloured = [text[0]]
    for line, state in zip(text[1:], states, strict=True):
        coloured.append(line[:width] + line[width:].replace(state, paint(state, colour_of(state)), 1))
    return "\n".join(coloured)


def colour_of(state: str) -> str:
    """Green is well, yellow is under way, red is down."""
    word = state.split(" ")[0]
    return "green" if word in WELL else "yellow" if word in UNDER_WAY else "red"


def lines(root: ActorView, now: int, *, depth: int | None, limit: int) -> Iterator[Row]:
    """The rows of a branch, from its root down."""
    yield from _lines(root, root.path, "", "", now, depth, limit)


def _lines(
    actor: ActorView, name: str, before: str, below: str, now: int, depth: int | None, limit: int
) -> Iterator[Row]:
    if actor.children and depth == 0:
        yield _summed(actor, f"{before}{name} ({_count(actor):,})", now)
        return
    yield _row(actor, before + name, now)
    shown, hidden = _chosen(actor.children, limit)
    left_out = len(hidden) + actor.hidden
    for number, child in enumerate(shown):
        last = number == len(shown) - 1 and not left_out
        yield from _lines(
            child,
            child.path.rsplit("/", 1)[-1],
            below + ("└─ " if last else "├─ "),
            below + ("   " if last else "│  "),
            now,
            None if depth is None else depth - 1,
            limit,
        )
    if left_out:
        state = _worst(hidden) if hidden else ""
        rate = _rate(sum(child.rate or 0.0 for child in hidden)) if hidden else ""
        yield Row(f"{below}└─ … {left_out:,} more", state, "", "", "", rate, "")


def _chosen(children: tuple[ActorView, ...], limit: int) -> tuple[tuple[ActorView, ...], tuple[ActorView, ...]]:
    """What is shown of many children and what is not: the ones that are not well come first, order is kept."""
    if len(children) <= limit:
        return children, ()
    numbers = sorted(range(len(children)), key=lambda number: children[number].state in WELL)
    kept = set(numbers[:limit])
    return (
        tuple(child for number, child in enumerate(children) if number in kept),
        tuple(child for number, child in enumerate(children) if number not in kept),
    )


def _row(actor: ActorView, branch: str, now: int) -> Row:
    return Row(
        branch,
        actor.state or NONE,
        age(actor.since, now),
        str(actor.restarts),
        NONE if actor.kind == "supervisor" else _mailbox(actor.mailbox),
        NONE if actor.kind == "supervisor" or actor.rate is None else _rate(actor.rate),
        " · ".join(filter(None, (_place(actor), _reason(actor)))),
    )


def _place(actor: ActorView) -> str:
    """Where it runs, if that is another process: the cluster's node and the worker."""
    return f"on {actor.node}, worker {actor.worker}" if actor.worker else ""


def _summed(actor: ActorView, branch: str, now: int) -> Row:
    """A collapsed branch: the worst state in it, its restarts, what waits and what flows in all of it."""
    everyone = list(_descendants(actor))
    waiting = sum(one.mailbox.depth for one in everyone if one.mailbox)
    return Row(
        branch,
        _worst((actor, *everyone)),
        age(actor.since, now),
        str(sum(one.restarts for one in (actor, *everyone))),
        f"{waiting:,}",
        _rate(sum(one.rate or 0.0 for one in everyone)),
        _reason(actor),
    )


def _descendants(actor: ActorView) -> Iterator[ActorView]:
    for child in actor.children:
        yield child
        yield from _descendants(child)


def _count(actor: ActorView) -> int:
    return sum(1 + child.hidden for child in _descendants(actor)) + actor.hidden


def _worst(actors: tuple[ActorView, ...]) -> str:
    """The worst state among actors, with how many are not well."""
    unwell = [actor.state for actor in actors if actor.state not in WELL]
    if not unwell:
        return actors[0].state or NONE
    worst = max(unwell, key=lambda state: state not in UNDER_WAY)
    return f"{worst} {len(unwell)}"


def _mailbox(mailbox: MailboxView | None) -> str:
    if mailbox is None:
        return NONE
    bound = "" if mailbox.capacity is None else f"/{mailbox.capacity}"
    lost = f" -{mailbox.dropped:,}" if mailbox.dropped else ""
    return f"{mailbox.depth}{bound}{lost}"


def _rate(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 10 or rate == 0 else f"{rate:.1f}"


def _reason(actor: ActorView) -> str:
    notes = []
    down = sum(1 for child in actor.children if child.state not in WELL)
    if down:
        notes.append(f"{down} of {len(actor.children)} children not up")
    if actor.remark:
        notes.append(actor.remark)
    if actor.restart_reason:
        notes.append(actor.restart_reason)
    if actor.next_try_s is not None:
        notes.append(f"next try in {actor.next_try_s:.1f}s")
    for name, wrapped in (("breaker", actor.breaker), ("router", actor.router), ("replicas", actor.replicas)):
        if wrapped:
            notes.append(f"{name} {_wrapped(wrapped)}")
    return "; ".join(" ".join(note.split()) for note in notes)


def _wrapped(told: Any) -> str:
    """A breaker's state, the share that each variant of a router gets, or how many replicas have got how much."""
    if isinstance(told, dict) and "state" in told:
        return str(told["state"])
    if isinstance(told, dict) and isinstance(told.get("variants"), list):
        return " ".join(
            f"{variant['name']} {'shadow' if variant.get('shadow') else format(variant['share'], '.0%')}"
            for variant in told["variants"]
        )
    if isinstance(told, dict) and isinstance(told.get("replicas"), list):
        routed = sum(replica.get("routed", 0) for replica in told["replicas"])
        return f"{told.get('count')} {told.get('routing')}, {routed:,} routed"
    return str(told)


def age(since: int | None, now: int) -> str:
    """How long ago, in at most two units: `12s`, `2h14m`, `3d4h`. Both in ns since the epoch."""
    if since is None:
        return NONE
    seconds = max(0, now - since) // 1_000_000_000
    if seconds < 60:
        return f"{seconds}s"
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if minutes < 60:
        return f"{minutes}m{seconds % 60:02d}s"
    if hours < 24:
        return f"{hours}h{minutes % 60:02d}m"
    return f"{days}d{hours % 24}h"
