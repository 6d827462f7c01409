"""What the roster knows of each agent."""

from __future__ import annotations

from collections import deque

import msgspec

from actors.agents.agent import Agent, DecisionCounter
from actors.agents.lives import AgentReady
from actors.agents.settings import AgentConfig, key
from protocols.agents import AGENT_STRATEGY, AgentMarket, AgentRow, AgentState, AgentView
from protocols.decisions import Decision
from protocols.paths import AGENTS
from runtime import Backoff, ChildSpec, Restart, RestartLimit, supervisor

COUNTER = "_http"
"""The name of what counts decisions over HTTP; no symbol's name begins so."""
LIMIT = RestartLimit(count=5, seconds=60.0)
NO_ANSWER = frozenset({"MODEL_ERROR", "TIMEOUT", "CIRCUIT_OPEN"})
"""Why a model had none."""
BACKOFF = Backoff(first_s=0.05, most_s=2.0)


class Record:
    """One user's agent: what it is to be (`wanted`), what of it is there (`ready`), and its figures."""

    def __init__(self, user_id: str, config: AgentConfig, now: int, kept: int = 50) -> None:
        self.user_id = user_id
        self.key = key(user_id)
        self.config = config
        self.wanted: AgentState = "stopped"
        """stopped, running, paused, error; a running one that is not all there is starting."""
        self.ready: dict[str, AgentReady] = {}
        """By symbol: its actor follows its market."""
        self.created_at = now
        self.started_at = self.last_activity = 0
        self.prediction_count = self.error_count = self.restarts = self.signals = 0
        self.last_error = ""
        self.last_bar: dict[str, int] = {}
        self.last: dict[str, Decision] = {}
        """By symbol, the oldest first."""
        self.recent: deque[Decision] = deque(maxlen=kept)
        """Of its own bars, the oldest first."""
        self.busy = False
        """Its branch is being started or ended."""
        self.noted = 0
        """How many decisions there were when its figures were written down."""

    @property
    def lives(self) -> bool:
        """Whether its branch is to be there."""
        return self.wanted in ("running", "paused")

    @property
    def state(self) -> AgentState:
        """How it is, in the words of the decision server that this replaces."""
        if self.wanted == "running" and self.ready.keys() != set(self.config.symbols):
            return "starting"
        return self.wanted

    @property
    def path(self) -> str:
        """Its supervisor."""
        return f"{AGENTS}/{self.key}"

    def begin(self, config: AgentConfig, now: int) -> None:
        """It is started. Other bars than before may be decided."""
        if config.timeframe != self.config.timeframe:
            self.last_bar.clear()
        self.config = config
        self.wanted = "running"
        self.ready.clear()
        self.started_at = now

    def children(self) -> dict[str, str]:
        """Symbols by the names of their actors."""
        return {key(symbol): symbol for symbol in self.config.symbols}

    def spec(self) -> ChildSpec:
        """Its branch: transient, so that one that gives up ends alone."""
        agents = [
            ChildSpec(name=name, actor=Agent, arguments={"user_id": self.user_id, "symbol": symbol}, backoff=BACKOFF)
            for name, symbol in self.children().items()
        ]
        counter = ChildSpec(name=COUNTER, actor=DecisionCounter, arguments={"user_id": self.user_id})
        return supervisor(self.key, counter, *agents, limit=LIMIT, backoff=BACKOFF, restart=Restart.TRANSIENT)

    def decided(self, decision: Decision, now: int, count: int = 1) -> None:
        """Decisions were made."""
        self.prediction_count += count
        self.last_activity = now
        self.last.pop(decision.symbol, None)
        self.last[decision.symbol] = decision
        if len(self.last) > max(50, len(self.config.symbols)):
            del self.last[next(iter(self.last))]
        if decision.reason in NO_ANSWER:
            self.trouble(decision.reasoning, now)

    def trouble(self, text: str, now: int) -> None:
        """Something went wrong."""
        self.error_count += 1
        self.last_error = text
        self.last_activity = now

    def view(self) -> AgentView:
        """How it stands."""
        return AgentView(
            agent_id=self.path,
            user_id=self.user_id,
            symbols=self.config.symbols,
            state=self.state,
            created_at=self.created_at,
            last_activity=self.last_activity,
            prediction_count=self.prediction_count,
            error_count=self.error_count,
            restarts=self.restarts,
            last_error=self.last_error,
            config=msgspec.Raw(msgspec.json.encode(self.config)),
            started_at=self.started_at if self.lives else 0,
            key=self.key,
            signals=self.signals,
            strategy_id=f"{AGENT_STRATEGY}{self.key}",
            markets=tuple(self._market(symbol) for symbol in self.config.symbols),
        )

    def _market(self, symbol: str) -> AgentMarket:
        ready = self.ready.get(symbol)
        return AgentMarket(
            symbol=symbol,
            ready=ready is not None,
            bars_before=0 if ready is None else ready.bars,
            missing="" if ready is None else ready.missing,
            last_bar=self.last_bar.get(symbol, -1),
        )

    def row(self, stream: str, seq: int, ts: int, event: str) -> AgentRow:
        """For the database."""
        self.noted = self.prediction_count
        return AgentRow(
            stream=stream,
            seq=seq,
            ts=ts,
            user_id=self.user_id,
            event=event,
            state=self.wanted,
            reason=self.last_error,
            prediction_count=self.prediction_count,
            error_count=self.error_count,
            created_at=self.created_at,
            config=msgspec.Raw(msgspec.json.encode(self.config)),
            restarts=self.restarts,
            signals=self.signals,
        )

    def add_figures(self, row: AgentRow) -> None:
        """Count what it had done before, too."""
        self.created_at = row.created_at
        self.prediction_count += row.prediction_count
        self.error_count += row.error_count
        self.restarts += row.restarts
        self.signals += row.signals
        self.last_error = self.last_error or row.reason

    @classmethod
    def of(cls, row: AgentRow, now: int, kept: int = 50) -> Record:
        """From the database, as it was when the row was written. Raises msgspec.ValidationError for its `config`."""
        record = cls(row.user_id, msgspec.json.decode(row.config, type=AgentConfig), row.created_at, kept)
        record.add_figures(row)
        record.noted = row.prediction_count
        record.last_activity = row.ts if row.prediction_count or row.error_count else 0
        if row.state in ("running", "paused"):
            record.begin(record.config, now)
        record.wanted = row.state  # type: ignore[assignment]  # only `row` writes it
        return record
