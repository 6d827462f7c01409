"""The node owns Python's garbage collector: it would otherwise stop the loop whenever it pleases.

With a hundred thousand actors a full collection walks millions of objects, for half a second and more, and
Python starts one whenever enough objects were made. So:

- young objects are collected less often (generation 0 at 10,000 instead of 700 new containers), and what survives is
  not let grow: with 50,000 and ten times that in generation 1, a pause reached 146 ms where 10,000 and 2 have 5 ms;
- what exists when the tree has started is taken out of every later collection (`freeze`);
- full collections never start by themselves: a task starts one from time to time, at a moment when nobody
  else wants to run;
- every pause is measured.

Full collections can be switched off only by a threshold that is never reached: 0 would mean every time
(`gcmodule.c`).
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Any

import msgspec
import trio

NEVER = 2**31 - 1
"""The largest threshold, a C int."""


class CollectorSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When the collector runs."""

    threshold: int = 10_000
    """New containers that start a collection of generation 0."""
    threshold_1: int = 2
    """Collections of generation 0 that start one of generation 1: it must not grow, as it is walked in one pause."""
    full_s: float = 300.0
    """Seconds from one full collection to the next."""
    patience_s: float = 30.0
    """How long a due collection waits for a quiet moment before it runs anyway."""

    def __post_init__(self) -> None:
        if not 1 <= self.threshold <= NEVER:
            raise ValueError(f"threshold must be from 1 to {NEVER}, not {self.threshold}")
        if not 1 <= self.threshold_1 <= NEVER:
            raise ValueError(f"threshold_1 must be from 1 to {NEVER}, not {self.threshold_1}")
        for name in ("full_s", "patience_s"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0 seconds, not {getattr(self, name)}")


class _AtRest(trio.abc.Instrument):
    """Collects once, when the loop is about to wait: then no task wants to run."""

    def __init__(self) -> None:
        self.done = trio.Event()
        self._token = trio.lowlevel.current_trio_token()
        self._due = True

    def before_io_wait(self, timeout: float) -> None:
        if self._due and timeout > 0:
            self._due = False
            gc.collect()
            # Through the token, which ends the wait that is about to begin; a bare set would not.
            self._token.run_sync_soon(self.done.set)


class GarbageCollector:
    """Python's garbage collector in the hands of a node, from entering the block to leaving it.

    `observe` gets the generation and the seconds of every pause. It is called in the middle of anything, in
    whatever thread, and must take no lock. One at a time per process.
    """

    def __init__(
        self,
        settings: CollectorSettings = CollectorSettings(),  # noqa: B008 - frozen
        observe: Callable[[int, float], None] | None = None,
    ) -> None:
        self.settings = settings
        self.longest_s = 0.0
        """The longest pause so far."""
        self.pauses = 0
        self._observe = observe
        self._began = 0
        self._before: tuple[tuple[int, int, int], bool, int] | None = None

    def __enter__(self) -> GarbageCollector:
        self._before = gc.get_threshold(), gc.isenabled(), gc.get_freeze_count()
        gc.callbacks.append(self._measure)
        gc.set_threshold(self.settings.threshold, self.settings.threshold_1, NEVER)
        gc.enable()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._before is not None
        thresholds, enabled, frozen = self._before
        gc.callbacks.remove(self._measure)
        gc.set_threshold(*thresholds)
        if not enabled:
            gc.disable()
        if not frozen:
            # What somebody else froze before us cannot be told apart, and stays frozen with ours.
            gc.unfreeze()

    def freeze(self) -> None:
        """Collect, then keep what is left out of all later collections. For when the tree has started."""
        gc.collect()
        gc.freeze()

    async def run(self) -> None:
        """Collect fully every `full_s` seconds, each time when the loop rests. Never returns."""
        while True:
            await trio.sleep(self.settings.full_s)
            await self.collect_at_rest()

    async def collect_at_rest(self) -> None:
        """Collect fully when the loop next has nothing to do, but after `patience_s` seconds at the latest."""
        rest = _AtRest()
        trio.lowlevel.add_instrument(rest)
        try:
            with trio.move_on_after(self.settings.patience_s) as patience:
                await rest.done.wait()
        finally:
            trio.lowlevel.remove_instrument(rest)
        if patience.cancelled_caught:
            gc.collect()

    def _measure(self, phase: str, info: dict[str, Any]) -> None:
        if phase == "start":
            self._began = time.perf_counter_ns()
            return
        seconds = (time.perf_counter_ns() - self._began) / 1e9
        self.pauses += 1
        self.longest_s = max(self.longest_s, seconds)
        if self._observe is not None:
            self._observe(info["generation"], seconds)
