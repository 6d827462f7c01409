"""Which order of one log is which of another.

By client order id; then by signal and leg; then by market, side and kind, the nearest in time. Two clocks that have
nothing in common (a recording's and a wall's) are laid over one another first.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from statistics import median
from typing import Final, Literal

import msgspec

from actors.research.analysis.order_log import OrderStory
from protocols.nanos import NANO

By = Literal["client_order_id", "signal", "time", ""]
Stories = Mapping[str, OrderStory]
HOUR: Final = 3_600 * NANO


class Pair(msgspec.Struct, frozen=True):
    """An order in both logs, or in one of them. `by`: how it was found."""

    ours: OrderStory | None
    theirs: OrderStory | None
    by: By = ""


class Matched(msgspec.Struct, frozen=True):
    """All orders of both logs, each once. `shift`: how much later their clock is, ns; 0 where they tell one time."""

    pairs: tuple[Pair, ...]
    shift: int = 0


def matched(ours: Stories, theirs: Stories, *, within_ns: int, align: bool = False) -> Matched:
    """The orders of two logs laid side by side, in the order of time.

    `within_ns`: how far apart in time they may be. `align`: the first orders of both count as of one time.
    """
    left, right = dict(ours), dict(theirs)
    pairs = [Pair(left.pop(name), right.pop(name), "client_order_id") for name in list(left) if name in right]
    pairs += _by_key(left, right)
    shift = _shift(ours, theirs, pairs, align=align)
    pairs += _by_time(left, right, within_ns, shift)
    pairs += [Pair(story, None) for story in left.values()]
    pairs += [Pair(None, story) for story in right.values()]
    return Matched(tuple(sorted(pairs, key=lambda pair: _moment(pair, shift))), shift)


def _moment(pair: Pair, shift: int) -> int:
    moments = []
    if pair.ours is not None:
        moments.append(pair.ours.created)
    if pair.theirs is not None:
        moments.append(pair.theirs.created - shift)
    return min(moments)


def _by_key(left: dict[str, OrderStory], right: dict[str, OrderStory]) -> list[Pair]:
    """Orders of one signal: the leg is the last letter of the id, which the deployment's own name stands before."""
    found = []
    waiting: dict[Hashable, list[OrderStory]] = defaultdict(list)
    for story in right.values():
        if story.asked.signal_id:
            waiting[_leg(story)].append(story)
    for name, story in list(left.items()):
        others = waiting.get(_leg(story)) if story.asked.signal_id else None
        if others:
            other = others.pop(0)
            del left[name], right[other.name]
            found.append(Pair(story, other, "signal"))
    return found


def _leg(story: OrderStory) -> Hashable:
    order = story.asked
    return order.signal_id, order.market, order.side, order.kind, order.client_order_id[-1:]


def _shift(ours: Stories, theirs: Stories, pairs: Sequence[Pair], *, align: bool) -> int:
    """How much later their times are: told by orders with a common id, where the two are far apart in time."""
    if not ours or not theirs:
        return 0
    mine, other = _span(ours.values()), _span(theirs.values())
    if align:
        return other[0] - mine[0]
    apart = max(other[0] - mine[1], mine[0] - other[1])
    if apart <= max(HOUR, mine[1] - mine[0], other[1] - other[0]):
        return 0  # one clock
    known = [pair.theirs.created - pair.ours.created for pair in pairs if pair.ours and pair.theirs]
    return int(median(known)) if known else 0


def _span(stories: Iterable[OrderStory]) -> tuple[int, int]:
    first = last = None
    for story in stories:
        first = story.created if first is None else min(first, story.created)
        end = story.events[-1].ts
        last = end if last is None else max(last, end)
    assert first is not None
    assert last is not None
    return first, last


def _by_time(left: dict[str, OrderStory], right: dict[str, OrderStory], within_ns: int, shift: int) -> list[Pair]:
    groups: dict[Hashable, list[OrderStory]] = defaultdict(list)
    for story in right.values():
        groups[_form(story)].append(story)
    times = {}
    for key, group in groups.items():
        group.sort(key=lambda story: story.created)
        times[key] = [story.created - shift for story in group]
    candidates = []
    for story in left.values():
        key = _form(story)
        if key in groups:
            first = bisect_left(times[key], story.created - within_ns)
            stop = bisect_right(times[key], story.created + within_ns)
            for place in range(first, stop):
                other = groups[key][place]
                apart = abs(times[key][place] - story.created)
                candidates.append((apart, story.asked.size != other.asked.size, story.created, story.name, other.name))
    found = []
    for *_, name, other_name in sorted(candidates):
        if name in left and other_name in right:
            found.append(Pair(left.pop(name), right.pop(other_name), "time"))
    return found


def _form(story: OrderStory) -> Hashable:
    order = story.asked
    return order.market, order.side, order.kind, order.source
