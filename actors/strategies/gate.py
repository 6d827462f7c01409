"""The gate: which of a strategy's signals leave it. And the settings of a run that it acts by.

In this order, the first that fails names the reason:

1. `disabled`: the run is switched off (`enabled`).
2. `confidence`: below `min_confidence_threshold`, whatever the action.
3. `risk`: above `max_risk_threshold`. Only what raises risk is held back by it: an exit in a wild market passes. A risk
   that nobody knows passes, too; the assessment says that it is unknown.
4. `cooldown`: `signal_cooldown` has not passed since the last signal of the same kind in the symbol. Kinds are: entries
   (BUY and SELL together), HOLD, and each of the exits (CLOSE_*) for itself. So the cooldown of an entry holds back no
   exit; the repetition of an exit is held back, unless there was an entry in between.
5. `concurrent`: `max_concurrent_signals` of the run's entries are open: not expired, and no exit of their symbol has
   followed (CLOSE_LONG ends BUY, CLOSE_SHORT ends SELL, CLOSE_ALL both). Exits and HOLD are not counted.

A signal that passes is taken as made at once. Times are wall times in nanoseconds, since cooldowns outlive a restart.
"""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any, Final, Literal

import msgspec

from protocols.nanos import NANO
from protocols.signals import Action

Reason = Literal["", "disabled", "confidence", "risk", "cooldown", "concurrent"]
REASONS: Final[tuple[Reason, ...]] = ("disabled", "confidence", "risk", "cooldown", "concurrent")
ENTRIES: Final = frozenset({"BUY", "SELL"})
_ENTRY: Final = "entry"
_ENDS: Final[dict[str, frozenset[str]]] = {
    "CLOSE_LONG": frozenset({"BUY"}),
    "CLOSE_SHORT": frozenset({"SELL"}),
    "CLOSE_ALL": frozenset({"BUY", "SELL"}),
}
_STATE: Final = 1

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Percentage = Annotated[float, msgspec.Meta(ge=0, lt=1)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class RunSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a run behaves: the StrategyConfiguration of the inference service, each field acting as it says.

    Raises msgspec.ValidationError (from `msgspec.convert`) for what is out of its bounds.
    """

    enabled: bool = True
    """False: the strategy goes on, and none of its signals leaves it."""
    mode: Literal["paper", "live", "backtest"] = "paper"
    """`paper` emits signals; the others are answered when the run is started."""
    max_concurrent_signals: Annotated[int, msgspec.Meta(ge=1, le=50)] = 5
    signal_cooldown: Annotated[float, msgspec.Meta(ge=0, le=31_536_000)] = 60.0
    """Seconds, for each symbol."""
    symbols: Annotated[tuple[Name, ...], msgspec.Meta(max_length=1000)] = ()
    """Empty: those with which the run was started."""
    timeframes: Annotated[tuple[Name, ...], msgspec.Meta(min_length=1, max_length=20)] = ("1h",)
    lookback_periods: Annotated[int, msgspec.Meta(ge=10, le=1000)] = 100
    """Bars of each window that the strategy sees."""
    max_position_size: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.1
    """A share of the capital: the most that the hint of a position's size says."""
    max_daily_loss: Share = 0.05
    """A share of the capital. Acts only with execution, which knows fills."""
    stop_loss_percentage: Percentage = 0.02
    """A share of the price, for the hint where the strategy gives no stop; 0: no hint."""
    take_profit_percentage: Percentage = 0.04
    """A share of the price, for the hint where the strategy gives no target; 0: no hint."""
    min_confidence_threshold: Share = 0.6
    max_risk_threshold: Share = 0.5
    notify_on_signals: bool = True
    notify_on_errors: bool = True
    notification_channels: Annotated[tuple[Name, ...], msgspec.Meta(max_length=100)] = ()
    """These three are kept and shown. Every signal and every change of a status reaches all configured channels;
    messages to people act only with execution and its alerts."""
    custom_parameters: dict[str, Any] = {}
    """The strategy's own parameters."""
    environment_variables: dict[str, Any] = {}
    """Must be empty: code in the sandbox has no environment."""

    def __post_init__(self) -> None:
        if self.environment_variables:
            names = ", ".join(sorted(self.environment_variables)[:5])
            raise ValueError(f"environment_variables: a sandbox has no environment, got {names}; use custom_parameters")
        for field in ("symbols", "timeframes"):
            values = getattr(self, field)
            if len(set(values)) < len(values):
                raise ValueError(f"{field}: expected each once, got {', '.join(values)}")


def changed(settings: RunSettings, changes: dict[str, Any]) -> RunSettings:
    """The settings with some fields changed; what is not named stays. Raises msgspec.ValidationError."""
    return msgspec.convert({**msgspec.to_builtins(settings), **changes}, RunSettings)


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """Whether a signal may leave. `detail`: the numbers behind the reason."""

    passed: bool
    reason: Reason = ""
    detail: str = ""


class _Open(msgspec.Struct, frozen=True, gc=False):
    """An entry that somebody may still act on."""

    symbol: str
    action: str
    ts_expires: int


class _State(msgspec.Struct, frozen=True):
    """What outlives a restart."""

    version: Literal[1]
    last: tuple[tuple[str, str, int], ...]
    open: tuple[_Open, ...]
    counts: dict[str, int]


PASSED: Final = Verdict(True)


class Gate:
    """The gate of one run. `counts`: how many were judged (`judged`), passed (`passed`), or held back, by reason."""

    def __init__(self, settings: RunSettings) -> None:
        self.settings = settings
        self.counts: Counter[str] = Counter()
        self._last: dict[tuple[str, str], int] = {}
        """When the last signal of a kind left, by symbol and kind."""
        self._open: list[_Open] = []

    def configure(self, settings: RunSettings) -> None:
        """Go on with other settings; what has left counts on."""
        self.settings = settings

    def judge(
        self,
        symbol: str,
        action: Action,
        confidence: float,
        risk: float | None,
        now: int,
        ts_expires: int | None = None,
    ) -> Verdict:
        """Whether a signal may leave now; if so, it counts as made.

        `risk`: None where it is not known. `ts_expires`: until when an entry is open; None: it never is.
        """
        self.counts["judged"] += 1
        verdict = self._judge(symbol, action, confidence, risk, now)
        self.counts[verdict.reason or "passed"] += 1
        if verdict.passed:
            self._note(symbol, action, now, now if ts_expires is None else ts_expires)
        return verdict

    def open_entries(self, now: int) -> int:
        """How many entries are open."""
        self._open = [each for each in self._open if each.ts_expires > now]
        return len(self._open)

    def figures(self) -> tuple[tuple[str, int], ...]:
        """The counts, for a status."""
        return tuple((f"gate_{name}", self.counts[name]) for name in ("judged", "passed", *REASONS))

    def state(self) -> dict[str, Any]:
        """What has left and was counted, as plain data for `restore`."""
        last = tuple((symbol, kind, ts) for (symbol, kind), ts in sorted(self._last.items()))
        state: dict[str, Any] = msgspec.to_builtins(_State(_STATE, last, tuple(self._open), dict(self.counts)))
        return state

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where another gate was. Raises msgspec.ValidationError for what is no state of a gate."""
        found = msgspec.convert(state, _State)
        self._last = {(symbol, kind): ts for symbol, kind, ts in found.last}
        self._open = list(found.open)
        self.counts = Counter(found.counts)

    def _judge(self, symbol: str, action: Action, confidence: float, risk: float | None, now: int) -> Verdict:
        settings = self.settings
        if not settings.enabled:
            return Verdict(False, "disabled", "the run is switched off")
        # Written so that a NaN does not pass.
        if not confidence >= settings.min_confidence_threshold:
            return _held("confidence", f"{confidence:g} is below {settings.min_confidence_threshold:g}")
        if action not in _ENDS and risk is not None and not risk <= settings.max_risk_threshold:
            return _held("risk", f"{risk:g} is above {settings.max_risk_threshold:g}")
        key = (symbol, _kind(action))
        last = self._last.get(key)
        if last is not None:
            last = self._last[key] = min(last, now)  # a clock that was set back does not make it longer
            left = last + round(settings.signal_cooldown * NANO) - now
            if left > 0:
                return _held("cooldown", f"{left / NANO:.1f} s are left in {symbol}")
        if action in ENTRIES and self.open_entries(now) >= settings.max_concurrent_signals:
            return _held("concurrent", f"{len(self._open)} entries are open, and there may be no more")
        return PASSED

    def _note(self, symbol: str, action: Action, now: int, ts_expires: int) -> None:
        self._last[symbol, _kind(action)] = now
        if action in ENTRIES:
            for ended in _ENDS:
                self._last.pop((symbol, ended), None)
            if ts_expires > now:
                self._open.append(_Open(symbol, action, ts_expires))
        elif action in _ENDS:
            ends = _ENDS[action]
            self._open = [each for each in self._open if each.symbol != symbol or each.action not in ends]


def _kind(action: Action) -> str:
    return _ENTRY if action in ENTRIES else action


def _held(reason: Reason, detail: str) -> Verdict:
    return Verdict(False, reason, detail)
