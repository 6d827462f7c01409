"""The intake in the log: rows, the ledger of them, and how far everything is.

A row is accepted when it is in the node's log; then it is known. Places are noted beside the rows, in a stream of their
own: what was told, how far executed trades and signals were read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import trio
from msgspec.structs import replace

from actors.thresholds.intake.history import Recalled
from actors.thresholds.intake.ledger import Ledger
from actors.thresholds.intake.recovery import ledger_of
from protocols.threshold_outcomes import THRESHOLD_INTAKE, THRESHOLD_PROGRESS, IntakeRow, ProgressRow
from runtime.log import NodeLog

NOTE_S: Final = 10.0
"""How far everything is, is noted no more often: what is told or read again is recognised by its place."""


class IntakeLog:
    """`recovering`: why the ledger is not complete yet; until then rows are accepted all the same.
    `outcomes`, `signals`: how far executed trades and signals were read."""

    def __init__(self, log: NodeLog, now: Callable[[], int]) -> None:
        self.recovering = "what lives before have left is being read"
        self.ledger = Ledger()
        self.outcomes = self.signals = 0
        self._log = log
        self._now = now
        self._early: list[IntakeRow] = []
        self._noted = (0, 0, 0)
        self._note_after = 0.0

    def recovered(self, recalled: Recalled) -> None:
        """Go on from there, with what was taken meanwhile."""
        early, self._early = self._early, []
        self.ledger = ledger_of(recalled)
        for row in early:
            if row.seq > recalled.last:
                self.ledger.take(row)
        self.outcomes, self.signals = recalled.outcomes, recalled.signals
        self.recovering = ""

    def store(self, row: IntakeRow) -> IntakeRow:
        """Into the log, then into the ledger; the row with its place. Raises LogFull."""
        seq = self._log.last_seq(THRESHOLD_INTAKE) + 1
        stored = replace(row, stream=THRESHOLD_INTAKE, seq=seq, ts=self._now())
        self._log.append(stored)
        self.ledger.take(stored)
        if self.recovering:
            self._early.append(stored)
        return stored

    def progress(self) -> None:
        """Note how far everything is, if that is news. Raises LogFull."""
        places = (self.ledger.told_up_to, self.outcomes, self.signals)
        now = trio.current_time()
        if self._log.last_seq(THRESHOLD_PROGRESS) and (places == self._noted or now < self._note_after):
            return
        self._note_after = now + NOTE_S
        self._noted = places
        self.note()

    def note(self) -> int:
        """Note once more what was noted last; the place of the note: where that is, all rows before it are too.
        Raises LogFull."""
        seq, now = self._log.last_seq(THRESHOLD_PROGRESS) + 1, self._now()
        told, outcomes, signals = self._noted
        self._log.append(
            ProgressRow(stream=THRESHOLD_PROGRESS, seq=seq, ts=now, told=told, outcomes=outcomes, signals=signals)
        )
        return seq
