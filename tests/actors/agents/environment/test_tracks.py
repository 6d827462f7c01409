from __future__ import annotations

import msgspec
import pytest

from actors.agents.environment.tracks import DAY, Track, longest_step, unbroken
from protocols.nanos import NANO
from tests.actors.agents.environment.kit import HOUR, bar, barred, instrument


def test_bars_behind_a_hole_are_another_piece() -> None:
    first = [bar(place, 1.0, 1.0) for place in range(3)]
    later = [bar(place, 1.0, 1.0) for place in range(9, 12)]
    assert [len(piece) for piece in unbroken([*first, *later])] == [3, 3]


def test_one_missing_bar_is_no_hole_and_two_are() -> None:
    assert len(unbroken([bar(0, 1, 1), bar(2, 1, 1)])) == 1
    assert len(unbroken([bar(0, 1, 1), bar(3, 1, 1)])) == 2


def test_daily_bars_may_have_a_long_weekend_between_them() -> None:
    assert longest_step(DAY) == 4 * DAY
    assert longest_step(HOUR) == 2 * HOUR


def test_the_beginning_of_a_track_does_not_know_how_it_is_settled() -> None:
    track = barred([1.0, 2.0, 3.0], settlement=5 * NANO)
    assert track.until(3).settlement == 5 * NANO
    assert track.until(2).settlement is None
    assert track.until(2).bars == track.bars[:2]


def test_quotes_and_regimes_are_those_of_all_bars_or_of_none() -> None:
    bars = (bar(0, 1, 1), bar(1, 1, 1))
    with pytest.raises(ValueError, match=r"^regimes: expected those of 2 bars, got 1$"):
        Track(name="odd", instrument=instrument(), bars=bars, regimes=(0,))
    with pytest.raises(ValueError, match=r"^quotes: expected those of 2 bars, got 1$"):
        msgspec.structs.replace(Track(name="odd", instrument=instrument(), bars=bars), quotes=((),))
