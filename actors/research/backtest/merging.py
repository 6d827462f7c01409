"""Several streams as one, in the order of time."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from actors.research.backtest.sources import Batch, Source


def merged(sources: Sequence[Source]) -> Iterator[Batch]:
    """All sources as one stream, by (time, source). One source is passed on as it is."""
    if len(sources) == 1:
        yield from sources[0].batches()
        return
    heads = [head for head in (_Head(source.batches()) for source in sources) if head.refill()]
    while heads:
        head = heads[0]
        if len(heads) == 1:
            yield head.rest()
            if not head.refill():
                return
            continue
        # Of equal times the first source wins, so it may go on up to the other's time, a later one only before it.
        chosen = min(range(len(heads)), key=lambda at: heads[at].now)
        head = heads[chosen]
        first = min((each.now for each in heads[:chosen]), default=None)
        later = min((each.now for each in heads[chosen + 1 :]), default=None)
        bounds = [bound for bound in (first, None if later is None else later + 1) if bound is not None]
        yield head.until(min(bounds))
        if head.at >= len(head.batch.ts) and not head.refill():
            del heads[chosen]


class _Head:
    """A source that is being merged: the batch that is open, and how far it was taken."""

    __slots__ = ("_batches", "at", "batch")

    def __init__(self, batches: Iterator[Batch]) -> None:
        self._batches = batches
        self.batch = Batch("mixed", [], [])
        self.at = 0

    @property
    def now(self) -> int:
        return self.batch.ts[self.at]

    def refill(self) -> bool:
        for batch in self._batches:
            if batch.ts:
                self.batch, self.at = batch, 0
                return True
        return False

    def rest(self) -> Batch:
        at, self.at = self.at, len(self.batch.ts)
        return self.batch if at == 0 else Batch(self.batch.kind, self.batch.ts[at:], self.batch.messages[at:])

    def until(self, bound: int) -> Batch:
        """The messages before `bound`; there is at least one."""
        at = self.at
        stop = self.at = bisect_left(self.batch.ts, bound, at)
        return Batch(self.batch.kind, self.batch.ts[at:stop], self.batch.messages[at:stop])
