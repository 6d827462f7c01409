"""The ledger of trials: every run of a strategy's family, so that the best of many is known to be that.

A family is a strategy without its parameters. The deflated Sharpe ratio and the probability of overfitting ask how many
trials there were and how their Sharpe ratios spread (Bailey and López de Prado, "The Deflated Sharpe Ratio", JPM 40(5),
2014); whoever counts only the runs that he remembers gets figures that are too good. A run again of the same
specification over the same data is the same trial.

With a node the ledger is a stream of its log and a table; without one it is a file of JSON lines in the data folder.
"""

from __future__ import annotations

import fcntl
import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import msgspec

from actors.research.metrics.metric import Unknown
from actors.research.metrics.registry import daily_sharpe
from actors.research.results import RunResult

FILE: Final = "trials.jsonl"
Purpose = Literal["run", "train", "test", "bracket"]


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One run. `trial_id` names its specification and data. `sharpe`: per day; None: not known. Times in ns.

    `returns`: how many daily returns its Sharpe ratio is of; 0: nobody noted it.
    """

    family: str
    trial_id: str
    ts: int
    strategy: str
    parameters: dict[str, Any] = {}
    data_hashes: tuple[str, ...] = ()
    first: int = 0
    last: int = 0
    purpose: Purpose = "run"
    objective: str = ""
    value: float | None = None
    sharpe: float | None = None
    returns: int = 0
    round_trips: int = 0
    order_hash: str = ""


class FamilyLedger(Protocol):
    """Where trials are kept."""

    def trials(self, family: str) -> Sequence[Trial]:
        """All trials of a family, each once, in the order in which they were first made."""
        ...

    def add(self, trials: Iterable[Trial]) -> None:
        """Keep these."""
        ...


def trial_of(
    result: RunResult, ts: int, *, purpose: Purpose = "run", objective: str = "", value: float | None = None
) -> Trial:
    """What the ledger keeps of a run."""
    sharpe: float | None
    try:
        sharpe, returns = daily_sharpe(result)
    except Unknown:
        sharpe, returns = None, 0
    return Trial(
        family=result.family,
        trial_id=result.run_id,
        ts=ts,
        strategy=result.strategy,
        parameters=result.parameters,
        data_hashes=result.data_hashes,
        first=result.first,
        last=result.last,
        purpose=purpose,
        objective=objective,
        value=value,
        sharpe=sharpe,
        returns=returns,
        round_trips=len(result.round_trips),
        order_hash=result.order_hash,
    )


def distinct(trials: Iterable[Trial]) -> list[Trial]:
    """Each trial once: as it was first made."""
    found: dict[tuple[str, str], Trial] = {}
    for trial in trials:
        found.setdefault((trial.family, trial.trial_id), trial)
    return list(found.values())


def sharpes(trials: Iterable[Trial], returns: int) -> list[float]:
    """The Sharpe ratios per day of those that have one, each brought to a run of so many daily returns.

    The deflated Sharpe ratio asks what luck alone would reach. Luck of n returns spreads as 1 / sqrt(n - 1), so that
    the fits of a walk-forward, of some months each, would raise the bar for a curve of years. What is alike over spans
    of any length is SR sqrt(n - 1), the t-statistic: it is kept, and of one that does not know its n, SR.
    """
    return [
        trial.sharpe * math.sqrt((trial.returns - 1) / (returns - 1))
        if trial.returns > 1 and returns > 1
        else trial.sharpe
        for trial in trials
        if trial.sharpe is not None
    ]


class MemoryLedger:
    """Keeps trials for one process."""

    def __init__(self, known: Iterable[Trial] = ()) -> None:
        self._trials = distinct(known)

    def trials(self, family: str) -> Sequence[Trial]:
        """As FamilyLedger."""
        return [trial for trial in self._trials if trial.family == family]

    def add(self, trials: Iterable[Trial]) -> None:
        """As FamilyLedger."""
        self._trials = distinct([*self._trials, *trials])


class FileLedger:
    """A file of JSON lines that any number of processes append to. `damaged`: lines that were torn, left out."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self.damaged = 0

    def trials(self, family: str) -> Sequence[Trial]:
        """As FamilyLedger. Raises OSError."""
        try:
            lines = self.path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return []
        decoder = msgspec.json.Decoder(Trial)
        found = []
        damaged = 0
        for line in lines:
            if not line:
                continue
            try:
                trial = decoder.decode(line)
            except msgspec.DecodeError:
                damaged += 1  # somebody was ended while he wrote it
                continue
            if trial.family == family:
                found.append(trial)
        self.damaged = damaged
        return distinct(found)

    def add(self, trials: Iterable[Trial]) -> None:
        """As FamilyLedger. Raises OSError."""
        lines = b"".join(msgspec.json.encode(trial) + b"\n" for trial in trials)
        if not lines:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            end = file.seek(0, os.SEEK_END)
            if end:
                file.seek(end - 1)
                if file.read(1) != b"\n":
                    lines = b"\n" + lines  # behind what somebody left torn
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())
