"""The rules of supervision that need no loop: restart types, the sliding restart limit, attempts in a period.

Source: Erlang/OTP `supervisor.erl`; backoff is ours.
"""

from __future__ import annotations

from collections import deque

from protocols.control import Crashed, ExitReason, Killed
from runtime.spec import Restart, RestartLimit


def is_abnormal(reason: ExitReason) -> bool:
    """OTP's normal exits are `normal`, `shutdown` and `{shutdown, _}`."""
    return isinstance(reason, Crashed | Killed)


def lost_its_cluster(reason: ExitReason) -> bool:
    """Whether it ended, or could not start, because there is no cluster: nobody's fault, and no restart to count."""
    return isinstance(reason, Crashed) and reason.error == "ClusterLost"


def restarts(restart: Restart, reason: ExitReason) -> bool:
    """Whether a child of this restart type is started again after this exit."""
    if restart is Restart.PERMANENT:
        return True
    return restart is Restart.TRANSIENT and is_abnormal(reason)


def ended_by_itself(restart: Restart, reason: ExitReason) -> bool:
    """Whether this final exit of a significant child counts for auto_shutdown."""
    if restart is Restart.TRANSIENT:
        return not is_abnormal(reason)
    return restart is Restart.TEMPORARY


class RestartWindow:
    """A sliding window of restarts: more than `limit.count` within `limit.seconds` is too many."""

    __slots__ = ("_times", "limit")

    def __init__(self, limit: RestartLimit) -> None:
        self.limit = limit
        self._times: deque[float] = deque()

    def record(self, now: float) -> bool:
        """Note a restart at `now` (seconds, monotonic); False if it is one too many."""
        self._times.append(now)
        return self.count(now) <= self.limit.count

    def count(self, now: float) -> int:
        """How many restarts lie within the period."""
        while self._times and self._times[0] <= now - self.limit.seconds:
            self._times.popleft()
        return len(self._times)
