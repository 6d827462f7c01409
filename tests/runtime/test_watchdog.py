from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from runtime import exit_timer
from runtime.exit_timer import ExitTimer
from runtime.watchdog import EXIT_STATUS, LagMeter

ROOT = Path(__file__).parents[2]


class Noting:
    """A logger that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def note(self, event: str, **rest: Any) -> None:
        self.lines.append({"event": event, **rest})

    warning = error = note


class Blocking:
    """Trio's virtual time, plus what was spent in blocking calls: those trio's clock does not see."""

    def __init__(self) -> None:
        self.blocked = 0.0

    def monotonic(self) -> float:
        return trio.current_time() + self.blocked


# The lag meter


async def test_a_loop_that_turns_has_no_lag(autojump_clock: trio.testing.MockClock) -> None:
    seen: list[float] = []
    logger = Noting()
    meter = LagMeter(seen.append, monotonic=trio.current_time, logger=logger)
    with trio.move_on_after(10):
        await meter.run()
    assert len(seen) == pytest.approx(200, abs=1)
    assert max(seen) < 1e-6
    assert logger.lines == []


async def test_whoever_holds_the_loop_is_measured_named_and_logged(autojump_clock: trio.testing.MockClock) -> None:
    time = Blocking()
    logger = Noting()
    seen: list[float] = []
    held: list[tuple[str, float]] = []
    beats: list[None] = []
    meter = LagMeter(
        seen.append,
        who=lambda: "/strategies/slow",
        held=lambda path, seconds: held.append((path, round(seconds, 6))),
        beat=lambda: beats.append(None),
        monotonic=time.monotonic,
        logger=logger,
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(meter.run)
        await trio.sleep(0.12)
        time.blocked += 0.3
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert max(seen) == pytest.approx(0.3)
    assert sum(lag > 0.001 for lag in seen) == 1
    assert held == [("/strategies/slow", 0.3)]
    assert logger.lines == [{"event": "the loop was late", "lag_s": 0.3, "actor": "/strategies/slow"}]
    assert len(beats) == len(seen)


async def test_a_loop_that_is_late_all_the_time_is_logged_once_in_a_while(
    autojump_clock: trio.testing.MockClock,
) -> None:
    time = Blocking()
    logger = Noting()
    meter = LagMeter(lambda lag: None, monotonic=time.monotonic, logger=logger, quiet_s=2.0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(meter.run)
        for _ in range(10):
            await trio.sleep(0.06)
            time.blocked += 0.5
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert 1 < len(logger.lines) < 5
    assert "unsaid" not in logger.lines[0]
    assert sum(1 + line.get("unsaid", 0) for line in logger.lines) <= 10
    assert logger.lines[1]["unsaid"] >= 2
    assert logger.lines[0]["actor"] is None


# The watchdog, in a process of its own: it blocks, and is ended

CATASTROPHE = "re.match('(a+)+$', 'a' * 64 + 'b')"
"""C code that keeps the interpreter's lock until the sun is cold."""
HUGE = "7 ** 10 ** 9"
PYTHON = "spin()"

PROGRAM = """
import os, re, sys, time, trio
from runtime.watchdog import LagMeter, Watchdog

turning = trio.Event()

class Logger:
    def error(self, event, **rest):
        os.write(1, f"{{event}} {{rest['actor']}}\\n".encode())

    critical = error

    def warning(self, event, **rest):
        os.write(1, f"{{event}}\\n".encode())
        turning.set()

watchdog = Watchdog(block_s={block_s}, who=lambda: "/strategies/slow", logger=Logger())

def spin():
    while True:
        pass

def until_it_is_logged():
    ours, theirs = os.pipe()
    output = os.dup(1)
    os.dup2(theirs, 1)
    line = os.read(ours, 100)
    os.dup2(output, 1)
    os.write(1, line)

def handler_that_blocks():
    {blocking}

async def main():
    with watchdog:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(LagMeter(lambda lag: None, beat=watchdog.pet, interval_s=0.01).run)
            {before}
            handler_that_blocks()
            {after}
            nursery.cancel_scope.cancel()
    os.write(1, b"ended by itself\\n")

trio.run(main)
"""


def start(
    blocking: str, *, block_s: float = 60.0, before: str = "pass", after: str = "pass"
) -> subprocess.Popen[bytes]:
    program = PROGRAM.format(blocking=blocking, block_s=block_s, before=before, after=after)
    return subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.parametrize("blocking", [CATASTROPHE, HUGE, PYTHON, "time.sleep(1000)"])
def test_a_process_that_does_not_come_back_writes_its_stacks_and_ends_with_70(blocking: str) -> None:
    process = start(f"watchdog.arm_exit(0.05); {blocking}")
    output, stacks = process.communicate()
    assert process.returncode == EXIT_STATUS == 70
    assert b"in handler_that_blocks" in stacks
    assert stacks.startswith(b"Timeout")
    said = b"the process did not stop in time and is ended /strategies/slow\n"
    # With C code in the way nothing of Python's gets a word in.
    assert output == (b"" if blocking in (CATASTROPHE, HUGE) else said)


def test_a_stop_that_ends_in_time_is_not_ended() -> None:
    process = start("watchdog.arm_exit(1000); watchdog.arm_exit(2000)")
    output, stacks = process.communicate()
    assert (process.returncode, output, stacks) == (0, b"ended by itself\n", b"")


def test_an_exit_that_was_called_off_does_not_happen() -> None:
    # The loop is reported as blocked only after the time at which the exit would have come.
    process = start(f"watchdog.arm_exit(0.1); watchdog.disarm_exit(); {PYTHON}", block_s=0.5)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"the loop is blocked /strategies/slow\n"
        assert process.poll() is None
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("blocking", [CATASTROPHE, HUGE])
def test_the_stacks_of_a_blocked_loop_are_written_though_c_code_has_the_lock(blocking: str) -> None:
    process = start(blocking, block_s=0.2)
    try:
        assert process.stderr is not None
        assert process.stderr.readline().startswith(b"Timeout")
        while b"in handler_that_blocks" not in process.stderr.readline():
            pass
        assert process.poll() is None
    finally:
        process.kill()
        process.communicate()


def test_a_blocked_loop_is_logged_with_the_actor_and_again_when_it_turns() -> None:
    process = start("until_it_is_logged()", block_s=0.2, after="await turning.wait()")
    output, stacks = process.communicate()
    assert process.returncode == 0
    assert output == b"the loop is blocked /strategies/slow\nthe loop turns again\nended by itself\n"
    assert b"in until_it_is_logged" in stacks


def test_a_loop_that_turns_is_left_alone() -> None:
    # It takes real time: the thread that would write the stacks knows no other.
    process = start("pass", block_s=0.6, before="await trio.sleep(0.8)")
    output, stacks = process.communicate()
    assert (process.returncode, output, stacks) == (0, b"ended by itself\n", b"")


# The exit timer


def test_a_cancelled_timer_ends_nothing() -> None:
    timer = ExitTimer(1000, 70)
    timer.cancel()
    timer.cancel()


@pytest.mark.skipif(sys.platform != "linux", reason="POSIX timers that start a thread are Linux's")
def test_on_linux_the_timer_is_certain() -> None:
    timer = ExitTimer(1000, 70)
    timer.cancel()
    assert timer.certain


def test_without_posix_timers_a_thread_does_what_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exit_timer.sys, "platform", "elsewhere")
    before = set(threading.enumerate())
    timer = ExitTimer(1000, 70)
    assert not timer.certain
    # Not a count: idle threads of earlier tests end whenever they like.
    (started,) = set(threading.enumerate()) - before
    assert isinstance(started, threading.Timer)
    timer.cancel()
    started.join()


@pytest.mark.parametrize("platform", [sys.platform, "elsewhere"])
def test_the_status_is_the_one_that_was_asked_for(platform: str) -> None:
    program = (
        "import sys, time\n"
        "from runtime.exit_timer import ExitTimer\n"
        f"sys.platform = {platform!r}\n"
        "timer = ExitTimer(0.0, 42)\n"
        "time.sleep(1000)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 42
