"""GrowthBook's way of assigning, for tests that are taken over from there with their users. A core.

An experiment of this node divides users by `runtime/router.py`. Where an experiment already runs in GrowthBook, these
say who is in which arm there: what an importer writes into `UsePlans.sticky`. FNV-1a of 32 bits; version 2 hashes
twice, version 1 once and is biased. Source: docs.growthbook.io/lib/build-your-own, cases.json of its SDKs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_OFFSET: Final = 0x811C9DC5
_PRIME: Final = 0x01000193


def fnv1a32(text: str) -> int:
    """FNV-1a, 32 bits, over the UTF-8."""
    value = _OFFSET
    for byte in text.encode():
        value = (value ^ byte) * _PRIME & 0xFFFFFFFF
    return value


def growthbook_bucket(seed: str, value: str, version: int = 2) -> float:
    """The point of a user in [0, 1). Raises ValueError for a version that there is not."""
    if version == 2:
        return fnv1a32(str(fnv1a32(seed + value))) % 10_000 / 10_000
    if version == 1:
        return fnv1a32(value + seed) % 1000 / 1000
    raise ValueError(f"version: expected 1 or 2, got {version}")


def growthbook_ranges(arms: int, coverage: float, weights: Sequence[float]) -> list[tuple[float, float]]:
    """Each arm's part of [0, 1): it begins where the weights before it end, and is as long as the coverage lets it."""
    if len(weights) != arms:
        raise ValueError(f"weights: expected {arms} of them, got {len(weights)}")
    ranges = []
    start = 0.0
    for weight in weights:
        ranges.append((start, start + coverage * weight))
        start += weight
    return ranges


def growthbook_arm(ranges: Sequence[tuple[float, float]], point: float) -> int | None:
    """Which arm's range holds the point; None: the user does not take part."""
    return next((index for index, (low, high) in enumerate(ranges) if low <= point < high), None)
