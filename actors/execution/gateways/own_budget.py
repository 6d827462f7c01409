"""The account's limits where nobody else keeps them: no feed of this node calls the venue, so nobody shares them."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from actors.market.budget import Budget


class OwnBudget:
    """`limits`: (bucket, tokens, tokens a second). Time is trio's."""

    def __init__(self, limits: Sequence[tuple[str, float, float]]) -> None:
        self._limits = limits
        self._budget: Budget | None = None
        self._turns: dict[int, trio.Event] = {}

    def _known(self) -> Budget:
        if self._budget is None:
            self._budget = Budget(self._limits, trio.current_time())
        return self._budget

    async def take(self, bucket: str, cost: float, priority: int, timeout: float) -> bool:
        """Wait for the tokens; False: not within `timeout` seconds. Raises ValueError for what never fits."""
        budget = self._known()
        if bucket not in budget.buckets:
            return True
        ticket = budget.enter(bucket, cost, priority)
        turn = self._turns[ticket] = trio.Event()
        try:
            with trio.move_on_after(timeout):
                while not turn.is_set():
                    self._serve()
                    with trio.move_on_after(budget.next_s(trio.current_time()) or 0.0):
                        await turn.wait()
        finally:
            if not turn.is_set():
                budget.leave(ticket)
                self._turns.pop(ticket, None)
        return turn.is_set()

    def _serve(self) -> None:
        for ticket in self._known().served(trio.current_time()):
            turn = self._turns.pop(ticket, None)
            if turn is not None:
                turn.set()

    def close(self, bucket: str, seconds: float) -> None:
        """The venue has counted more than we have."""
        known = self._known().buckets.get(bucket)
        if known is not None:
            known.close(seconds, trio.current_time())

    def change(self, bucket: str, tokens: float, tokens_s: float) -> None:
        """The venue has named the account's limits."""
        known = self._known().buckets.get(bucket)
        if known is not None:
            known.change(tokens, tokens_s)
