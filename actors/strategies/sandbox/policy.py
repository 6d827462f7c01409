"""What follows when a strategy's worker ends, or when its code fails: the kill table, the budgets, and the bar.

| event | follows |
|---|---|
| deadline passed (`timeout`), memory twice in a row (`memory`), killed from outside (`oom_or_cpu`), CPU budget of the minute used up (`cpu_budget`) | restart; the third within ten minutes bars |
| forbidden system call, broken protocol | barred at once |
| crashed (SIGSEGV, SIGABRT, exit) | restart once, then barred |
| an exception of its code | goes on; more than the error budget ends the run |
| the sandbox itself ended (`zygote`) | restart, not counted |

Barred: the version is not started again until a person lifts it or there is another version. Times are monotonic
nanoseconds.
"""  # noqa: E501 - a table

from __future__ import annotations

from collections import deque
from typing import Final, Literal

import msgspec

Cause = Literal[
    "timeout", "memory", "oom_or_cpu", "cpu_budget", "forbidden_syscall", "protocol", "crashed", "closed", "zygote"
]

AT_ONCE: Final = frozenset({"forbidden_syscall", "protocol"})
COUNTED: Final = frozenset({"timeout", "memory", "oom_or_cpu", "cpu_budget"})
WINDOW_NS: Final = 600_000_000_000
MOST_KILLS: Final = 3
ERRORS: Final = 10
ERROR_WINDOW_NS: Final = 3_600_000_000_000
MINUTE_NS: Final = 60_000_000_000


class Sentence(msgspec.Struct, frozen=True, gc=False):
    """What follows: `restart`, or `bar` (the run ends, and this version is not started again)."""

    action: Literal["restart", "bar"]
    reason: str


class KillRecord:
    """The kills of one version of one strategy."""

    def __init__(self, most: int = MOST_KILLS, window_ns: int = WINDOW_NS) -> None:
        self.most = most
        self.window_ns = window_ns
        self.kills = 0
        self._recent: deque[int] = deque()
        self._crashed = False

    def ended(self, cause: Cause, detail: str, now: int) -> Sentence:
        """The worker has ended (or was killed) for this cause."""
        why = f"{cause}: {detail}" if detail else cause
        if cause in ("zygote", "closed"):
            return Sentence("restart", why)
        self.kills += 1
        if cause in AT_ONCE:
            return Sentence("bar", why)
        if cause == "crashed":
            if self._crashed:
                return Sentence("bar", f"{why} (it had crashed before)")
            self._crashed = True
            return Sentence("restart", why)
        recent = self._recent
        recent.append(now)
        while recent[0] <= now - self.window_ns:
            recent.popleft()
        if len(recent) >= self.most:
            return Sentence("bar", f"{why} ({len(recent)} kills within {self.window_ns // MINUTE_NS} minutes)")
        return Sentence("restart", why)


class ErrorBudget:
    """Exceptions of a strategy's code: more than `most` within `window_ns` are too many."""

    def __init__(self, most: int = ERRORS, window_ns: int = ERROR_WINDOW_NS) -> None:
        self.most = most
        self.window_ns = window_ns
        self._recent: deque[int] = deque()

    def spent(self, now: int) -> bool:
        """Note an error; whether the budget is used up."""
        recent = self._recent
        recent.append(now)
        while recent[0] <= now - self.window_ns:
            recent.popleft()
        return len(recent) > self.most


class CpuBudget:
    """Processor time of one strategy: `per_minute` nanoseconds a minute, as a bucket that fills continuously."""

    def __init__(self, per_minute: int, now: int) -> None:
        self.per_minute = per_minute
        self._left = float(per_minute)
        self._at = now

    def spent(self, used: int, now: int) -> bool:
        """Note so much processor time; whether there is none left."""
        self._left += (now - self._at) * self.per_minute / MINUTE_NS
        self._left = min(self._left, float(self.per_minute)) - used
        self._at = now
        return self._left < 0
