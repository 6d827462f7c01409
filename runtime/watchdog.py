"""What watches over the event loop: how late it is, who makes it late, and what to do when it does not come
back.

Three things of increasing distance from Python:

- The *lag meter* is a task on the loop. It measures how late it is woken, and names the actor that ran last.
- The *watchdog*'s thread sees a loop that does not come back at all, and names the actor while it still
  holds the loop; it needs the interpreter's lock, which a handler in a Python loop or a sleeping system
  call leaves to it.
- Below both, `faulthandler`'s C thread writes the stacks of all threads, and `ExitTimer` ends the process.
  They work while C code (a regular expression, a huge integer) keeps the lock for minutes.

`faulthandler` has one timer per process, so there may be one watchdog per process.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import IO, Any

import structlog
import trio

from runtime.exit_timer import ExitTimer

EXIT_STATUS = 70
"""EX_SOFTWARE of <sysexits.h>: the process had to end itself."""
_DUMP_S = 0.25
"""How long the stacks may take to be written before the process ends."""


class LagMeter:
    """Measures the lag of the event loop, every `interval_s` seconds.

    `observe` gets each lag in seconds. A lag over `threshold_s` is logged with the path that `who` returns,
    the actor that was given the loop last, at most once in `quiet_s` seconds; `held` gets (path, seconds)
    of each of them. `beat` is called every time: it is where a watchdog is told that the loop turns.
    """

    def __init__(
        self,
        observe: Callable[[float], None],
        *,
        who: Callable[[], str | None] = lambda: None,
        held: Callable[[str, float], None] | None = None,
        beat: Callable[[], None] | None = None,
        interval_s: float = 0.05,
        threshold_s: float = 0.1,
        quiet_s: float = 1.0,
        monotonic: Callable[[], float] = time.perf_counter,
        logger: Any = None,
    ) -> None:
        self._observe = observe
        self._who = who
        self._held = held
        self._beat = beat
        self._interval = interval_s
        self._threshold = threshold_s
        self._quiet = quiet_s
        self._monotonic = monotonic
        self._logger = logger or structlog.get_logger("troupe")
        self._quiet_until = 0.0
        self._unsaid = 0

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            begin = self._monotonic()
            await trio.sleep(self._interval)
            end = self._monotonic()
            lag = max(0.0, end - begin - self._interval)
            self._observe(lag)
            if self._beat is not None:
                self._beat()
            if lag > self._threshold:
                self._late(lag, end)

    def _late(self, lag: float, now: float) -> None:
        path = self._who()
        if path is not None and self._held is not None:
            self._held(path, lag)
        if now < self._quiet_until:
            self._unsaid += 1
            return
        more = {"unsaid": self._unsaid} if self._unsaid else {}
        self._logger.warning("the loop was late", lag_s=round(lag, 4), actor=path, **more)
        self._unsaid = 0
        self._quiet_until = now + self._quiet


class Watchdog:
    """Sees a loop that is blocked, from outside the loop. Between `start` and `close` it wants to be told
    by `pet`, much more often than every `block_s` seconds, that the loop turns.

    When it is not, the stacks of all threads are written to `stacks` (standard error), and the actor that
    `who` returns is logged as soon as the interpreter's lock can be had. Nothing is ended: that is what
    `arm_exit` is for.
    """

    def __init__(
        self,
        *,
        block_s: float = 5.0,
        stacks: IO[Any] | None = None,
        who: Callable[[], str | None] = lambda: None,
        logger: Any = None,
    ) -> None:
        self._block = block_s
        self._stacks = sys.stderr if stacks is None else stacks
        self._who = who
        self._logger = logger or structlog.get_logger("troupe")
        self._petted = self._armed = 0.0
        self._reported = False
        self._exit: ExitTimer | None = None
        self._exit_at = 0.0
        self._closed = threading.Event()
        self._earlier = threading.Event()
        """Set when the thread has to look at once."""
        self._closed.set()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Watchdog:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Begin to watch."""
        self._closed.clear()
        self._arm(time.monotonic())
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Watch no more, and end nothing."""
        self._closed.set()
        self._earlier.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self.disarm_exit()
        faulthandler.cancel_dump_traceback_later()

    def pet(self) -> None:
        """The loop turns. Cheap: the timer below is wound up again only four times in `block_s`."""
        now = time.monotonic()
        held = now - self._petted
        self._petted = now
        if self._reported:
            self._reported = False
            self._logger.warning("the loop turns again", held_s=round(held, 3))
        if now - self._armed > self._block / 4:
            self._arm(now)

    def arm_exit(self, seconds: float) -> None:
        """In so many seconds all stacks are written, and a moment later the process ends with status 70,
        whatever it is doing then. Until `disarm_exit`, the loop is not watched otherwise. Arming again
        replaces the time."""
        self._call_off()
        self._exit = ExitTimer(seconds + 2 * _DUMP_S, EXIT_STATUS)
        self._exit_at = time.monotonic() + seconds
        self._earlier.set()
        if self._exit.certain:
            faulthandler.dump_traceback_later(seconds + _DUMP_S, exit=False, file=self._stacks)
        else:
            # The stacks are then written by the one that ends the process with 1, should the thread not get
            # to it.
            faulthandler.dump_traceback_later(seconds + 3 * _DUMP_S, exit=True, file=self._stacks)

    def disarm_exit(self) -> None:
        """The stop went well: the process lives on, and is watched again."""
        if self._exit is not None:
            self._call_off()
            self._earlier.set()
            self._arm(time.monotonic())

    def _call_off(self) -> None:
        if self._exit is not None:
            self._exit.cancel()
            self._exit = None

    def _arm(self, now: float) -> None:
        if self._exit is None and not self._closed.is_set():
            self._petted = self._armed = now
            self._wind_up()

    def _wind_up(self) -> None:
        # faulthandler reads the stacks of threads that may be running, which can crash the process. So it is left
        # only what this class's thread cannot do: it is due when that thread has not run for half of `block_s`,
        # because somebody keeps the interpreter's lock, and then nothing moves.
        faulthandler.dump_traceback_later(2 * self._block, exit=False, file=self._stacks)

    def _watch(self) -> None:
        while True:
            due = self._block / 4 if self._exit is None else self._exit_at - time.monotonic()
            self._earlier.wait(max(0.0, due))
            self._earlier.clear()
            if self._closed.is_set():
                return
            now = time.monotonic()
            if self._exit is not None:
                if now >= self._exit_at:
                    faulthandler.cancel_dump_traceback_later()
                    self._write_stacks("the process did not stop in time")
                    self._logger.error("the process did not stop in time and is ended", actor=self._who())
                    os._exit(EXIT_STATUS)
                continue
            held = now - self._petted
            if held > self._block:
                self._wind_up()
                if not self._reported:
                    self._reported = True
                    self._write_stacks(f"the loop has not turned for {held:.3g} s")
                    self._logger.error("the loop is blocked", held_s=round(held, 3), actor=self._who())

    def _write_stacks(self, why: str) -> None:
        """The stacks of all threads, by a thread that holds the interpreter's lock."""
        lines = [f"Timeout: {why}\n"]
        for thread, frame in sys._current_frames().items():
            lines.append(f"Thread 0x{thread:x} (most recent call last):\n")
            lines += traceback.format_stack(frame)
        try:
            self._stacks.write("".join(lines))
            self._stacks.flush()
        except (OSError, ValueError):
            return  # standard error has gone away
