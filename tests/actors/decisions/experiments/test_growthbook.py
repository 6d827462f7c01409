"""Numbers of growthbook-python's tests/cases.json."""

from __future__ import annotations

import pytest

from actors.decisions.experiments.growthbook import growthbook_arm, growthbook_bucket, growthbook_ranges


@pytest.mark.parametrize(
    ("seed", "value", "version", "point"),
    [
        ("seed", "a", 2, 0.0505),
        ("seed", "b", 2, 0.2696),
        ("foo", "ab", 2, 0.2575),
        ("89123klj", "8952klfjas09ujkasdf", 2, 0.124),
        ("", "a", 1, 0.22),
        ("b", "a", 1, 0.946),
    ],
)
def test_points_are_those_of_growthbook(seed: str, value: str, version: int, point: float) -> None:
    assert growthbook_bucket(seed, value, version) == pytest.approx(point)


@pytest.mark.parametrize(
    ("arms", "coverage", "weights", "ranges"),
    [
        (2, 0.5, [0.5, 0.5], [(0, 0.25), (0.5, 0.75)]),
        (2, 1.0, [0.4, 0.6], [(0, 0.4), (0.4, 1.0)]),
        (3, 0.2, [0.2, 0.3, 0.5], [(0, 0.04), (0.2, 0.26), (0.5, 0.6)]),
    ],
)
def test_ranges_are_those_of_growthbook(
    arms: int, coverage: float, weights: list[float], ranges: list[tuple[float, float]]
) -> None:
    found = growthbook_ranges(arms, coverage, weights)
    assert [low for low, _ in found] == pytest.approx([low for low, _ in ranges])
    assert [high for _, high in found] == pytest.approx([high for _, high in ranges])


def test_who_is_in_no_range_takes_no_part() -> None:
    ranges = growthbook_ranges(2, 0.5, [0.5, 0.5])
    assert [growthbook_arm(ranges, point) for point in (0.1, 0.3, 0.6, 0.9)] == [0, None, 1, None]
    with pytest.raises(ValueError, match="version: expected 1 or 2, got 3"):
        growthbook_bucket("a", "b", 3)
