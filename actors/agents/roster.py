"""The roster: starts, pauses and stops agents, keeps account of what becomes of them, and lists them.

Each user's agent is a branch of its own, `/agents/<key>`: one that crashes again and again ends alone, with state
`error`, and no other notices. Agents are rows of `agent_configs`, and go on after a restart of the node: those that
ran run, those that were paused are paused.

No handler here waits for anybody: what takes time is done by tasks, which tell the roster what they found out.
"""

from __future__ import annotations

from itertools import islice
from typing import Any, ClassVar, Final

import msgspec

from actors.agents.lives import (
    AgentDecided,
    AgentLife,
    AgentReady,
    AgentTrouble,
    BeginLife,
    DecisionsCounted,
    PauseAgent,
    SayReady,
)
from actors.agents.records import COUNTER, Record
from actors.agents.settings import MOST_TEXT, AgentsSettings, config_of
from actors.storage.streams import read_settled
from protocols.agents import (
    AGENT_CONFIGS,
    AgentControlled,
    AgentList,
    AgentRow,
    AgentStarted,
    AgentView,
    ControlAgent,
    GetAgent,
    GetLastDecision,
    LastDecision,
    ListAgents,
    ListRecentDecisions,
    RecentDecisions,
    StartAgent,
)
from protocols.control import (
    Crashed,
    ExitReason,
    Killed,
    Message,
    Probe,
    ProbeReport,
    Refused,
    Request,
    Shutdown,
    Terminated,
    Unknown,
)
from protocols.paths import AGENTS, QUERIES
from protocols.storage import PAGE, RunQuery
from runtime import Actor, Mailbox, StartChild, TerminateChild, receive

START_S: Final = 15.0
PAUSE_S: Final = 5.0
RETRY_S: Final = 0.5
PATIENCE_S: Final = 30.0
NOT_YET: Final = "the agents of before are not known yet: they are read from the database"
_SQL: Final = f"""
    SELECT DISTINCT ON (user_id) {", ".join(AgentRow.__struct_fields__)} FROM {AgentRow.table}
    WHERE stream = $1 AND seq <= $2 AND user_id > $3 ORDER BY user_id, seq DESC LIMIT $4
"""  # noqa: S608 - names of our own


class _Settled(Request[AgentView], frozen=True, gc=False, tag="agent_settled"):
    """A branch was started or ended; `error`: it was not."""

    user_id: str
    error: str = ""


class _Cleared(Message, frozen=True, gc=False, tag="agent_cleared"):
    """Nothing is left of a branch that had given up."""

    user_id: str


class _Restore(Message, frozen=True, gc=False, tag="restore_agents"):
    """The agents from before this node, or this roster, was started."""

    rows: tuple[AgentRow, ...]
    missing: str = ""


class _Again(Message, frozen=True, gc=False, tag="start_agents_again"):
    """Start what should be there and is not."""


class _Note(Message, frozen=True, gc=False, tag="note_agents"):
    """Write figures down."""


class AgentRoster(Actor):
    """Starts and lists agents. `settings`: the fields of AgentsSettings."""

    mailbox: ClassVar[Mailbox] = Mailbox(capacity=65_536)

    def __init__(self, settings: dict[str, Any] | None = None) -> None:
        self.settings = msgspec.convert(settings or {}, AgentsSettings)
        self.records: dict[str, Record] = {}
        self.restored = False
        self.problem = NOT_YET

    def on_start(self) -> None:
        """Remember."""
        self.watch(self.lookup(AGENTS))
        self.every(self.settings.note_s, _Note())
        self.spawn(self._remember, name="remember")

    def on_stop(self, reason: ExitReason) -> None:
        """Write down what was not yet."""
        self.note_figures(_Note())

    # Starting, stopping, pausing.

    @receive
    def start(self, request: StartAgent) -> AgentStarted | None:
        """Start or resume an agent."""
        if not 1 <= len(request.user_id) <= MOST_TEXT:
            raise Refused("invalid", f"expected 1 to {MOST_TEXT} characters, got {len(request.user_id)}", "user_id")
        record = self.records.get(request.user_id)
        said = bytes(request.config) not in (b"", b"{}", b"null")
        config = config_of(request.config, self.settings.defaults, self.settings.most_symbols)
        if record is not None and record.busy:
            raise Refused("conflict", f"the agent of {request.user_id} is being started or stopped", "user_id")
        if record is not None and record.wanted == "running":
            return AgentStarted("already_running", record.view())
        if record is not None and record.wanted == "paused":
            self._switch(record, paused=False)
            return AgentStarted("resumed", record.view())
        if record is None and not said and not self.restored:
            raise Refused("unavailable", NOT_YET, "config")
        running = sum(1 for each in self.records.values() if each.lives)
        if running >= self.settings.most:
            raise Refused("overloaded", f"{running} agents run, and there may be {self.settings.most}", "user_id")
        if record is None:
            record = self.records[request.user_id] = Record(
                request.user_id, config, self.clock.now(), self.settings.decisions_kept
            )
        record.begin(config if said else record.config, self.clock.now())
        record.busy = True
        self._watch(record)
        self.answer_later(self._start_asked, record)
        return None

    async def _start_asked(self, record: Record) -> AgentStarted:
        return AgentStarted("started", await self.ref.ask(_Settled(record.user_id, await self._bring_up(record))))

    async def _bring_up(self, record: Record) -> str:
        """Start the branch of a record; why not, if not."""
        try:
            await self.lookup(AGENTS).ask(StartChild(record.spec()), START_S)
        except Refused as refused:
            if refused.code == "already_started":  # this roster is younger than the branch
                for name in record.children():
                    agent = self.lookup(f"{record.path}/{name}")
                    agent.tell(PauseAgent(record.wanted == "paused"))
                    agent.tell(SayReady())
            return "" if refused.code in ("already_started", "restarting") else str(refused)
        except Unknown as unknown:
            return str(unknown)
        return ""

    @receive
    def settled(self, request: _Settled) -> AgentView:
        """Note that a branch was started, or ended. Refused `unavailable` where it was not."""
        record = self._record(request.user_id)
        record.busy = False
        if request.error:
            record.wanted = "error"
            record.trouble(request.error, self.clock.now())
            self._note(record, "failed")
            raise Refused("unavailable", f"the agent of {request.user_id} was not started: {request.error}")
        self._note(record, "started" if record.lives else "stopped")
        return record.view()

    @receive
    def control(self, request: ControlAgent) -> AgentControlled | None:
        """Stop, pause or resume an agent."""
        record = self.records.get(request.user_id)
        if record is None:
            return AgentControlled("not_found", None)
        if record.busy:
            raise Refused("conflict", f"the agent of {request.user_id} is being started or stopped", "user_id")
        if request.action == "resume":
            if record.wanted != "paused":
                return AgentControlled("not_paused", record.view())
            self._switch(record, paused=False)
            return AgentControlled("resumed", record.view())
        if not record.lives or (request.action == "pause" and record.wanted == "paused"):
            return AgentControlled("not_running", record.view())
        if request.action == "pause":
            self._switch(record, paused=True)
            return AgentControlled("paused", record.view())
        last = record.view()
        record.wanted = "stopped"
        record.ready.clear()
        record.busy = True
        self.answer_later(self._stop_asked, record, last)
        return None

    async def _stop_asked(self, record: Record, last: AgentView) -> AgentControlled:
        await self._end_branch(record.key)
        now = await self.ref.ask(_Settled(record.user_id))
        return AgentControlled("stopped", msgspec.structs.replace(now, started_at=last.started_at))

    async def _end_branch(self, name: str) -> None:
        try:
            await self.lookup(AGENTS).ask(TerminateChild(name), START_S)
        except Refused as refused:
            if refused.code not in ("not_found", "stopped", "not_started"):
                self.logger.warning("the branch was not ended", agent=name, error=str(refused))
        except Unknown as error:
            self.logger.warning("the branch was not ended", agent=name, error=str(error))

    def _switch(self, record: Record, *, paused: bool) -> None:
        record.wanted = "paused" if paused else "running"
        self._note(record, "paused" if paused else "resumed")
        for name in record.children():
            self.spawn(self._tell_paused, f"{record.path}/{name}", paused, name=f"pause {name}")

    async def _tell_paused(self, path: str, paused: bool) -> None:
        try:
            await self.lookup(path).ask(PauseAgent(paused), PAUSE_S)
        except (Refused, Unknown) as error:  # its new life asks for it
            self.logger.info("an agent was not told", agent=path, paused=paused, why=str(error))

    # What agents say.

    @receive
    def begin_life(self, request: BeginLife) -> AgentLife:
        """What an agent's actor goes on with."""
        record = self._record(request.user_id)
        record.ready.pop(request.symbol, None)
        return AgentLife(
            config=msgspec.Raw(msgspec.json.encode(record.config)),
            paused=record.wanted == "paused",
            last_bar=record.last_bar.get(request.symbol, -1),
        )

    @receive
    def ready(self, message: AgentReady) -> None:
        """An agent's actor follows its market."""
        if (record := self.records.get(message.user_id)) is not None:
            record.ready[message.symbol] = message
            record.last_bar[message.symbol] = max(message.last_bar, record.last_bar.get(message.symbol, -1))

    @receive
    def decided(self, message: AgentDecided) -> None:
        """An agent has decided."""
        if (record := self.records.get(message.user_id)) is not None:
            record.last_bar[message.symbol] = max(message.bar, record.last_bar.get(message.symbol, -1))
            record.signals += bool(message.signal_id)
            record.decided(message.decision, self.clock.now())
            record.recent.append(msgspec.structs.replace(message.decision, signal_id=message.signal_id))

    @receive
    def counted(self, message: DecisionsCounted) -> None:
        """Decisions were made for a user over HTTP."""
        if (record := self.records.get(message.user_id)) is not None:
            record.decided(message.last, self.clock.now(), message.count)

    @receive
    def trouble(self, message: AgentTrouble) -> None:
        """Something went wrong that is no crash."""
        if (record := self.records.get(message.user_id)) is not None:
            record.trouble(message.text, self.clock.now())

    @receive
    def terminated(self, message: Terminated) -> None:
        """Note the end of an agent's actor, of its supervisor, or of the parent of all."""
        if message.incarnation.count == 0:
            return  # so far, nobody has lived there
        if message.path == AGENTS:
            self.after(RETRY_S, _Again())
            return
        name, _, child = message.path.removeprefix(f"{AGENTS}/").partition("/")
        record = next((each for each in self.records.values() if each.key == name), None)
        if record is None or not record.lives:
            return
        reason = message.reason
        if child and isinstance(reason, Crashed | Killed):
            record.ready.pop(record.children().get(child, ""), None)
            record.restarts += not message.final
            text = f"{reason.error}: {reason.text}" if isinstance(reason, Crashed) else f"killed {reason.detail}"
            record.trouble(text.rstrip(), self.clock.now())
        elif not child and message.final and isinstance(reason, Shutdown) and reason.detail:  # an orderly stop has none
            record.wanted = "error"
            record.last_error = record.last_error or reason.detail
            self.logger.error("an agent has given up", user=record.user_id, why=record.last_error)
            self._note(record, "failed")
            record.busy = True
            self.spawn(self._clear_away, record, name=f"end {record.key}")
        elif message.final:  # somebody else has stopped it, and may start it again
            for symbol in [record.children().get(child, "")] if child else list(record.ready):
                record.ready.pop(symbol, None)

    async def _clear_away(self, record: Record) -> None:
        """Take away what is left of a branch that has given up, so that it can be started again."""
        await self._end_branch(record.key)
        self.ref.tell(_Cleared(record.user_id))

    @receive
    def cleared(self, message: _Cleared) -> None:
        """Nothing is left of a branch."""
        self._record(message.user_id).busy = False

    # After a restart.

    async def _remember(self) -> None:
        """The agents of before, as soon as the database has them."""
        last = self.log.last_seq(AGENT_CONFIGS)  # what is written from now on is about agents of now

        async def read() -> tuple[AgentRow, ...]:
            found: list[AgentRow] = []
            while True:
                after = found[-1].user_id if found else ""
                query = RunQuery(_SQL, (AGENT_CONFIGS, last, after, PAGE), PAGE)
                page = (await self.lookup(QUERIES).ask(query, START_S)).into(AgentRow)
                found += page
                if len(page) < PAGE:
                    return tuple(found)

        if not last:
            self.after(0.0, _Restore(()))
            return
        try:
            rows, missing = await read_settled(self.lookup(QUERIES), AgentRow, AGENT_CONFIGS, last, read, PATIENCE_S)
        except Refused as refused:
            rows, missing = (), str(refused)
        if missing:
            missing = f"the agents of before are not known in full: {missing}"
            self.logger.warning(missing)
        self.after(0.0, _Restore(rows, missing))  # a timer ends with this life: the next one reads for itself

    @receive
    def restore(self, message: _Restore) -> None:
        """Go on with the agents of before; who was started meanwhile is as it was started."""
        self.restored, self.problem = True, message.missing
        for row in message.rows:
            if (started := self.records.get(row.user_id)) is not None:
                started.add_figures(row)
                continue
            try:
                record = Record.of(row, self.clock.now(), self.settings.decisions_kept)
            except msgspec.ValidationError as error:
                self.problem = f"the agent of {row.user_id} is not taken up: {error}"
                self.logger.exception("an agent is not taken up", user=row.user_id, why=str(error))
                continue
            self.records[row.user_id] = record
            self._watch(record)
        self.ref.tell(_Again())

    @receive
    def again(self, message: _Again) -> None:
        """Start what should be there and is not."""
        for record in self.records.values():
            if record.lives and not record.busy:
                record.busy = True
                self.spawn(self._start_again, record, name=f"start {record.key}")

    async def _start_again(self, record: Record) -> None:
        try:
            await self.ref.ask(_Settled(record.user_id, await self._bring_up(record)))
        except (Refused, Unknown) as error:
            self.logger.warning("an agent was not started again", user=record.user_id, why=str(error))

    # Views.

    @receive
    def view(self, request: GetAgent) -> AgentView:
        """One agent."""
        return self._record(request.user_id).view()

    @receive
    def all(self, request: ListAgents) -> AgentList:
        """All of them."""
        return AgentList(tuple(self.records[user].view() for user in sorted(self.records)))

    @receive
    def last(self, request: GetLastDecision) -> LastDecision:
        """The newest decision."""
        record = self._record(request.user_id)
        symbol = request.symbol or next(reversed(record.last), "")
        if symbol not in record.last:
            of = f" about {request.symbol}" if request.symbol else ""
            raise Refused("not_found", f"nothing was decided for {request.user_id}{of}", "symbol" if of else "user_id")
        return LastDecision(record.last[symbol])

    @receive
    def recent(self, request: ListRecentDecisions) -> RecentDecisions:
        """The newest decisions at bars."""
        wanted = (
            each for each in reversed(self._record(request.user_id).recent) if request.symbol in ("", each.symbol)
        )
        return RecentDecisions(tuple(islice(wanted, request.limit)))

    @receive
    def probe(self, request: Probe) -> ProbeReport:
        """How agents are."""
        states = [each.state for each in self.records.values()]
        figures = tuple((name, states.count(name)) for name in ("running", "starting", "paused", "error", "stopped"))
        failed = next((each for each in self.records.values() if each.wanted == "error"), None)
        problem = self.problem or ("" if failed is None else f"{failed.user_id}: {failed.last_error}")
        return ProbeReport("degraded" if problem else "ok", problem, figures=figures)

    @receive
    def note_figures(self, message: _Note) -> None:
        """Write down the figures of those that have done something."""
        for record in self.records.values():
            if record.prediction_count != record.noted:
                self._note(record, "counted")

    def _note(self, record: Record, event: str) -> None:
        seq = self.log.last_seq(AGENT_CONFIGS) + 1
        self.log.append(record.row(AGENT_CONFIGS, seq, self.clock.now(), event))

    def _record(self, user_id: str) -> Record:
        record = self.records.get(user_id)
        if record is None:
            raise Refused("not_found", f"there is no agent of {user_id!r}", "user_id")
        return record

    def _watch(self, record: Record) -> None:
        for path in (record.path, *(f"{record.path}/{name}" for name in (COUNTER, *record.children()))):
            self.watch(self.lookup(path))
