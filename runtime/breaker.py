"""A circuit breaker: it stops asking something that fails, and finds out by itself when it works again.

Theory of operation
===================

One machine with six states. Three it moves between by itself:

    CLOSED     calls pass; their outcomes go into a window; too many bad ones open it
    OPEN       calls are refused, until `open_s` have passed and a call asks again
    HALF_OPEN  `half_open_calls` trial calls pass, the others are refused; the trials' outcomes decide

and three an operator puts it into, which it leaves only by an operator's word:

    FORCED_OPEN  refuses everything (a kill switch)
    DISABLED     passes everything, records nothing
    OBSERVE      passes everything, records, and reports when it would have opened

Every change of state is in `TRANSITIONS`; what does not fit a table (when an event happens) is code below
it. The model and its details are resilience4j's (`CircuitBreakerStateMachine`, `CircuitBreakerMetrics`).

Rules this file obeys:

- No I/O, no clock, no lock. Time comes in as monotonic nanoseconds; nothing is held while a call runs.
- Every stay in a state is a *period* with a window of its own. A permit belongs to the period that gave it,
  so an outcome that arrives after the state has changed goes into a window which nobody reads any more.
- Nothing happens between calls. OPEN becomes HALF_OPEN when the next call comes, a half-open period that
  took too long is ended by the next call or outcome.
- A permit ends exactly once: by `success`, `failure` or `release`, and at the latest when it is forgotten (it
  releases itself when it is collected). A cancelled call releases and records nothing.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from types import TracebackType

import msgspec

from protocols.control import Refused
from runtime.breaker_window import SECOND, Count, CountWindow, Seconds, TimeWindow

__all__ = [
    "BreakerSettings",
    "BreakerSnapshot",
    "CircuitBreaker",
    "CircuitOpen",
    "Count",
    "Permit",
    "Seconds",
    "State",
    "Transition",
    "Verdict",
    "judge",
]


class State(enum.Enum):
    """Where a breaker stands."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    FORCED_OPEN = "forced_open"
    DISABLED = "disabled"
    OBSERVE = "observe"


class Event(enum.Enum):
    """What makes a breaker change its state. The first five happen, the others are an operator's word."""

    EXCEEDED = "exceeded"
    """Enough calls are in the window and a rate has reached its threshold."""
    WAITED = "waited"
    """A call came and `open_s` had passed."""
    TRIAL_PASSED = "trial_passed"
    TRIAL_FAILED = "trial_failed"
    TRIAL_EXPIRED = "trial_expired"
    """`half_open_timeout_s` passed without a decision."""
    CLOSE = "close"
    TRIP = "trip"
    FORCE_OPEN = "force_open"
    DISABLE = "disable"
    OBSERVE = "observe"


_BY_OPERATOR = {
    Event.CLOSE: State.CLOSED,
    Event.TRIP: State.OPEN,
    Event.FORCE_OPEN: State.FORCED_OPEN,
    Event.DISABLE: State.DISABLED,
    Event.OBSERVE: State.OBSERVE,
}

TRANSITIONS: dict[State, dict[Event, State]] = {
    State.CLOSED: {Event.EXCEEDED: State.OPEN, **_BY_OPERATOR},
    State.OPEN: {Event.WAITED: State.HALF_OPEN, **_BY_OPERATOR},
    State.HALF_OPEN: {
        Event.TRIAL_PASSED: State.CLOSED,
        Event.TRIAL_FAILED: State.OPEN,
        Event.TRIAL_EXPIRED: State.OPEN,
        **_BY_OPERATOR,
    },
    State.FORCED_OPEN: _BY_OPERATOR,
    State.DISABLED: _BY_OPERATOR,
    # Exceeding is reported from OBSERVE (to itself), and changes nothing.
    State.OBSERVE: {Event.EXCEEDED: State.OBSERVE, **_BY_OPERATOR},
}

RECORDING = frozenset({State.CLOSED, State.HALF_OPEN, State.OBSERVE})
REFUSING = frozenset({State.OPEN, State.FORCED_OPEN})


class BreakerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a breaker opens, for how long, and what counts. Rates are fractions; defaults are resilience4j's.

    Raises `ValueError` at construction (`msgspec.ValidationError` when decoded), naming the field.
    """

    window: Count | Seconds = Count()
    failure_rate: float = 0.5
    """Opens when at least this fraction of the window's calls failed."""
    slow_call_rate: float = 1.0
    """Opens when at least this fraction of the window's calls, failed or not, was slow."""
    slow_call_s: float = 60.0
    """A call is slow when it took strictly longer."""
    minimum_calls: int = 100
    """No rate is judged before the window holds so many calls (or is full, when it is smaller)."""
    open_s: float = 60.0
    half_open_calls: int = 10
    half_open_timeout_s: float | None = None
    """A half-open period without a decision becomes open again after this long. None: it waits for its
    trials."""
    record: tuple[str, ...] = ()
    """Codes of `Refused` that are failures. Any other refusal is an answer, and so a success."""
    ignore: tuple[str, ...] = ()
    """Codes of `Refused`, or names of exception types, that are neither success nor failure."""
    exempt: tuple[str, ...] = ()
    """Tags of messages that pass in every state, forced open too (what takes risk away must not be
    stopped)."""
    fallback: str | None = None
    """The path that is asked instead while calls are refused."""

    def __post_init__(self) -> None:
        for name in ("failure_rate", "slow_call_rate"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} must be above 0 and at most 1, not {getattr(self, name)}")
        for name in ("slow_call_s", "open_s", "half_open_timeout_s"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"{name} must be above 0 seconds, not {value}")
        for name in ("minimum_calls", "half_open_calls"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if both := sorted(set(self.record) & set(self.ignore)):
            raise ValueError(f"record and ignore both name {', '.join(both)}")
        if self.fallback is not None and not self.fallback.startswith("/"):
            raise ValueError(f"fallback must be a path that begins with '/', not {self.fallback!r}")


class CircuitOpen(Refused):
    """The breaker refused the call: certainly not performed. `retry_after` in seconds, None: nobody knows."""

    def __init__(self, name: str, state: State, retry_after: float | None) -> None:
        after = "" if retry_after is None else f", retry after {retry_after:.3g} s"
        super().__init__("circuit_open", f"the breaker of {name} is {state.value}{after}")
        self.name = name
        self.state = state
        self.retry_after = retry_after


class Verdict(enum.Enum):
    """How an outcome counts."""

    SUCCESS = "success"
    FAILURE = "failure"
    IGNORED = "ignored"


def judge(settings: BreakerSettings, error: BaseException | None) -> Verdict:
    """How the outcome of a call counts: None is an answer, anything else what the call raised.

    `Unknown` and crashes are failures. A refusal is an answer unless `record` has its code. What is no
    `Exception` (a cancellation, an exit) says nothing about the callee.
    """
    if error is None:
        return Verdict.SUCCESS
    if not isinstance(error, Exception):
        return Verdict.IGNORED
    if isinstance(error, Refused) and error.code in settings.record:
        return Verdict.FAILURE
    if type(error).__name__ in settings.ignore or (isinstance(error, Refused) and error.code in settings.ignore):
        return Verdict.IGNORED
    if isinstance(error, Refused):
        return Verdict.SUCCESS
    return Verdict.FAILURE


class Transition(msgspec.Struct, frozen=True):
    """Told to the listener. `old` equals `new` only when an observing breaker would have opened."""

    name: str
    old: State
    new: State
    event: Event
    at: int
    """Monotonic nanoseconds."""
    calls: int
    failure_rate: float | None
    slow_call_rate: float | None


class BreakerSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A breaker at one moment. Rates are None until the window holds enough calls; totals are of its whole
    life."""

    name: str
    state: State
    since: int
    """Monotonic nanoseconds of the last change of state."""
    retry_after: float | None
    """Seconds until a call may pass again; 0.0 when one would pass now, None when nobody knows."""
    calls: int
    failures: int
    slow_calls: int
    failure_rate: float | None
    slow_call_rate: float | None
    free_permits: int | None
    """Trial calls that may still begin; None outside HALF_OPEN."""
    succeeded: int
    failed: int
    slow: int
    refused: int
    opened: int


class _Period:
    """One stay in one state: its window and, in HALF_OPEN, what is left of its permits."""

    __slots__ = ("exceeded", "free", "minimum", "since", "state", "window")

    def __init__(self, state: State, since: int, settings: BreakerSettings) -> None:
        self.state = state
        self.since = since
        self.exceeded = False
        self.window: CountWindow | TimeWindow
        self.free: int | None = None
        if state is State.HALF_OPEN:
            self.free = settings.half_open_calls
            self.window = CountWindow(settings.half_open_calls)
        elif isinstance(settings.window, Count):
            self.window = CountWindow(settings.window.calls)
        else:
            self.window = TimeWindow(settings.window.seconds, since)
        self.minimum = min(settings.minimum_calls, self.window.size)

    def rates(self) -> tuple[float, float] | None:
        """Failure and slow-call rate, or None while there are too few calls to judge."""
        window = self.window
        if window.calls < self.minimum:
            return None
        return window.failures / window.calls, window.slow / window.calls


class Permit:
    """The right to make one call. It ends by `success`, `failure`, `settle` or `release`; what comes later
    is ignored.

    As a context manager it is released at the end of the block unless it was ended inside.
    """

    __slots__ = ("_breaker", "_ended", "_period", "_started")

    def __init__(self, breaker: CircuitBreaker, period: _Period | None, started: int) -> None:
        self._breaker = breaker
        self._period = period
        self._started = started
        self._ended = False

    def success(self, now: int) -> None:
        """The call was answered at `now`."""
        self._end(now, failed=False)

    def failure(self, now: int) -> None:
        """The call failed at `now`."""
        self._end(now, failed=True)

    def settle(self, now: int, error: BaseException | None) -> None:
        """End it as `judge` finds: with the call's exception, or None for an answer."""
        verdict = judge(self._breaker.settings, error)
        if verdict is Verdict.IGNORED:
            self.release()
        else:
            self._end(now, failed=verdict is Verdict.FAILURE)

    def release(self) -> None:
        """Give it back unused: nothing is recorded, another call may have it."""
        if not self._ended:
            self._ended = True
            if self._period is not None and self._period.free is not None:
                self._period.free += 1

    def _end(self, now: int, *, failed: bool) -> None:
        if not self._ended:
            self._ended = True
            self._breaker._record(self._period, now, failed, now - self._started)

    def __enter__(self) -> Permit:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()

    def __del__(self) -> None:
        self.release()


class CircuitBreaker:
    """The machine of one ref. `name` is shown in errors and snapshots, `listener` is told each transition.

    The listener is called after the change, synchronously; what it raises reaches the caller.
    """

    def __init__(
        self,
        name: str,
        settings: BreakerSettings,
        now: int,
        listener: Callable[[Transition], None] | None = None,
    ) -> None:
        self.name = name
        self.settings = settings
        self._listener = listener
        self._period = _Period(State.CLOSED, now, settings)
        self._succeeded = self._failed = self._slow = self._refused = self._opened = 0

    @property
    def state(self) -> State:
        """The state as the last call left it: an open breaker whose wait is over is open until somebody
        calls."""
        return self._period.state

    def acquire(self, now: int, *, exempt: bool = False) -> Permit:
        """The right to make one call at `now`. Raises `CircuitOpen`.

        An `exempt` call passes in every state. It counts where calls pass anyway, but is no trial.
        """
        self._settle_time(now, calling=not exempt)
        period = self._period
        if period.state not in REFUSING and period.free is None:
            return Permit(self, period if period.state in RECORDING else None, now)
        if exempt:
            return Permit(self, None, now)
        if period.free:
            period.free -= 1
            return Permit(self, period, now)
        self._refused += 1
        raise CircuitOpen(self.name, period.state, self._retry_after(now))

    def passes(self, now: int) -> bool:
        """Whether a call at `now` would get through. Looking changes nothing."""
        return self._retry_after(now) == 0.0

    def close(self, now: int) -> None:
        """Operator: close it, with an empty window."""
        self._change(Event.CLOSE, now)

    def trip(self, now: int) -> None:
        """Operator, or who knows better than the calls do (a feed gone silent): open it for `open_s`."""
        self._change(Event.TRIP, now)

    def force_open(self, now: int) -> None:
        """Operator: refuse everything until told otherwise."""
        self._change(Event.FORCE_OPEN, now)

    def disable(self, now: int) -> None:
        """Operator: pass everything and record nothing until told otherwise."""
        self._change(Event.DISABLE, now)

    def observe(self, now: int) -> None:
        """Operator: pass everything, record, and report when it would have opened."""
        self._change(Event.OBSERVE, now)

    def snapshot(self, now: int) -> BreakerSnapshot:
        """The breaker at `now`. Looking changes nothing."""
        period = self._period
        period.window.expire(now)
        rates = period.rates()
        return BreakerSnapshot(
            name=self.name,
            state=period.state,
            since=period.since,
            retry_after=self._retry_after(now),
            calls=period.window.calls,
            failures=period.window.failures,
            slow_calls=period.window.slow,
            failure_rate=rates[0] if rates else None,
            slow_call_rate=rates[1] if rates else None,
            free_permits=period.free,
            succeeded=self._succeeded,
            failed=self._failed,
            slow=self._slow,
            refused=self._refused,
            opened=self._opened,
        )

    def _retry_after(self, now: int) -> float | None:
        period = self._period
        if period.state is State.OPEN:
            wait: float | None = self.settings.open_s
        elif period.state is State.FORCED_OPEN:
            return None
        elif period.free == 0:
            wait = self.settings.half_open_timeout_s
        else:
            return 0.0
        return None if wait is None else max(0.0, wait - (now - period.since) / SECOND)

    def _settle_time(self, now: int, *, calling: bool) -> None:
        """Let happen what time alone has brought about. A half-open period ends at its own deadline,
        whenever that is noticed; so the wait that follows may be over, too, and the order of the two steps
        matters."""
        timeout = self.settings.half_open_timeout_s
        period = self._period
        if period.state is State.HALF_OPEN and timeout is not None:
            deadline = period.since + round(timeout * SECOND)
            if now >= deadline:
                self._change(Event.TRIAL_EXPIRED, deadline)
        period = self._period
        if calling and period.state is State.OPEN and now >= period.since + round(self.settings.open_s * SECOND):
            self._change(Event.WAITED, now)

    def _record(self, period: _Period | None, now: int, failed: bool, took: int) -> None:
        slow = took > self.settings.slow_call_s * SECOND
        self._failed += failed
        self._succeeded += not failed
        self._slow += slow
        self._settle_time(now, calling=False)
        if period is None:
            return
        period.window.add(now, failed, slow)
        if period is not self._period:
            return
        rates = period.rates()
        if rates is None:
            return
        exceeded = rates[0] >= self.settings.failure_rate or rates[1] >= self.settings.slow_call_rate
        if period.state is State.HALF_OPEN:
            self._change(Event.TRIAL_FAILED if exceeded else Event.TRIAL_PASSED, now)
        elif exceeded and not period.exceeded:
            # An observing breaker stays where it is, and reports once each time that it begins to exceed.
            period.exceeded = True
            self._change(Event.EXCEEDED, now)
        else:
            period.exceeded = exceeded

    def _change(self, event: Event, now: int) -> None:
        old = self._period
        new = TRANSITIONS[old.state][event]
        rates = old.rates()
        if new is not old.state or event is not Event.EXCEEDED:
            self._period = _Period(new, now, self.settings)
        self._opened += new is State.OPEN and old.state is not State.OPEN
        if self._listener is not None:
            self._listener(
                Transition(
                    name=self.name,
                    old=old.state,
                    new=new,
                    event=event,
                    at=now,
                    calls=old.window.calls,
                    failure_rate=rates[0] if rates else None,
                    slow_call_rate=rates[1] if rates else None,
                )
            )
