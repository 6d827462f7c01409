"""From what a worker says to a signal for the hub: checked, assessed, judged by the gate, and given its identity."""

from __future__ import annotations

from typing import Any

import msgspec

from actors.strategies.assessment import Assessor
from actors.strategies.composing import Composer, Marks
from actors.strategies.gate import Gate, RunSettings
from actors.strategies.sandbox.drafts import draft_of
from actors.strategies.sandbox.wire import WireSignal
from actors.strategies.status import Run
from protocols.control import Refused
from protocols.market import Bar, Quote, Trade
from protocols.nanos import NANO
from protocols.signals import Signal

VALIDITY_S = 300.0
"""How long a signal is valid whose strategy does not say."""


def settings_of(fields: dict[str, Any]) -> RunSettings:
    """The settings of a run. Raises Refused `invalid` with the field."""
    try:
        return msgspec.convert(fields, RunSettings)
    except msgspec.ValidationError as error:
        message, _, where = str(error).partition(" - at `$.")
        field = where.rstrip("`") or message.partition(":")[0]
        raise Refused("invalid", message, f"configuration.{field}" if " " not in field else "configuration") from None


class SignalPath:
    """The way of one run's signals."""

    def __init__(self, name: str, run: Run) -> None:
        self.settings = settings_of(msgspec.json.decode(run.settings))
        self.symbols = frozenset(run.markets)
        intervals: dict[str, str] = {}
        for market, interval in run.windows:
            intervals.setdefault(market, interval)
        self.assessor = Assessor(self.settings, intervals)
        self.gate = Gate(self.settings)
        if gate := msgspec.json.decode(run.gate):
            self.gate.restore(gate)
        self.marks = Marks()
        package = run.package
        self.composer = Composer(
            name, package.source, package.version, run.exchange, dict(run.exchanges), run=name, count=run.count
        )
        self.generated = self.said = 0

    def signal(
        self, said: WireSignal, cause: Quote | Trade | Bar | None, marks: tuple[str, ...], now: int
    ) -> Signal | None:
        """The signal that follows, None where the gate holds it back. HOLD says that nothing follows.

        Raises SignalError for one that cannot be a signal.
        """
        self.said += 1
        draft, metadata = draft_of(said, self.symbols, int(VALIDITY_S * NANO))
        if said.action == "HOLD":
            return None
        assessed = self.assessor.complete(draft, metadata, risk=said.risk_score)
        verdict = self.gate.judge(
            draft.market, draft.action, draft.confidence, assessed.risk, now, now + draft.validity_ns
        )
        if not verdict.passed:
            return None
        self.generated += 1
        return self.composer.signal(assessed.draft, cause, marks, now)

    def configure(self, settings: RunSettings) -> None:
        """Go on with other settings."""
        self.settings = settings
        self.assessor.configure(settings)
        self.gate.configure(settings)

    def state(self) -> msgspec.Raw:
        """What has left the gate, a JSON object for the next life."""
        return msgspec.Raw(msgspec.json.encode(self.gate.state()))

    def version(self, version: str) -> None:
        """Go on as another version of the strategy."""
        self.composer.version = version

    def figures(self) -> dict[str, str | int | float | bool | None]:
        """What an operator may want to see."""
        return {"signals_said": self.said, **dict(self.gate.figures())}
