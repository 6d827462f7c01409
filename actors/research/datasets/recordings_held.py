"""A recording as a data set: what is in it. It is not turned into columns; who opens it plays it."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any, Final

import msgspec

from actors.market.importers.opening import open_recording
from actors.market.recordings.index import recording_files
from actors.market.replay_core import ReplayCore
from actors.market.replay_log import fields
from actors.market.session_core import Incident
from actors.research.datasets.findings import Finding, ValidationReport, scored
from actors.research.datasets.jobs import PREVIEWED
from protocols.market import DELAYED, BookUpdate, Quote, Trade

_CHECKED: Final = ("gap", "lost", "unreadable", "malformed")
_READ: Final = 1 << 20


class Held(msgspec.Struct, kw_only=True):
    """What a recording holds. `content_hash` is SHA-256 over its files, one behind the other."""

    format: str
    venue: str
    markets: tuple[str, ...]
    marks: tuple[str, ...]
    bytes: int
    content_hash: str
    first: int = 0
    last: int = 0
    entries: int = 0
    frames: int = 0
    outputs: int = 0
    missing: int = 0
    unreadable: int = 0
    lost: tuple[str, ...] = ()
    kinds: dict[str, int] = {}
    incidents: dict[str, int] = {}
    by_market: dict[str, int] = {}
    head: list[dict[str, Any]] = []

    def report(self) -> ValidationReport:
        """Its findings; completeness is the share of entries that its recorder did not lose."""
        found: list[Finding] = []
        for kind, count in sorted(self.incidents.items()):
            found.append(
                Finding(
                    kind="gap", severity="warning", count=count, message=f"{count} times: {kind}",
                    advice="a backtest takes such a book for lost until its next snapshot",
                )
            )  # fmt: skip
        if self.missing or self.lost:
            found.append(
                Finding(
                    kind="lost", severity="error" if self.lost else "warning", count=max(self.missing, len(self.lost)),
                    message=f"the recorder says that {self.missing} entries are missing", examples=self.lost[:10],
                    advice="leave that span out",
                )
            )  # fmt: skip
        if self.unreadable:
            found.append(
                Finding(
                    kind="unreadable", severity="warning", count=self.unreadable,
                    message=f"{self.unreadable} frames are none of the venue's", advice="look at them: troupe replay",
                )
            )  # fmt: skip
        complete = self.entries / (self.entries + self.missing) if self.entries else 0.0
        return scored(self.outputs, complete, found, _CHECKED)

    def statistics(self) -> dict[str, Any]:
        """Its figures."""
        return {
            "venue": self.venue,
            "entries": self.entries,
            "frames": self.frames,
            "outputs": self.kinds,
            "rows_by_market": self.by_market,
        }


def held(path: Path) -> Held:
    """Play it through once. Raises what is in READ_FAULTS."""
    files = recording_files(path) if path.is_dir() else [path]
    recording = open_recording(path, whole_sessions=True)
    kinds: Counter[str] = Counter()
    incidents: Counter[str] = Counter()
    by_market: Counter[str] = Counter()
    marks: set[str] = set(recording.header.marks)
    head: list[dict[str, Any]] = []
    first = entries = 0
    try:
        core = ReplayCore(recording.header)
        for entry in recording:
            entries += 1
            first = first or entry.ts
            for output in core.play(entry):
                if isinstance(output, Incident):
                    incidents[output.kind] += 1
                    continue
                kinds[str(type(output).__struct_config__.tag)] += 1
                if isinstance(output, BookUpdate | Quote | Trade):
                    by_market[output.market] += 1
                    marks.update(output.marks)
                if len(head) < PREVIEWED and isinstance(output, Quote | Trade):
                    head.append(fields(output))
        return Held(
            format=recording.format,
            venue=recording.header.venue,
            markets=tuple(sorted({*recording.header.markets, *by_market})),
            marks=tuple(sorted(marks - {DELAYED})),
            bytes=sum(file.stat().st_size for file in files),
            content_hash=_hash(list(files)),
            first=first,
            last=core.now,
            entries=entries,
            frames=core.frames,
            outputs=kinds.total(),
            missing=core.missing,
            unreadable=core.unreadable,
            lost=tuple(map(str, recording.lost)),
            kinds=dict(sorted(kinds.items())),
            incidents=dict(sorted(incidents.items())),
            by_market=dict(sorted(by_market.items())),
            head=head,
        )
    finally:
        recording.close()


def _hash(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            while chunk := file.read(_READ):
                digest.update(chunk)
    return digest.hexdigest()
