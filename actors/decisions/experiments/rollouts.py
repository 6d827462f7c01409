"""The actor of staged rollouts: looks, decides (`rollout.py`), has it done, and stores what became of it.

A state that changes is in the log before it is told. A command that could not be done is tried again with the next
look; one whose answer was lost is recognised, for the plan says what serves.
"""

from __future__ import annotations

from typing import ClassVar, Final

import msgspec
import trio

from actors.decisions.experiments import history
from actors.decisions.experiments.plans import ExperimentSettings, arm_of, serving_arms
from actors.decisions.experiments.rollout import ENDS, Step, applied, begun, command_of, decide, switched
from protocols.alerts import RaiseAlert
from protocols.control import Message, Probe, ProbeReport, Refused, Unknown
from protocols.experiments import ExperimentPlan, GetTest
from protocols.paths import ALERTS, EXPERIMENTS, QUERIES
from protocols.rollouts import (
    ListRollouts,
    LookAtTest,
    RolloutChanged,
    RolloutList,
    RolloutLook,
    RolloutPlan,
    RolloutRow,
    RolloutView,
    StageTest,
    StartRollout,
    SwitchRollout,
)
from protocols.storage import DatabaseReady
from runtime import Actor, Mailbox, receive
from runtime.segments import LogDamaged

READ_LOG_S: Final = 60.0
KEEPER_S: Final = 20.0
TROUBLED: Final = frozenset({"unhealthy", "guardrails_failing", "no_data", "held", "reverted"})
"""States that somebody has to be told of; `reverted` is told of, too, where a person has wanted it."""
UNWATCHED: Final = "it was begun by a rollout that is not known, so nobody watches it"


def rollout_stream(name: str) -> str:
    """The stream of a test's rollouts."""
    return f"{RolloutRow.table}/{name}"


class Look(Message, frozen=True, gc=False, tag="ab_look"):
    """Look at a test; once for every start of a rollout (`number`)."""

    name: str
    number: int


class EndUnwatched(Message, frozen=True, gc=False, tag="ab_end_unwatched"):
    """Roll a test back if it is in the phase of a rollout that is not known."""

    name: str


class RolloutsFound(Message, frozen=True, gc=False, tag="ab_rollouts_found"):
    """The newest rows that only the database has."""

    rows: tuple[RolloutRow, ...]


class Rollouts(Actor):
    """Runs the rollouts of a configuration's tests."""

    mailbox: ClassVar[Mailbox] = Mailbox(capacity=1024)

    def __init__(self, experiments: tuple[ExperimentSettings, ...]) -> None:
        self.settings = {each.name: each for each in experiments}
        self.views: dict[str, RolloutView] = {}
        self.unknown: set[str] = set()
        """Tests whose rollout is in a database that has not answered yet."""
        self.numbers: dict[str, int] = {}

    async def on_continue(self) -> None:
        """Go on where the log says it was."""
        self.subscribe(DatabaseReady)
        try:
            logged = await self.offload(history.read_log, self.log.directory, history.ROLLOUTS, timeout=READ_LOG_S)
            rows = [row for row in logged.rows if isinstance(row, RolloutRow)]
        except (OSError, LogDamaged, msgspec.MsgspecError, trio.TooSlowError) as error:
            self.logger.warning("the log cannot be read; rollouts come from the database", error=str(error))
            rows = []
        self._restore(tuple(rows))
        self.unknown = {
            name for name in self.settings if name not in self.views and self.log.last_seq(rollout_stream(name))
        }
        if self.unknown:
            self.spawn(self._find, tuple(self.unknown), name="history")
        for name, settings in self.settings.items():
            if name in self.unknown or not self._ended(name):
                continue
            if settings.start_rollout and name not in self.views:
                self._look_soon(name, 0.0)
            else:
                self.after(0.0, EndUnwatched(name))

    def _ended(self, name: str) -> bool:
        return name not in self.views or self.views[name].state in ENDS

    @receive
    async def end_unwatched(self, message: EndUnwatched) -> None:
        """A crash may come between the first step of a rollout and its row: then nobody watches the phase."""
        if not self._ended(message.name):
            return
        keeper = self.lookup(EXPERIMENTS)
        try:
            found = await keeper.ask(GetTest(message.name), KEEPER_S)
            if found.staged and not found.provisional:
                self.logger.warning("a phase is rolled back", test=message.name, why=UNWATCHED)
                control = arm_of(found.plan, arms_of(found.plan)[0]).serves
                version = found.plan.version
                await keeper.ask(
                    StageTest(name=message.name, version=version, reverted=control, over=True, why=UNWATCHED), KEEPER_S
                )
        except (Refused, Unknown) as error:
            self.logger.info("it is not known whether a phase is unwatched", test=message.name, why=str(error))

    def _restore(self, rows: tuple[RolloutRow, ...]) -> None:
        for row in rows:
            if row.test_name in self.settings:
                self.views[row.test_name] = msgspec.json.decode(row.view, type=RolloutView)
        for name in {row.test_name for row in rows} & set(self.settings):
            if self.views[name].state not in ENDS:
                self._look_soon(name, 0.0)

    async def _find(self, names: tuple[str, ...]) -> None:
        rows: list[RolloutRow] = []
        try:
            for name in names:
                stream = rollout_stream(name)
                end = self.log.last_seq(stream) + 1
                rows += await history.stored_rows(self.lookup(QUERIES), RolloutRow, RolloutRow.table, stream, end)
        except Refused as refused:  # the database says when it is back
            self.logger.info("rollouts wait for the database", why=refused.message)
        else:
            self.after(0.0, RolloutsFound(tuple(rows)))

    @receive
    def database_ready(self, message: DatabaseReady) -> None:
        """Ask it for what is not known."""
        if self.unknown:
            self.spawn(self._find, tuple(self.unknown), name="history")

    @receive
    def found(self, message: RolloutsFound) -> None:
        """Go on where the database says it was."""
        rows = tuple(row for row in message.rows if row.test_name in self.unknown)
        self.unknown -= {row.test_name for row in rows}
        self._restore(rows)

    # Looking.

    def _look_soon(self, name: str, seconds: float) -> None:
        self.numbers[name] = self.numbers.get(name, 0) + 1
        self.after(seconds, Look(name, self.numbers[name]))

    @receive
    async def look(self, message: Look) -> None:
        """Look at a test, and do what follows."""
        name = message.name
        if message.number != self.numbers.get(name):
            return  # of a rollout before, or one look too many
        view = self.views.get(name)
        if view is None:
            await self._start_configured(name)
            return
        if view.state in ENDS:
            return
        keeper = self.lookup(EXPERIMENTS)
        seen: RolloutLook | None = None
        why = ""
        try:
            seen = await keeper.ask(LookAtTest(name=name, guards=view.plan.guards), KEEPER_S)
        except (Refused, Unknown) as error:
            why = f"the keeper of experiments does not answer: {error}"
        now = self.clock.now()
        await self._do(view, decide(view, seen, now, why), seen)
        if self.views[name].state not in ENDS:
            self._look_soon(name, view.plan.look_s)

    async def _start_configured(self, name: str) -> None:
        try:
            await self._begin(name, self.settings[name].rollout)
        except (Refused, Unknown) as error:
            self.logger.warning("a rollout cannot begin yet", test=name, why=str(error))
            self._look_soon(name, self.settings[name].rollout.look_s)

    async def _do(self, view: RolloutView, step: Step, seen: RolloutLook | None) -> RolloutView:
        """Have a step done, and keep what became of it."""
        done, failed = True, ""
        if step.command:
            try:
                await self._command(view, step)
            except (Refused, Unknown) as error:
                done, failed = False, str(error)
        after = applied(view, step, seen, self.clock.now(), done)
        if failed:
            after = msgspec.structs.replace(after, why=f"{step.why}; not done yet: {failed}")
            self.logger.warning("a step of a rollout is not done yet", test=view.name, step=step.why, why=failed)
        self._keep(view, after)
        return after

    async def _command(self, view: RolloutView, step: Step) -> None:
        keeper = self.lookup(EXPERIMENTS)
        plan = (await keeper.ask(GetTest(view.name), KEEPER_S)).plan
        if step.command == "revert" and plan.version != view.version:
            return  # its phase is over: nothing of it serves any more
        control, treatment = arms_of(plan)
        command = command_of(view, step, arm_of(plan, control).serves, treatment)
        assert command is not None
        await keeper.ask(command, KEEPER_S)

    def _keep(self, before: RolloutView | None, after: RolloutView) -> None:
        """Store a state that is another one; what only the figures changed is in memory."""
        if before is None or (before.history, before.state, before.aborting) != (
            after.history,
            after.state,
            after.aborting,
        ):
            stream = rollout_stream(after.name)
            self.log.append(
                RolloutRow(
                    stream=stream,
                    seq=self.log.last_seq(stream) + 1,
                    ts=self.clock.now(),
                    test_name=after.name,
                    version=after.version,
                    state=after.state,
                    step=after.step,
                    coverage=after.coverage,
                    why=after.why,
                    view=msgspec.Raw(msgspec.json.encode(after)),
                )
            )
            log = self.logger.warning if after.state in TROUBLED else self.logger.info
            log("rollout", test=after.name, state=after.state, why=after.why)
            before = self.views.get(after.name)
            self.views[after.name] = after
            self.publish(RolloutChanged(after))
            if before is not None and before.state != after.state:
                self._alert(before, resolve=True)
            self._alert(after)
        self.views[after.name] = after

    def _alert(self, view: RolloutView, *, resolve: bool = False) -> None:
        if view.state in TROUBLED:
            by_itself = view.state in ("reverted", "guardrails_failing") and not view.why.startswith("aborted")
            message = RaiseAlert(
                key=f"rollout={view.name},state={view.state}",
                source="rollouts",
                title=f"rollout of {view.name}: {view.state}",
                description=view.why,
                severity="error" if by_itself else "warning",
                labels=(("experiment", view.name),),
                resolve=resolve,
            )
            self.lookup(ALERTS).tell(message)

    # By hand.

    @receive
    async def start(self, request: StartRollout) -> RolloutView:
        """Begin a rollout."""
        settings = self._known(request.name)
        view = self.views.get(request.name)
        if view is not None and view.state not in ENDS:
            raise Refused("conflict", f"a rollout of {request.name} is {view.state} already", "name")
        return await self._begin(request.name, request.plan or settings.rollout)

    async def _begin(self, name: str, plan: RolloutPlan) -> RolloutView:
        coverage = plan.steps[0]
        first = StageTest(name=name, begin=True, coverage=coverage, why=f"rollout: begun with {coverage:.0%}")
        status = await self.lookup(EXPERIMENTS).ask(first, KEEPER_S)
        view = begun(name, plan, status.plan.version, self.clock.now())
        self._keep(None, view)
        self._look_soon(name, plan.look_s)
        return view

    @receive
    async def switch(self, request: SwitchRollout) -> RolloutView:
        """Pause, resume, abort, release."""
        self._known(request.name)
        view = self.views.get(request.name)
        if view is None:
            raise Refused("not_found", f"there is no rollout of {request.name}", "name")
        step = switched(view, request)
        if request.to == "abort":
            # In the log before it is tried: whoever comes next tries it again.
            wanted = msgspec.structs.replace(view, aborting=step.why)
            self._keep(view, wanted)
            view = wanted
        after = await self._do(view, step, None)
        if after.state not in ENDS:
            self._look_soon(request.name, after.plan.look_s)
        return after

    def _known(self, name: str) -> ExperimentSettings:
        if name not in self.settings:
            known = ", ".join(sorted(self.settings)) or "none"
            raise Refused("not_found", f"there is no test {name!r}; there are: {known}", "name")
        if name in self.unknown:
            raise Refused("unavailable", f"the rollout of {name} is in the database, which does not answer")
        return self.settings[name]

    @receive
    def list_rollouts(self, request: ListRollouts) -> RolloutList:
        """All of them."""
        return RolloutList(tuple(view for _, view in sorted(self.views.items())))

    @receive
    def probe(self, request: Probe) -> ProbeReport:
        """How it is; a rollout in trouble is said, and no trouble of the node's."""
        troubled = [f"{name} {view.state}" for name, view in sorted(self.views.items()) if view.state in TROUBLED]
        detail = ", ".join(troubled)
        if self.unknown:
            detail = f"waiting for the database: {', '.join(sorted(self.unknown))}"
        running = sum(view.state not in ENDS for view in self.views.values())
        return ProbeReport("degraded" if self.unknown else "ok", detail, figures=(("running", running),))


def arms_of(plan: ExperimentPlan) -> tuple[str, str]:
    """The names of the default arm and of the one that is let in: the first of the others."""
    serving = serving_arms(plan)
    return serving[0].name, serving[1].name
