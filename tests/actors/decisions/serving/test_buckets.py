"""How often a client may ask."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from actors.decisions.serving.buckets import CLIENTS, Buckets

SECOND = 1_000_000_000


def test_a_client_has_a_burst_and_then_its_rate() -> None:
    buckets = Buckets(rate=2.0, burst=3)
    assert [buckets.take("a", 0) for _ in range(3)] == [0.0, 0.0, 0.0]
    assert buckets.take("a", 0) == 0.5
    assert buckets.take("b", 0) == 0.0
    assert buckets.take("a", SECOND // 4) == 0.25
    assert buckets.take("a", SECOND // 2) == 0.0
    assert buckets.take("a", SECOND // 2) == 0.5


@given(st.lists(st.integers(0, 3 * SECOND), max_size=40), st.integers(1, 5), st.integers(1, 10))
def test_no_client_gets_more_than_its_burst_and_its_rate(steps: list[int], burst: int, rate: int) -> None:
    buckets = Buckets(rate, burst)
    now, granted = 0, 0
    for step in steps:
        now += step
        wait = buckets.take("a", now)
        granted += wait == 0.0
        assert granted <= burst + now / SECOND * rate + 1e-6
        if wait:  # and after the time that it was told, there is a token
            assert buckets.take("a", now + round(wait * SECOND) + 1) == 0.0
            now += round(wait * SECOND) + 1
            granted += 1


def test_clients_are_forgotten_before_they_fill_the_memory() -> None:
    buckets = Buckets(rate=1.0, burst=1)
    for number in range(CLIENTS + 10):
        assert buckets.take(f"c{number}", 0) == 0.0
    assert len(buckets._clients) == CLIENTS
