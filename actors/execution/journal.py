"""The input journal of an account: numbered, durable, and the authority of what happened.

An input is numbered when it is handled and written before anything that came of it leaves the actor: a run of market
messages that led to nothing is written as one row, and a command, a fill or a timer that led to something takes with
it what was waiting. So what anybody was told can be derived again from the journal, and from nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from actors.execution.accounts.rows import ExecutionJournalRow
from actors.execution.inputs import EngineInput, Numbered, encode
from protocols.control import Row

MOST_INPUTS: Final = 256
"""Inputs of one row."""


def journal_stream(account: str) -> str:
    """The stream of an account's inputs."""
    return f"execution_inputs:{account}"


def snapshot_stream(account: str) -> str:
    """The stream of an account's snapshots."""
    return f"execution_snapshots:{account}"


class InputJournal:
    """Collects inputs and writes them. `number`: that of the last input; `seq`: the last row of the stream."""

    def __init__(self, account: str, append: Callable[[Row], object], seq: int, number: int) -> None:
        self.stream = journal_stream(account)
        self.seq = seq
        self.number = number
        self._append = append
        self._waiting: list[Numbered] = []

    def add(self, item: EngineInput, ts: int) -> None:
        """The next input; it gets the next number."""
        self.number += 1
        self._waiting.append(Numbered(self.number, ts, item))
        if len(self._waiting) >= MOST_INPUTS:
            self.flush()

    @property
    def waiting(self) -> int:
        """How many inputs are not written yet."""
        return len(self._waiting)

    def flush(self) -> None:
        """Write what waits. Raises LogFull: nothing was written, and nothing may leave."""
        if not self._waiting:
            return
        row = ExecutionJournalRow(
            stream=self.stream,
            seq=self.seq + 1,
            ts=self._waiting[-1].ts,
            count=len(self._waiting),
            payload=encode(self._waiting),
        )
        self._append(row)
        self.seq += 1
        self._waiting.clear()
