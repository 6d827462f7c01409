"""What may differ between an order and itself in another log, link by link."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Final, Literal

import msgspec

from actors.research.analysis.order_log import OrderStory
from actors.research.analysis.texts import nanos_text, span_text
from protocols.orders import Fill, Why

Cause = Literal[
    "missing_signal",
    "extra_signal",
    "unmatched",
    "declined",
    "parent",
    "not_covered",
    "other_order",
    "risk_denial",
    "rejection",
    "data_gap",
    "decision_time",
    "latency",
    "book",
    "queue",
    "price",
    "partial",
    "fee",
    "state",
    "events",
]
CAUSES: Final[dict[Cause, str]] = {
    "missing_signal": "an order of OURS whose signal THEIRS never had",
    "extra_signal": "an order of THEIRS whose signal OURS never had",
    "unmatched": "an order that one of them lacks; whether its signal came, nobody can tell",
    "declined": "the signal came and became no order",
    "parent": "the order hangs on one that differs",
    "not_covered": "one of them had not begun, or had ended",
    "other_order": "size, price or terms are others",
    "risk_denial": "risk denied it in one of them",
    "rejection": "the venue rejected it in one of them",
    "data_gap": "THEIRS had no current data of the market",
    "decision_time": "it was decided at another time",
    "latency": "it took another time to the venue or back",
    "book": "it met another message of the market",
    "queue": "another queue stood before it",
    "price": "the same book gave another price",
    "partial": "another part of it was filled",
    "fee": "another fee was charged",
    "state": "it ended in another state",
    "events": "other events on the way",
}


class Found(msgspec.Struct, frozen=True):
    """One thing that differs."""

    cause: Cause
    text: str


def fill_mark(fill: Fill) -> tuple[Any, ...]:
    """What counts of a fill."""
    why = fill.why
    return fill.price, fill.size, fill.fee, fill.fee_currency, fill.liquidity, met(why)


def met(why: Why) -> int | str:
    """The market message that a fill met. Sessions of a replay have names of their own, numbers are the venue's."""
    return why.seq or why.session


def terms(ours: OrderStory, theirs: OrderStory) -> list[Found]:
    """What was ordered otherwise."""
    names = ("side", "kind", "size", "price", "stop_price", "time_in_force", "reduce_only", "post_only")
    changed = []
    for name in names:
        a, b = getattr(ours.asked, name), getattr(theirs.asked, name)
        if a != b:
            shown = (nanos_text(a), nanos_text(b)) if name in ("size", "price", "stop_price") else (str(a), str(b))
            changed.append(f"{name} {shown[0]} became {shown[1]}")
    return [Found("other_order", ", ".join(changed))] if changed else []


def refused(ours: OrderStory, theirs: OrderStory, state: str, cause: Cause) -> list[Found]:
    """One of them was refused, the other one not."""
    if (ours.state == state) == (theirs.state == state):
        return []
    who, story = ("OURS", ours) if ours.state == state else ("THEIRS", theirs)
    return [Found(cause, f"{state} in {who}{why_of(story)}")]


def why_of(story: OrderStory) -> str:
    """Its reason, where it has one."""
    last = story.events[-1].order
    return f": {last.reason_code}, {last.reason}" if last.reason_code else ""


def fills(ours: OrderStory, theirs: OrderStory) -> list[Found]:
    """How and for what they were filled otherwise."""
    found: list[Found] = []
    if ours.fills and theirs.fills:
        a, b = ours.fills[0].why, theirs.fills[0].why
        if a.entry_ns != b.entry_ns:
            found.append(Found("latency", f"entry took {span_text(b.entry_ns)} instead of {span_text(a.entry_ns)}"))
        if met(a) != met(b):
            found.append(Found("book", f"filled by message {b.session or '-'} {b.seq} instead of {a.seq}"))
        if a.queue_ahead_at_rest != b.queue_ahead_at_rest:
            before, after = nanos_text(a.queue_ahead_at_rest), nanos_text(b.queue_ahead_at_rest)
            found.append(Found("queue", f"{after} stood ahead instead of {before}"))
        elif a.model != b.model:
            found.append(Found("queue", f"filled by {b.model} instead of {a.model}"))
    prices = [(fill.price, fill.size) for fill in ours.fills], [(fill.price, fill.size) for fill in theirs.fills]
    if ours.fills and theirs.fills and prices[0] != prices[1]:
        text = f"filled at {_average(theirs)} instead of {_average(ours)}"
        found.append(Found("price" if _average(ours) != _average(theirs) else "partial", text))
    if ours.filled != theirs.filled:
        text = f"{nanos_text(theirs.filled)} filled instead of {nanos_text(ours.filled)}"
        found.append(Found("partial", text))
    elif _fees(ours) != _fees(theirs):
        found.append(Found("fee", f"fees {_fees_text(theirs)} instead of {_fees_text(ours)}"))
    return found


def _average(story: OrderStory) -> str:
    total = sum(fill.price * fill.size for fill in story.fills)
    return nanos_text(round(Fraction(total, story.filled))) if story.filled else "-"


def _fees(story: OrderStory) -> dict[str, int]:
    found: dict[str, int] = {}
    for fill in story.fills:
        found[fill.fee_currency] = found.get(fill.fee_currency, 0) + fill.fee
    return found


def _fees_text(story: OrderStory) -> str:
    return ", ".join(f"{nanos_text(amount)} {currency}".strip() for currency, amount in _fees(story).items()) or "none"


def told(story: OrderStory) -> list[int]:
    """When its fills were told."""
    return [fill.ts for fill in story.fills]


def kinds(story: OrderStory) -> str:
    """Its events by name."""
    return " ".join(event.kind for event in story.events)
