"""Who may come in: so many requests a minute of one client, and the administrator where everybody is meant."""

from __future__ import annotations

import math
from typing import Final

from actors.decisions.serving.buckets import Buckets
from actors.edge.call import Call
from actors.edge.errors import HttpError
from actors.edge.routing import Router
from actors.thresholds.http.desk import DESK
from actors.thresholds.http.messages import Bounds, CheckAdmin, GetBounds
from protocols.control import Refused, Unknown

ASK_S: Final = 1.0
FRESH_NS: Final = 1_000_000_000
"""So soon a change of the limits is noticed."""
ADMIN_HEADER: Final = "x-admin-key"


class Entrance:
    """What the edge knows of limits: clients' buckets, and the bounds as they were last."""

    def __init__(self, _: Router) -> None:
        self.buckets: Buckets | None = None
        self.bounds: Bounds | None = None
        self.read_at = -FRESH_NS


async def bounds(call: Call) -> Bounds | None:
    """What holds now; None: nobody could ever be asked."""
    known = call.router.once("thresholds.entrance", Entrance)
    now = call.node.clock.monotonic()
    if now - known.read_at >= FRESH_NS:
        try:
            found = await call.ref(DESK).ask(GetBounds(), ASK_S)
        except (Refused, Unknown):
            return known.bounds
        known.read_at = now
        per_minute = found.requests_per_minute
        if known.bounds is None or known.bounds.requests_per_minute != per_minute:
            known.buckets = Buckets(per_minute / 60, per_minute) if per_minute else None
        known.bounds = found
    return known.bounds


async def admit(call: Call) -> None:
    """Take a token from the client's bucket. Raises HttpError 429 with `Retry-After` when there is none."""
    await bounds(call)
    buckets = call.router.once("thresholds.entrance", Entrance).buckets
    if buckets is None:
        return
    wait_s = buckets.take(call.client, call.node.clock.monotonic())
    if wait_s:
        text = f"more than {buckets.burst} requests a minute from {call.client}"
        raise HttpError(429, "rate_limited", text, headers=(("retry-after", str(math.ceil(wait_s))),))


async def administrator(call: Call) -> None:
    """Raise Refused `unauthorized` or `forbidden` (401, 403) unless the administrator's key is there, and right."""
    await call.ref(DESK).ask(CheckAdmin(call.headers.get(ADMIN_HEADER, "") or ""), ASK_S)
