"""A recording as a stream: played as a live node would hear it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from actors.market.importers.opening import open_recording, recorded_markets
from actors.market.recordings.entries import READ_FAULTS
from actors.market.replay_core import Output, ReplayCore
from actors.research.backtest.sources import BATCH, Batch, Feed, SourceError
from protocols.market import BookStale, BookUpdate, Funding, MarketStatus, Quote, Trade


class RecordingSource:
    """A recording, played from its beginning; what was received in [since, until) is told.

    `content_hash` is that of its files' bytes, made by whoever opens it.
    """

    def __init__(
        self,
        path: Path,
        *,
        content_hash: str,
        markets: Sequence[str] = (),
        venue: str = "",
        use_yes_price: bool | None = None,
        since: int | None = None,
        until: int | None = None,
        batch: int = BATCH,
    ) -> None:
        self.path = path
        self.name = path.name
        self.content_hash = content_hash
        self._wanted = frozenset(markets)
        self._venue = venue
        self._yes = use_yes_price
        self._since, self._until = since, until
        self._batch = batch
        self.marks: tuple[str, ...] = ()
        self.feeds: dict[str, frozenset[Feed]] = {}
        self.closing: dict[str, int] = {}
        self.intervals: frozenset[str] = frozenset()
        self.lost: list[str] = []

    def span(self) -> tuple[int, int] | None:
        """Not known before it was read."""
        return None

    def markets(self) -> tuple[str, ...]:
        """Those that are wanted; where none is named all whose books it holds (it may be read for that).

        Raises SourceError.
        """
        if self._wanted:
            return tuple(sorted(self._wanted))
        try:
            return recorded_markets(self.path, self._venue)
        except READ_FAULTS as error:
            raise SourceError(f"{self.path}: {error}") from error

    def batches(self) -> Iterator[Batch]:
        """As Source."""
        try:
            recording = open_recording(self.path, venue=self._venue, use_yes_price=bool(self._yes))
        except READ_FAULTS as error:
            raise SourceError(f"{self.path}: {error}") from error
        replay = ReplayCore(recording.header, use_yes_price=self._yes)
        times: list[int] = []
        messages: list[Any] = []
        try:
            for entry in recording:
                outputs = replay.play(entry)
                if self._until is not None and replay.now >= self._until:
                    break
                if not outputs or (self._since is not None and replay.now < self._since):
                    continue
                for output in outputs:
                    if self._takes(output):
                        times.append(replay.now)
                        messages.append(output)
                if len(messages) >= self._batch:
                    yield Batch("mixed", times, messages)
                    times, messages = [], []
        except READ_FAULTS as error:
            raise SourceError(f"{self.path}: {type(error).__name__}: {error}") from error
        finally:
            recording.close()
        self.lost = [str(loss) for loss in recording.lost]
        self.marks = tuple(sorted(replay.marks))
        if messages:
            yield Batch("mixed", times, messages)

    def _takes(self, output: Output) -> bool:
        if not isinstance(output, BookUpdate | Quote | Trade | BookStale | MarketStatus | Funding):
            return False
        if self._wanted and output.market not in self._wanted:
            return False
        known = self.feeds.get(output.market, frozenset())
        feed: Feed | None = (
            "book" if isinstance(output, BookUpdate) else "trades" if isinstance(output, Trade) else None
        )
        if feed is not None and feed not in known:
            self.feeds[output.market] = known | {feed}
        return True
