"""What histories there are in a folder, for people and programs."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from actors.market.history import Hole, Manifest, Span
from actors.market.history_files import manifests

NANO: Final = 1_000_000_000
SHOWN_HOLES: Final = 10
LATER: Final = 10 * 86_400 * NANO
"""A history that begins so much after what was asked for is not just a holiday."""


def histories(root: Path) -> tuple[list[str], list[dict[str, Any]]]:
    """Lines about the histories below `root`, and the same as data. Raises HistoryError for a damaged one."""
    described = [describe(manifest, folder) for folder, manifest in manifests(root)]
    lines = [line for each in described for line in lines_of(each)]
    return lines or [f"no history in {root}"], described


def describe(manifest: Manifest, folder: Path, wanted: Span | None = None) -> dict[str, Any]:
    """What is there of a history, for people and programs. `wanted`: with what is missing of it."""
    firsts = [part.first for part in manifest.parts if part.first is not None]
    lasts = [part.last for part in manifest.parts if part.last is not None]
    holes = manifest.holes()
    return {
        "venue": manifest.venue,
        "market": manifest.market,
        "kind": manifest.kind,
        "interval": manifest.interval,
        "folder": str(folder),
        "parts": len(manifest.parts),
        "rows": manifest.rows,
        "bytes": sum(part.bytes for part in manifest.parts),
        "first": time_text(min(firsts)) if firsts else None,
        "last": time_text(max(lasts)) if lasts else None,
        "begins_later": bool(firsts) and min(firsts) - manifest.parts[0].start > LATER,
        "covered": [[time_text(span.start), time_text(span.end)] for span in _joined(manifest)],
        "missing": [] if wanted is None else [[time_text(s), time_text(e)] for s, e in manifest.missing(wanted)],
        "holes": [_hole(hole) for hole in holes],
        "rows_in_holes": sum(hole.missing for hole in holes),
        "quiet": sum(part.quiet for part in manifest.parts),
        "marks": list(manifest.marks),
    }


def _joined(manifest: Manifest) -> list[Span]:
    """Spans that parts cover, those that touch as one."""
    found: list[Span] = []
    for part in manifest.parts:
        if found and found[-1].end == part.start:
            found[-1] = Span(found[-1].start, part.end)
        else:
            found.append(part.span)
    return found


def _hole(hole: Hole) -> dict[str, Any]:
    return {"start": time_text(hole.start), "end": time_text(hole.end), "missing": hole.missing, "why": hole.why}


def lines_of(described: dict[str, Any]) -> Iterable[str]:
    """What people read of it."""
    what = " ".join(filter(None, (described["venue"], described["market"], described["kind"], described["interval"])))
    span = f"{described['first']} .. {described['last']}" if described["rows"] else "nothing"
    yield f"{what}: {described['rows']} rows in {described['parts']} parts, {span}"
    for hole in described["holes"][:SHOWN_HOLES]:
        yield f"  hole {hole['start']} .. {hole['end']}: {hole['missing']} ({hole['why']})"
    if len(described["holes"]) > SHOWN_HOLES:
        yield f"  and {len(described['holes']) - SHOWN_HOLES} more holes"
    if described["begins_later"]:
        yield f"  the venue has nothing before {described['first']}"
    if described["quiet"]:
        yield f"  {described['quiet']} bars are absent that the venue leaves out when nothing is traded: no holes"
    for start, end in described["missing"]:
        yield f"  not there yet: {start} .. {end}"


def time_text(ts: int) -> str:
    """RFC 3339, with nanoseconds where there are any."""
    seconds, fraction = divmod(ts, NANO)
    whole = f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"
    return f"{whole}.{fraction:09d}Z".replace(".000000000Z", "Z")
