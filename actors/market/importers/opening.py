"""Opens any recording: finds out the format, and whose books are in it."""

from __future__ import annotations

from pathlib import Path

from actors.market.importers import cryptofeed_lines, hftbacktest_text, kalshi_lines
from actors.market.importers.imported import first_lines
from actors.market.recordings.entries import Recording, RecordingError
from actors.market.recordings.reader import RecordingReader, is_recording
from actors.market.replay_core import ReplayCore


def open_recording(
    path: Path,
    *,
    venue: str = "",
    use_yes_price: bool = False,
    since: int | None = None,
    until: int | None = None,
    whole_sessions: bool = False,
) -> Recording:
    """Open a recording of our own or of a known format, which its first line tells.

    `venue` overrides what an imported file seems to be, `use_yes_price` says how an imported one of Kalshi was asked
    for; our own say both themselves. `since`, `until` and `whole_sessions` as in `RecordingReader`, for ours.
    Raises what is in READ_FAULTS.
    """
    if path.is_dir() or is_recording(path):
        return RecordingReader(path, since=since, until=until, whole_sessions=whole_sessions)
    first = first_lines(path, 1)
    line = first[0] if first else b""
    if hftbacktest_text.matches(line):
        return hftbacktest_text.open_hftbacktest(path, venue=venue)
    if cryptofeed_lines.matches(line):
        return cryptofeed_lines.open_cryptofeed(path, venue=venue)
    if kalshi_lines.matches(line):
        return kalshi_lines.open_kalshi_lines(path, use_yes_price=use_yes_price)
    raise RecordingError(f"{path}: no recording of a known format (troupe, kalshi-lines, hftbacktest, cryptofeed)")


def recorded_markets(path: Path, venue: str = "") -> tuple[str, ...]:
    """The markets whose books a recording holds: those of its header, or of all that its frames say. Sorted.

    Raises what is in READ_FAULTS.
    """
    recording = open_recording(path, venue=venue)
    try:
        if recording.header.markets:
            return tuple(sorted(recording.header.markets))
        replay = ReplayCore(recording.header)
        if replay.knows_venue:
            for entry in recording:
                replay.play(entry)
        return tuple(sorted(replay.books))
    finally:
        recording.close()
