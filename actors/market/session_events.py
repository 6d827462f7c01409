"""What is told of stored sessions: rows that are never lost, though the log may be full for a while."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from actors.market.rows import BookSessionEventRow, SessionEventKind
from actors.market.stored_book import StoredBook, StoredSession, environment_of, venue_of
from protocols.control import Refused, Row


class SessionEvents:
    """Hands rows to `append`, which raises Refused where it takes no more; keeps those of sessions until it does again.

    `node`: the id of the node's log. `now`: wall time in nanoseconds. `urls`: where each feed's WebSocket is.
    """

    def __init__(
        self, append: Callable[[Row], object], now: Callable[[], int], node: str, urls: Mapping[str, str]
    ) -> None:
        self._append = append
        self._now = now
        self._node = node
        self._urls = urls
        self._unsaid: list[Row] = []
        self.blocked = False
        """Rows are not taken; `retry` finds out whether they are again."""

    def started(self, reason: str) -> None:
        """The store of this node has begun, so that whatever it had open has ended for `reason`."""
        self._say("started", reason=reason)

    def tell(
        self, event: SessionEventKind, session: StoredSession, book: StoredBook | None = None, reason: str = ""
    ) -> None:
        """Something happened to a session, or to one market of it."""
        session.reported = session.messages
        self._say(
            event,
            session_id=session.id,
            market_ticker="" if book is None else book.market,
            feed=session.feed,
            venue="" if book is None else venue_of(book.market) or "kalshi",
            websocket_url=self._urls.get(session.feed, ""),
            environment="" if book is None else environment_of(book.marks),
            sequence_number=0 if book is None else book.seq,
            ts_recv=session.last_recv if book is None else book.ts_recv,
            reason=reason,
            messages_received=session.messages,
            snapshots_count=session.snapshots,
            deltas_count=session.deltas,
        )

    def put(self, row: Row, *, needed: bool = False) -> None:
        """Append a row; while rows are not taken, keep it if it is `needed`."""
        if not self.blocked:
            try:
                self._append(row)
            except Refused:
                self.blocked = True
            else:
                return
        if needed:
            self._unsaid.append(row)

    def retry(self) -> bool:
        """Say what could not be said. Whether rows are taken again."""
        try:
            while self._unsaid:
                self._append(self._unsaid[0])
                del self._unsaid[0]
        except Refused:
            return False
        self.blocked = False
        return True

    def _say(self, event: SessionEventKind, **fields: Any) -> None:
        self.put(BookSessionEventRow(event=event, node=self._node, ts=self._now(), **fields), needed=True)
