"""An order book of price levels, and the rules that say when it cannot be right.

A venue message is applied whole and judged afterwards: real venues send messages whose book crosses midway
and not at the end. After the whole message a negative size is a gap, and so is a crossed book in continuous
trading. A locked book (bid = ask) is legal. In a pause the book is kept and no quote is made.

Each side is a dict of sizes and a sorted list of prices with the best at the end (asks are held negated).
Books change near their best price, so inserting there moves few pointers; for some thousand levels this beats
every tree.
"""

from __future__ import annotations

from bisect import bisect_left, insort

from protocols.market import STALE, BookUpdate, BookView, Level, MarketPhase, Quote, level_changes

NO_SNAPSHOT = "no_snapshot"

_Best = tuple[int | None, int, int | None, int]


class Gap(Exception):
    """The book cannot be right: something was lost. `reason` is one of the words below.

    `negative_size`: more was taken from a level than it had. `crossed`: best bid above best ask after a whole
    message. `session`: an update of another session came before a snapshot. `out_of_order`: `seq` did not
    rise.
    """

    def __init__(self, market: str, reason: str, detail: str = "") -> None:
        super().__init__(market, reason, detail)
        self.market = market
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.market}: {self.reason}{': ' if self.detail else ''}{self.detail}"


class _Side:
    """Levels of one side. Keys rise toward the best price: `sign` is 1 for bids and -1 for asks."""

    __slots__ = ("keys", "sign", "sizes")

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.sizes: dict[int, int] = {}
        self.keys: list[int] = []

    def set(self, price: int, size: int) -> None:
        key = price * self.sign
        sizes = self.sizes
        if size:
            if key not in sizes:
                keys = self.keys
                if not keys or key > keys[-1]:
                    keys.append(key)
                else:
                    insort(keys, key)
            sizes[key] = size
        elif key in sizes:
            del sizes[key]
            keys = self.keys
            if keys[-1] == key:
                keys.pop()
            else:
                del keys[bisect_left(keys, key)]

    def add(self, price: int, change: int) -> bool:
        """False, with the level unchanged, where it would become negative."""
        size = self.sizes.get(price * self.sign, 0) + change
        if size < 0:
            return False
        self.set(price, size)
        return True

    def load(self, levels: dict[int, int]) -> None:
        """Replace everything. One sort is much cheaper than as many insertions as a snapshot has levels."""
        self.sizes = {price * self.sign: size for price, size in levels.items()}
        self.keys = sorted(self.sizes)

    def best(self) -> tuple[int | None, int]:
        if not self.keys:
            return None, 0
        key = self.keys[-1]
        return key * self.sign, self.sizes[key]

    def levels(self, depth: int) -> tuple[Level, ...]:
        keys = self.keys[-depth:] if depth else self.keys
        return tuple(Level(key * self.sign, self.sizes[key]) for key in reversed(keys))


class Book:
    """One market's book. It begins stale and becomes current with a snapshot.

    `stale` is empty or the reason. A stale book keeps its last levels, for a view that says so, and drops
    every update but a snapshot (`dropped` counts them).
    """

    def __init__(self, market: str) -> None:
        self.market = market
        self.stale = NO_SNAPSHOT
        self.phase: MarketPhase = "active"
        self.session = ""
        self.seq = 0
        self.ts_event = 0
        self.ts_recv = 0
        self.marks: tuple[str, ...] = ()
        self.applied = 0
        self.dropped = 0
        self._bids = _Side(1)
        self._asks = _Side(-1)
        self._last: _Best | None = None

    def apply(self, update: BookUpdate) -> Quote | None:
        """The new best prices and sizes, if they moved or were not known; None in a pause.

        Raises Gap when the book cannot be right after the whole update. The book is then stale.
        """
        if update.snapshot:
            self.stale = ""
            self._last = None
            self.session = update.session
        elif self.stale:
            self.dropped += 1
            return None
        elif update.session != self.session:
            raise self._gap("session", update.session)
        elif update.seq <= self.seq:
            raise self._gap("out_of_order", f"{update.seq} after {self.seq}")
        self.seq = update.seq
        self.ts_event = update.ts_event or self.ts_event
        self.ts_recv = update.ts_recv
        self.marks = update.marks
        self.applied += 1

        negative = self._load(update) if update.snapshot else self._change(update)
        if negative:
            raise self._gap("negative_size")
        return self._moved()

    def _change(self, update: BookUpdate) -> bool:
        """Whether a size would have become negative."""
        signed = update.kind == "signed"
        negative = False
        for change in update.changes:
            side = self._bids if change.side == "bid" else self._asks
            if signed:
                negative = not side.add(change.price, change.size) or negative
            elif change.size < 0:
                negative = True
            else:
                side.set(change.price, change.size)
        return negative

    def _load(self, update: BookUpdate) -> bool:
        """Whether a size is negative."""
        bids: dict[int, int] = {}
        asks: dict[int, int] = {}
        for change in level_changes(update):
            if change.size:
                (bids if change.side == "bid" else asks)[change.price] = change.size
        self._bids.load(bids)
        self._asks.load(asks)
        return any(change.size < 0 for change in level_changes(update))

    def _moved(self) -> Quote | None:
        if self.phase != "active":
            return None
        bid, bid_size = self._bids.best()
        ask, ask_size = self._asks.best()
        if bid is not None and ask is not None and bid > ask:
            raise self._gap("crossed", f"{bid} over {ask}")
        best = (bid, bid_size, ask, ask_size)
        if best == self._last:
            return None
        self._last = best
        return self._quote(best, self.marks)

    def _quote(self, best: _Best, marks: tuple[str, ...]) -> Quote:
        return Quote(self.market, *best, self.session, self.seq, self.ts_event, self.ts_recv, marks)

    def _gap(self, reason: str, detail: str = "") -> Gap:
        self.stale = reason
        return Gap(self.market, reason, detail)

    def mark_stale(self, reason: str) -> Quote | None:
        """Stop trusting the book until the next snapshot.

        Returns the last quote marked `stale`, so that whoever acts on it knows, or None if none was out.
        """
        self.stale = reason
        if self._last is None:
            return None
        last, self._last = self._last, None
        return self._quote(last, (*self.marks, STALE))

    def set_phase(self, phase: MarketPhase) -> Quote | None:
        """Enter or leave a pause. Returns the quote to publish where trading goes on and the best has moved.

        Raises Gap where trading goes on with a crossed book.
        """
        self.phase = phase
        if phase != "active":
            self._last = None
            return None
        return None if self.stale else self._moved()

    def view(self, depth: int = 0) -> BookView:
        """The best `depth` levels a side (0: all), best first."""
        return BookView(
            market=self.market,
            bids=self._bids.levels(depth),
            asks=self._asks.levels(depth),
            session=self.session,
            seq=self.seq,
            ts_event=self.ts_event,
            ts_recv=self.ts_recv,
            stale=self.stale,
            marks=(*self.marks, STALE) if self.stale and self.session else self.marks,
        )
