from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest
import trio
import trio.testing

from runtime.collector import NEVER, CollectorSettings, GarbageCollector


@pytest.fixture(autouse=True)
def settings_as_before() -> Iterator[None]:
    """Whatever a test does, the collector is afterwards as it was: that is what it is about."""
    before = gc.get_threshold(), gc.isenabled(), gc.get_freeze_count(), list(gc.callbacks)
    yield
    assert (gc.get_threshold(), gc.isenabled(), gc.get_freeze_count(), gc.callbacks) == before


class Node:
    """Refers to itself, so that only the collector can end it."""

    def __init__(self) -> None:
        self.me = self


def garbage() -> weakref.ref[Node]:
    return weakref.ref(Node())


def test_inside_the_block_the_collector_works_as_the_node_wants() -> None:
    with GarbageCollector():
        assert gc.get_threshold()[0] == 10_000
        assert gc.get_threshold()[1:] == (2, NEVER)
        assert gc.isenabled()
    with GarbageCollector(CollectorSettings(threshold=10)):
        assert gc.get_threshold()[0] == 10


def test_a_collector_that_was_off_or_tuned_is_so_again() -> None:
    before = gc.get_threshold()
    gc.disable()
    gc.set_threshold(123, 4, 5)
    try:
        with GarbageCollector():
            assert gc.isenabled()
        assert not gc.isenabled()
        assert gc.get_threshold() == (123, 4, 5)
    finally:
        gc.enable()
        gc.set_threshold(*before)


def test_it_is_restored_after_an_error_too() -> None:
    def fail() -> None:
        with GarbageCollector() as collector:
            collector.freeze()
            raise LookupError

    with pytest.raises(LookupError):
        fail()


def test_what_is_frozen_is_left_out_of_collections_until_the_end() -> None:
    with GarbageCollector() as collector:
        dead, alive = garbage(), Node()
        assert dead() is not None
        collector.freeze()
        assert dead() is None
        assert gc.get_freeze_count() > 0
        lost = weakref.ref(alive)
        del alive
        gc.collect()
        assert lost() is not None
    gc.collect()
    assert lost() is None


def test_no_full_collection_starts_by_itself() -> None:
    seen: list[int] = []
    with GarbageCollector(CollectorSettings(threshold=10), lambda generation, seconds: seen.append(generation)):
        kept = [[each] for each in range(5_000)]
    assert seen.count(0) > seen.count(1) > 0
    assert 2 not in seen
    del kept


def test_every_pause_is_measured() -> None:
    seen: list[tuple[int, float]] = []
    with GarbageCollector(observe=lambda *pause: seen.append(pause)) as collector:
        gc.collect(0)
        gc.collect()
    assert [generation for generation, _ in seen] == [0, 2]
    assert all(seconds > 0 for _, seconds in seen)
    assert collector.pauses == 2
    assert collector.longest_s == max(seconds for _, seconds in seen)


async def test_a_full_collection_runs_when_the_loop_rests() -> None:
    dead = garbage()
    with GarbageCollector() as collector:
        with trio.fail_after(10):
            await collector.collect_at_rest()
        assert dead() is None


async def test_while_others_want_to_run_a_collection_waits() -> None:
    dead = garbage()
    steps = 0

    async def busy() -> None:
        nonlocal steps
        while steps < 1_000:
            assert dead() is not None
            steps += 1
            await trio.lowlevel.checkpoint()

    with GarbageCollector() as collector:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(busy)
            await collector.collect_at_rest()
            assert steps == 1_000
            assert dead() is None


async def test_a_loop_that_never_rests_is_collected_when_patience_ends(
    mock_clock: trio.testing.MockClock,
) -> None:
    dead = garbage()
    collected = False

    async def collect(collector: GarbageCollector) -> None:
        nonlocal collected
        await collector.collect_at_rest()
        collected = True

    with GarbageCollector(CollectorSettings(patience_s=30.0)) as collector:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(collect, collector)
            for _ in range(10):
                await trio.lowlevel.checkpoint()
            assert dead() is not None
            mock_clock.jump(31.0)
            while not collected:
                await trio.lowlevel.checkpoint()
    assert dead() is None


async def test_full_collections_come_from_time_to_time() -> None:
    full: list[float] = []

    def observe(generation: int, seconds: float) -> None:
        if generation == 2:
            full.append(seconds)
        if len(full) == 3:
            scope.cancel()

    settings = CollectorSettings(full_s=0.001)
    with GarbageCollector(settings, observe) as collector, trio.CancelScope() as scope:
        await collector.run()
    assert len(full) >= 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"threshold": 0}, "threshold must be from 1"),
        ({"threshold": 2**31}, "threshold must be from 1"),
        ({"full_s": 0}, "full_s must be above 0"),
        ({"patience_s": -1}, "patience_s must be above 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CollectorSettings(**settings)  # type: ignore[arg-type]
